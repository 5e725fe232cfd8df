"""Does a 95 % interval hold the truth in 95 % of studies? Simulated ones, with copies of pictures, whose truth is known.

A study has 60 patients with disease and 60 without, of each one to eight pictures that differ a little. The suspicion's
log-odds are normal, one standard deviation apart between the classes, times a sharpness: at 1 the network is calibrated, at
1.5, the default, it is too sure of itself. Every figure's interval is taken from drawing patients, as the evaluation does it,
and from drawing files as if they were independent.

Then with 2, 3, 5 and 10 patients without disease: how often the evaluation gives an interval, how often that holds the
truth, and how often it would if it were drawn from however few groups. The latter is why it needs a fewest.

    python benchmarks/interval_coverage.py --studies 20      # seconds
    python benchmarks/interval_coverage.py                   # 500 studies, 1,000 draws each
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from datetime import date
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_tumor.bootstrap import FEWEST_GROUPS, interval_of
from lung_tumor.metrics import classification_metrics
from lung_tumor.scores import SINGLE, draw_figures, measure

CLASSES = ("sick", "well")
PATIENTS = 60
"""Of each class."""

MOST_PICTURES = 8
WITHIN = 0.3
"""Standard deviation between pictures of one patient; together with that between patients it is 1."""

TRUTH = {"roc_auc": 0.5 * (1.0 + erf(0.5)), "accuracy": 0.5 * (1.0 + erf(0.5 / 2.0**0.5))}
"""Normal scores one deviation apart: the normal distribution function at 1 / sqrt(2), and at 1 / 2."""

WANTED = (0.92, 0.98)

SMALL = (2, 3, 5, 10)
"""Patients without disease, where they are few."""

RECALLS = ("per_class.sick.recall", "per_class.well.recall")

Study = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[str]]


def draw_study(seed: int, patients: int = PATIENTS, sharpness: float = 1.5, well: int | None = None) -> Study:
    """Labels, probabilities and patients of one study; ``well`` patients without disease, as many as with it if not given."""
    rng = np.random.default_rng(seed)
    count = patients + (patients if well is None else well)
    pictures = rng.integers(1, MOST_PICTURES + 1, size=count)
    patient = np.repeat(np.arange(count), pictures)
    labels = (patient >= patients).astype(np.int64)
    between = rng.normal(scale=(1.0 - WITHIN**2) ** 0.5, size=count)
    score = between[patient] + rng.normal(scale=WITHIN, size=len(patient)) + 0.5 - labels
    sick = 1.0 / (1.0 + np.exp(-sharpness * score))
    return labels, np.stack([sick, 1.0 - sick], axis=1), [str(number) for number in patient]


def shares_covered(
    studies: int, draws: int, seed: int, figures: Sequence[str] = tuple(SINGLE), sharpness: float = 1.5
) -> dict[str, dict[str, float]]:
    """Share of studies whose interval holds the truth, from drawing ``groups`` and from drawing ``files``, by figure."""
    labels, probabilities, _ = draw_study(seed, 100_000, sharpness)
    truth: dict[str, float] = {**classification_metrics(labels, probabilities, CLASSES)} | TRUTH
    held = {way: dict.fromkeys(figures, 0) for way in ("groups", "files")}
    for number in range(studies):
        labels, probabilities, groups = draw_study(seed + 1 + number, sharpness=sharpness)
        for way, drawn in (("groups", groups), ("files", [str(row) for row in range(len(labels))])):
            intervals = measure(labels, probabilities, drawn, CLASSES, draws, seed + number)["intervals"]
            for name in figures:
                held[way][name] += intervals[name]["low"] <= truth[name] <= intervals[name]["high"]
    return {way: {name: count / studies for name, count in counts.items()} for way, counts in held.items()}


def small_class(studies: int, draws: int, seed: int, well: int) -> dict[str, dict[str, float | None]]:
    """What becomes of intervals in studies with so many patients without disease, by figure.

    Returns:
        ``given``, the share of studies with an interval; ``held``, the share of these intervals that holds the truth, None of
        none; ``drawn``, the share of all studies in which it would if any number of groups were enough.
    """
    many = 100_000
    labels, probabilities, _ = draw_study(seed, many, well=many * well // PATIENTS)
    truth = _by_name(classification_metrics(labels, probabilities, CLASSES)) | TRUTH
    names = [*(name for name in SINGLE if name != "calibration_error"), *RECALLS]
    given, held, drawn = (dict.fromkeys(names, 0) for _ in range(3))
    for number in range(studies):
        labels, probabilities, groups = draw_study(seed + 1 + number, well=well)
        intervals = measure(labels, probabilities, groups, CLASSES, draws, seed + number)["intervals"]
        values = draw_figures(labels, probabilities, groups, CLASSES, draws, seed + number)
        for name in names:
            low, high = (intervals[name][end] for end in ("low", "high"))
            given[name] += low is not None
            held[name] += low is not None and low <= truth[name] <= high
            anyway = interval_of(values[name].tolist())
            drawn[name] += (
                anyway.low is not None and anyway.high is not None and anyway.low <= truth[name] <= anyway.high
            )
    return {
        name: {
            "given": given[name] / studies,
            "held": held[name] / given[name] if given[name] else None,
            "drawn": drawn[name] / studies,
        }
        for name in names
    }


def _by_name(figures: dict[str, Any]) -> dict[str, float]:
    """Single figures and recalls by dotted name."""
    return {name: figures[name] for name in SINGLE} | {
        f"per_class.{label}.recall": figures["per_class"][label]["recall"] for label in CLASSES
    }


def as_markdown(result: dict[str, Any]) -> str:
    """The result as two tables."""
    rows = [
        f"| {name}, {network} | {found['groups'][name]:.3f} | {found['files'][name]:.3f} |"
        for network, found in result["networks"].items()
        for name in found["groups"]
    ]
    about = (
        f"{result['date']}: {result['studies']} simulated studies of {2 * PATIENTS} patients with 1 to {MOST_PICTURES} "
        f"pictures each, {result['draws']} draws a study. To be reached: {WANTED[0]:.2f} to {WANTED[1]:.2f} by drawing "
        f"groups. By drawing files every picture counts as new evidence."
    )
    few = [
        f"| {well} | {name} | {row['given']:.3f} | {'–' if row['held'] is None else format(row['held'], '.3f')} | "
        f"{row['drawn']:.3f} |"
        for well, found in result["small_class"].items()
        for name, row in found.items()
    ]
    why = (
        f"{PATIENTS} patients with disease and few without, the network too sure. No interval is given of a figure that rests "
        f"on a class of fewer than {FEWEST_GROUPS} groups, unless it is an exact one of a share of 0 or 1. The last column is "
        "what drawing groups alone would have reached there."
    )
    return "\n".join(
        [
            "# How often a 95 % interval holds the truth",
            "",
            about,
            "",
            "| figure, network | drawing groups | drawing files |",
            "| --- | --- | --- |",
            *rows,
            "",
            "## Few patients in one class",
            "",
            why,
            "",
            "| patients without disease | figure | interval given | of these, holds the truth | drawn anyway |",
            "| --- | --- | --- | --- | --- |",
            *few,
            "",
        ]
    )


def main() -> None:
    """Simulate, print and store the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--output", type=Path, help="folder for DATE-interval-coverage.json and .md; none writes none")
    arguments = parser.parse_args()
    started = time.perf_counter()
    networks = {
        "too sure": shares_covered(arguments.studies, arguments.draws, seed=1),
        "calibrated": shares_covered(arguments.studies, arguments.draws, seed=1, sharpness=1.0),
    }
    few = {str(well): small_class(arguments.studies, arguments.draws, 1, well) for well in SMALL}
    result = {
        "date": date.today().isoformat(),
        "studies": arguments.studies,
        "draws": arguments.draws,
        "seconds": round(time.perf_counter() - started, 1),
        "wanted": list(WANTED),
        "networks": networks,
        "small_class": few,
    }
    print(as_markdown(result))
    if arguments.output:
        base = arguments.output / f"{result['date']}-interval-coverage"
        base.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
        base.with_suffix(".md").write_text(as_markdown(result))


if __name__ == "__main__":
    main()

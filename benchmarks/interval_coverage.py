"""Does a 95 % interval hold the truth in 95 % of studies? Simulated ones, with copies of pictures, whose truth is known.

A study has 60 patients with disease and 60 without, of each one to eight pictures that differ a little. The suspicion's
log-odds are normal, one standard deviation apart between the classes, times a sharpness: at 1 the network is calibrated, at
1.5, the default, it is too sure of itself. Every figure's interval is taken from drawing patients, as the evaluation does it,
and from drawing files as if they were independent.

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

from lung_tumor.metrics import classification_metrics
from lung_tumor.scores import SINGLE, measure

CLASSES = ("sick", "well")
PATIENTS = 60
"""Of each class."""

MOST_PICTURES = 8
WITHIN = 0.3
"""Standard deviation between pictures of one patient; together with that between patients it is 1."""

TRUTH = {"roc_auc": 0.5 * (1.0 + erf(0.5)), "accuracy": 0.5 * (1.0 + erf(0.5 / 2.0**0.5))}
"""Normal scores one deviation apart: the normal distribution function at 1 / sqrt(2), and at 1 / 2."""

WANTED = (0.92, 0.98)

Study = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[str]]


def draw_study(seed: int, patients: int = PATIENTS, sharpness: float = 1.5) -> Study:
    """Labels, probabilities and patients of one study."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(1, MOST_PICTURES + 1, size=2 * patients)
    patient = np.repeat(np.arange(2 * patients), pictures)
    labels = (patient >= patients).astype(np.int64)
    between = rng.normal(scale=(1.0 - WITHIN**2) ** 0.5, size=2 * patients)
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


def as_markdown(result: dict[str, Any]) -> str:
    """The result as a table."""
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
    head = ["# How often a 95 % interval holds the truth", "", about, ""]
    return "\n".join([*head, "| figure, network | drawing groups | drawing files |", "| --- | --- | --- |", *rows, ""])


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
    result = {
        "date": date.today().isoformat(),
        "studies": arguments.studies,
        "draws": arguments.draws,
        "seconds": round(time.perf_counter() - started, 1),
        "wanted": list(WANTED),
        "networks": networks,
    }
    print(as_markdown(result))
    if arguments.output:
        base = arguments.output / f"{result['date']}-interval-coverage"
        base.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
        base.with_suffix(".md").write_text(as_markdown(result))


if __name__ == "__main__":
    main()

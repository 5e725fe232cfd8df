"""Does a 95 % interval hold the truth in 95 % of studies? Simulated ones, with copies of pictures, whose truth is known.

A study has 60 patients with disease and 60 without, of each one to eight pictures that differ a little. The suspicion's
log-odds are normal, one standard deviation apart between the classes, times a sharpness: at 1 the network is calibrated, at
1.5, the default, it is too sure of itself. Every figure's interval is taken from drawing patients, as the evaluation does it,
and from drawing files as if they were independent.

Then with 2, 3, 5, 10 and 14 patients without disease: how often the evaluation gives an interval, how often that holds the
truth, and how often it would if it were drawn from however few groups. The latter is why it needs a fewest. And with one
slice a patient, of sensitivities near a target: why these are not drawn.

    python benchmarks/interval_coverage.py --studies 20      # seconds
    python benchmarks/interval_coverage.py                   # 500 studies, 1,000 draws each, on all cores
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from lung_tumor.bootstrap import FEWEST_GROUPS, Interval, exact_share, fewest_groups, group_bootstrap, interval_of
from lung_tumor.metrics import classification_metrics
from lung_tumor.scores import MEANS, SINGLE, draw_figures, measure

CLASSES = ("sick", "well")
PATIENTS = 60
"""Of each class."""

MOST_PICTURES = 8
WITHIN = 0.3
"""Standard deviation between pictures of one patient; together with that between patients it is 1."""

TRUTH = {"roc_auc": 0.5 * (1.0 + erf(0.5)), "accuracy": 0.5 * (1.0 + erf(0.5 / 2.0**0.5))}
"""Normal scores one deviation apart: the normal distribution function at 1 / sqrt(2), and at 1 / 2."""

WANTED = (0.92, 0.98)

SMALL = (2, 3, 5, 10, 14)
"""Patients without disease, where they are few."""

ONE_SLICE, TARGETS = (28, 60), (0.90, 0.94, 0.95, 0.97)
"""Patients of one slice each, and chances of each to be found."""

RECALLS = ("per_class.sick.recall", "per_class.well.recall")

Each = Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]
"""Does a thing for each number of a study: ``map``, or that of a pool of processes."""

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
    studies: int,
    draws: int,
    seed: int,
    figures: Sequence[str] = tuple(SINGLE),
    sharpness: float = 1.5,
    each: Each = map,
) -> dict[str, dict[str, float]]:
    """Share of studies whose interval holds the truth, from drawing ``groups`` and from drawing ``files``, by figure."""
    labels, probabilities, _ = draw_study(seed, 100_000, sharpness)
    truth: dict[str, float] = {**classification_metrics(labels, probabilities, CLASSES)} | TRUTH
    wanted = {name: truth[name] for name in figures}
    found = list(each(partial(_covered, draws, seed, wanted, sharpness), range(studies)))
    return {
        way: {name: sum(study[way][name] for study in found) / studies for name in figures}
        for way in ("groups", "files")
    }


def _covered(
    draws: int, seed: int, truth: dict[str, float], sharpness: float, number: int
) -> dict[str, dict[str, bool]]:
    """Whether the intervals of one study hold the truth."""
    labels, probabilities, groups = draw_study(seed + 1 + number, sharpness=sharpness)
    held = {}
    for way, drawn in (("groups", groups), ("files", [str(row) for row in range(len(labels))])):
        intervals = measure(labels, probabilities, drawn, CLASSES, draws, seed + number)["intervals"]
        held[way] = {name: intervals[name]["low"] <= value <= intervals[name]["high"] for name, value in truth.items()}
    return held


def small_class(studies: int, draws: int, seed: int, well: int, each: Each = map) -> dict[str, dict[str, float | None]]:
    """What becomes of intervals in studies with so many patients without disease, by figure.

    Returns:
        ``given``, the share of studies with an interval; ``held``, the share of these intervals that holds the truth, None of
        none; ``drawn``, the share of all studies in which it would if any number of groups were enough.
    """
    many = 100_000
    labels, probabilities, _ = draw_study(seed, many, well=many * well // PATIENTS)
    truth = _by_name(classification_metrics(labels, probabilities, CLASSES)) | TRUTH
    wanted = {name: truth[name] for name in (*SINGLE, *RECALLS) if name != "calibration_error"}
    found = list(each(partial(_small, draws, seed, wanted, well), range(studies)))
    given, held, drawn = ({name: sum(study[name][place] for study in found) for name in wanted} for place in range(3))
    return {
        name: {
            "given": given[name] / studies,
            "held": held[name] / given[name] if given[name] else None,
            "drawn": drawn[name] / studies,
        }
        for name in wanted
    }


def _small(
    draws: int, seed: int, truth: dict[str, float], well: int, number: int
) -> dict[str, tuple[bool, bool, bool]]:
    """Of one study: is there an interval, does it hold the truth, would one that is drawn from however few groups."""
    labels, probabilities, groups = draw_study(seed + 1 + number, well=well)
    intervals = measure(labels, probabilities, groups, CLASSES, draws, seed + number)["intervals"]
    values = draw_figures(labels, probabilities, groups, CLASSES, draws, seed + number)
    found = {}
    for name, value in truth.items():
        low, high = (intervals[name][end] for end in ("low", "high"))
        fewest = (
            PATIENTS
            if name == "per_class.sick.recall"
            else fewest_groups(groups, [CLASSES[label] for label in labels], mean=name in MEANS)
        )
        anyway = interval_of(values[name].tolist(), fewest)
        found[name] = (
            low is not None,
            low is not None and low <= value <= high,
            anyway.low is not None and anyway.high is not None and anyway.low <= value <= anyway.high,
        )
    return found


def near_a_target(studies: int, draws: int, seed: int, each: Each = map) -> list[dict[str, float]]:
    """How often a sensitivity's interval holds the truth where every patient is one slice, and is found with the same chance.

    Returns:
        One row for each number of patients and chance: ``patients``, ``truth``, ``held`` of the interval given, and
        ``drawn`` of one by drawing patients.
    """
    cases = [(patients, truth) for patients in ONE_SLICE for truth in TARGETS]
    rows = []
    for patients, truth in cases:
        found = list(each(partial(_single, draws, patients, truth), range(seed, seed + studies)))
        held, drawn = (float(np.mean([row[place] for row in found])) for place in (0, 1))
        rows.append({"patients": patients, "truth": truth, "held": held, "drawn": drawn})
    return rows


def _single(draws: int, patients: int, truth: float, seed: int) -> tuple[bool, bool]:
    hits = np.random.default_rng(seed).random(patients) < truth
    groups, classes = [f"p{number}" for number in range(patients)], ["sick"] * patients
    given = exact_share(hits, groups, classes)
    assert given is not None
    drawn = group_bootstrap(groups, classes, lambda rows: float(hits[rows].mean()), draws, seed)
    return _holds(given, truth), _holds(drawn, truth)


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low is not None and interval.high is not None and interval.low <= truth <= interval.high


def _by_name(figures: dict[str, Any]) -> dict[str, float]:
    """Single figures and recalls by dotted name."""
    return {name: figures[name] for name in SINGLE} | {
        f"per_class.{label}.recall": figures["per_class"][label]["recall"] for label in CLASSES
    }


def as_markdown(result: dict[str, Any]) -> str:
    """The result as three tables."""
    rows = [
        f"| {name}, {network} | {found['groups'][name]:.3f} | {found['files'][name]:.3f} |"
        for network, found in result["networks"].items()
        for name in found["groups"]
    ]
    about = (
        f"{result['date']}: {result['studies']} simulated studies of {2 * PATIENTS} patients with 1 to {MOST_PICTURES} "
        f"pictures each, {result['draws']} draws a study. To be reached: {WANTED[0]:.2f} to {WANTED[1]:.2f} by drawing "
        f"groups. By drawing files every picture counts as new evidence. These are figures of {PATIENTS} patients a class."
    )
    few = [
        f"| {well} | {name} | {row['given']:.3f} | {'–' if row['held'] is None else format(row['held'], '.3f')} | "
        f"{row['drawn']:.3f} |"
        for well, found in result["small_class"].items()
        for name, row in found.items()
    ]
    why = (
        f"{PATIENTS} patients with disease and few without, the network too sure. No interval is given of a figure that rests "
        f"on a class of fewer than {FEWEST_GROUPS} groups, unless it is an exact one. The last column is "
        "what drawing groups alone would have reached there."
    )
    single = [
        f"| {row['patients']} | {row['truth']:.2f} | {row['held']:.3f} | {row['drawn']:.3f} |"
        for row in result["near_a_target"]
    ]
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
            *([_TOO_WIDE, ""] if _holds_too_often(result) else []),
            "## Few patients in one class",
            "",
            why,
            "",
            "| patients without disease | figure | interval given | of these, holds the truth | drawn anyway |",
            "| --- | --- | --- | --- | --- |",
            *few,
            "",
            "## One slice a patient, near a target",
            "",
            "A share of slices that are each a patient of its own has an exact interval (Clopper and Pearson 1934).",
            "",
            "| patients | true sensitivity | exact interval, as given | drawing patients |",
            "| --- | --- | --- | --- |",
            *single,
            "",
        ]
    )


_TOO_WIDE = (
    "The calibration error is held more often than that. On few slices chance alone lifts it, so that its interval reaches "
    "as far as the deviations of all bins together may have taken it: at least 95 % by the triangle inequality, and more "
    "where these do not all add up. Read it as what the error may be at most and at least, not as a 95 % interval."
)


def _holds_too_often(result: dict[str, Any]) -> bool:
    return any(found["groups"]["calibration_error"] > WANTED[1] for found in result["networks"].values())


def _one_thread() -> None:
    """A process a core is enough: threads of matrix products beside it would only wait for each other."""
    threadpool_limits(1)


def main() -> None:
    """Simulate, print and store the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes; as many as cores unless given")
    parser.add_argument("--output", type=Path, help="folder for DATE-interval-coverage.json and .md; none writes none")
    arguments = parser.parse_args()
    started = time.perf_counter()
    asked = arguments.studies, arguments.draws, 1
    with ProcessPoolExecutor(arguments.workers, initializer=_one_thread) as pool:
        each = partial(pool.map, chunksize=5)
        networks = {
            "too sure": shares_covered(*asked, each=each),
            "calibrated": shares_covered(*asked, sharpness=1.0, each=each),
        }
        few = {str(well): small_class(*asked, well, each=each) for well in SMALL}
        single = near_a_target(*asked, each=each)
    result = {
        "date": date.today().isoformat(),
        "studies": arguments.studies,
        "draws": arguments.draws,
        "seconds": round(time.perf_counter() - started, 1),
        "wanted": list(WANTED),
        "networks": networks,
        "small_class": few,
        "near_a_target": single,
    }
    print(as_markdown(result))
    if arguments.output:
        base = arguments.output / f"{result['date']}-interval-coverage"
        base.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
        base.with_suffix(".md").write_text(as_markdown(result))


if __name__ == "__main__":
    main()

"""Every figure of merit with a 95 % interval, and beside what a model without anatomy and no model at all would reach.

The figures of all resamples are computed at once: a resample is how often each slice was drawn, so that a thousand of them
are one matrix, in which counts, sums and rankings are plain products.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_tumor.bootstrap import (
    ALIKE,
    LEVEL,
    Interval,
    exact_share,
    few_groups,
    fewest_groups,
    interval_of,
    resamples,
)
from lung_tumor.calibration import BINS, bin_ends, bin_numbers, confidence
from lung_tumor.fitting import cross_entropies
from lung_tumor.metrics import (
    RANKINGS,
    SHARES,
    Labels,
    Probabilities,
    classification_metrics,
    squared_errors,
    undefined_figures,
)

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SINGLE = {
    "accuracy": True,
    "balanced_accuracy": True,
    "mcc": True,
    "roc_auc": True,
    "average_precision": True,
    "brier": False,
    "log_loss": False,
    "calibration_error": False,
}
"""Figures that are one number for the whole, and whether a larger one is better."""

MEANS = ("accuracy", "brier", "log_loss")
"""Those that are means over slices."""

_CHANCE = "chance in calibration_error"

_CELLS = 500_000
"""Draws times slices that are held at once, 4 MB an array."""


def measure(
    labels: Labels, probabilities: Probabilities, groups: Sequence[str], classes: Sequence[str], draws: int, seed: int
) -> dict[str, Any]:
    """Every figure of :func:`lung_tumor.metrics.classification_metrics` with its 95 % interval.

    Args:
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes), rows summing to 1.
        groups: (n,) group of each slice.
        classes: class names, in the order of the columns.
        draws: resamples of whole groups, at least 1.
        seed: of the resamples; the same one gives the same intervals, and paired ones on the same slices.

    Returns:
        The figures, and under ``intervals`` an :class:`lung_tumor.bootstrap.Interval` as a dictionary for each, by its
        dotted name such as ``per_class.normal.recall``. There are no ends, but the reason, where the figure is undefined or
        rests on a class of too few groups: the recall of a class on that class alone, its specificity on all others, a mean
        over slices on classes that its variance may come from, and everything else on all classes. Shares of exactly 0 or 1
        have exact ends, of however few groups.
    """
    figures = classification_metrics(labels, probabilities, classes)
    drawn = draw_figures(labels, probabilities, groups, classes, draws, seed)
    exact, support = _exact(labels, probabilities, groups, classes), _support(labels, groups, classes)
    lacking: dict[str, list[str]] = {}
    for sentence, names in undefined_figures(labels, probabilities.argmax(axis=1), classes).items():
        for name in names:
            lacking.setdefault(name, []).append(sentence)

    def interval(name: str) -> Interval:
        if name in lacking:
            return Interval(None, None, 0, reason="; ".join(lacking[name]))
        if name in exact:
            return exact[name]
        reason, fewest = support.get(name, support["all"])
        if reason:
            return Interval(None, None, 0, reason=reason)
        if name == "calibration_error":
            return _around(figures[name], drawn[_CHANCE])
        return interval_of(drawn[name].tolist(), fewest)

    return figures | {"intervals": {name: interval(name).to_dict() for name in figure_names(classes)}}


def _support(labels: Labels, groups: Sequence[str], classes: Sequence[str]) -> dict[str, tuple[str, int]]:
    """What a figure that rests on some classes alone rests on; under ``all`` what the others do.

    Returns:
        By dotted name: why there can be no interval by drawing, empty if there can, and the fewest groups of a class.
    """
    names = [classes[index] for index in labels]

    def behind(wanted: Sequence[str]) -> tuple[str, int]:
        rows = [(group, name) for group, name in zip(groups, names, strict=True) if name in wanted]
        of, strata = [group for group, _ in rows], [name for _, name in rows]
        return (few_groups(of, strata), fewest_groups(of, strata)) if rows else ("no slice to measure it on", 0)

    mean = few_groups(groups, names, mean=True), fewest_groups(groups, names, mean=True)
    found = {"all": (few_groups(groups, names), fewest_groups(groups, names)), **dict.fromkeys(MEANS, mean)}
    for name in classes:
        found[f"per_class.{name}.recall"] = behind([name])
        found[f"per_class.{name}.specificity"] = behind([other for other in classes if other != name])
    return found


def _exact(
    labels: Labels, probabilities: Probabilities, groups: Sequence[str], classes: Sequence[str]
) -> dict[str, Interval]:
    """The exact intervals of those figures that are a share of some slices and 0 or 1, by dotted name."""
    predicted = probabilities.argmax(axis=1)
    # Which slices have it, among which.
    shares: dict[str, tuple[Flags, Flags]] = {"accuracy": (predicted == labels, np.ones(len(labels), dtype=bool))}
    # Who says the same of every slice has a recall of 0 or 1 whatever is drawn: nothing is uncertain about it.
    knows_nothing = bool((probabilities == probabilities[0]).all())
    for index, name in enumerate(classes):
        of_class, given = labels == index, predicted == index
        shares[f"per_class.{name}.precision"] = (of_class, given)
        if not knows_nothing:
            shares[f"per_class.{name}.recall"] = (given, of_class)
            shares[f"per_class.{name}.specificity"] = (~given, ~of_class)
    named, truth = np.asarray(groups, dtype=str), np.asarray(classes)[labels]
    found = {
        name: exact_share(hits[among], named[among].tolist(), truth[among].tolist())
        for name, (hits, among) in shares.items()
    }
    return {name: interval for name, interval in found.items() if interval is not None}


def measure_beside(
    labels: Labels,
    probabilities: Probabilities,
    groups: Sequence[str],
    classes: Sequence[str],
    trivial: Probabilities | None,
    majority_class_shares: Sequence[float],
    draws: int,
    seed: int,
    why_not: str = "",
) -> dict[str, Any]:
    """The network beside numbers that know no anatomy and beside the classes' shares alone, on the same slices and draws.

    Args:
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes) of the network.
        groups: (n,) group of each slice.
        classes: class names, in the order of the columns.
        trivial: (n, classes) of :func:`lung_tumor.shortcuts.audit_shortcuts`; None, or NaN anywhere, where it has none.
        majority_class_shares: (classes,) shares of the classes in the training split: what every slice is given.
        draws: resamples of whole groups.
        seed: of the resamples.
        why_not: why ``trivial`` has none, as the audit says it.

    Returns:
        ``network``, ``trivial`` (None where there is none) and ``majority``, each as :func:`measure` gives it;
        ``trivial_reason``, why there is none, else empty; ``slices``, ``groups`` and ``groups_by_class``.
    """
    names = [classes[index] for index in labels]
    majority = np.tile(np.asarray(majority_class_shares, dtype=np.float64), (len(labels), 1))
    known = trivial is not None and not np.isnan(trivial).any()
    return {
        "network": measure(labels, probabilities, groups, classes, draws, seed),
        "trivial": measure(labels, trivial, groups, classes, draws, seed) if trivial is not None and known else None,
        "trivial_reason": "" if known else why_not or "some pictures have no probability",
        "majority": measure(labels, majority, groups, classes, draws, seed),
        "slices": len(labels),
        "groups": len(set(groups)),
        "groups_by_class": {
            name: len({group for group, label in zip(groups, names, strict=True) if label == name}) for name in classes
        },
    }


def figure_names(classes: Sequence[str]) -> list[str]:
    """Dotted name of every figure that has an interval."""
    own = [f"per_class.{name}.{figure}" for name in classes for figure in (*SHARES, *RANKINGS)]
    return [*SINGLE, *(f"macro.{figure}" for figure in SHARES), *own]


def draw_figures(
    labels: Labels, probabilities: Probabilities, groups: Sequence[str], classes: Sequence[str], draws: int, seed: int
) -> dict[str, Values]:
    """Every figure in each resample of :func:`lung_tumor.bootstrap.resamples`, by dotted name, (draws,); NaN is undefined.

    The bins of the calibration error are those of the slices at hand, in every resample.
    """
    stream = resamples(groups, [classes[index] for index in labels], draws, seed)
    parts: list[dict[str, Values]] = []
    while block := list(islice(stream, max(1, _CELLS // len(labels)))):
        times = np.stack([np.bincount(indices, minlength=len(labels)) for indices in block]).astype(np.float64)
        parts.append(weighted_figures(times, labels, probabilities, classes))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def weighted_figures(
    times: Values, labels: Labels, probabilities: Probabilities, classes: Sequence[str]
) -> dict[str, Values]:
    """Every figure of many resamples at once; equal to scikit-learn's on the repeated rows.

    Args:
        times: (draws, n) how often each slice was drawn, whole numbers.
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes), rows summing to 1.
        classes: class names, in the order of the columns.

    Returns:
        By dotted name (draws,) float64; NaN where a resample does not define the figure. And what :func:`_around` needs.
    """
    count, predicted = len(classes), probabilities.argmax(axis=1)
    cells = np.eye(count * count)[labels * count + predicted]
    confusion = (times @ cells).reshape(-1, count, count)
    total = times.sum(axis=1)
    per_class = _shares(confusion)
    for index in range(count):
        area, precision = _rankings(times, labels == index, probabilities[:, index])
        per_class["roc_auc"][:, index], per_class["average_precision"][:, index] = area, precision
    error, chance = _calibration_errors(times, labels, probabilities)
    figures = {
        "accuracy": np.trace(confusion, axis1=1, axis2=2) / total,
        "balanced_accuracy": per_class["recall"].mean(axis=1),
        "mcc": _matthews(confusion),
        **{name: per_class[name].mean(axis=1) for name in RANKINGS},
        "brier": times @ squared_errors(labels, probabilities) / total,
        "log_loss": times @ cross_entropies(probabilities, labels) / total,
        "calibration_error": error,
        **{f"macro.{name}": per_class[name].mean(axis=1) for name in SHARES},
    }
    own = {f"per_class.{c}.{name}": values[:, i] for name, values in per_class.items() for i, c in enumerate(classes)}
    return {name: (figures | own)[name] for name in figure_names(classes)} | {_CHANCE: chance}


def _ratio(part: Values, whole: Values) -> Values:
    """``part / whole``, NaN where there is no whole."""
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def _shares(confusion: Values) -> dict[str, Values]:
    """:data:`SHARES` of every class from (draws, classes, classes), each (draws, classes); room for :data:`RANKINGS`."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    of_class, given = confusion.sum(axis=2), confusion.sum(axis=1)
    others = of_class.sum(axis=1, keepdims=True) - of_class
    return {
        "precision": _ratio(right, given),
        "recall": _ratio(right, of_class),
        "specificity": _ratio(others - (given - right), others),
        "f1": _ratio(2.0 * right, given + of_class),
        **{name: np.full(right.shape, np.nan) for name in RANKINGS},
    }


def _matthews(confusion: Values) -> Values:
    """Matthews's correlation of two or more classes (Gorodkin 2004)."""
    right, total = np.trace(confusion, axis1=1, axis2=2), confusion.sum(axis=(1, 2))
    of_class, given = confusion.sum(axis=2), confusion.sum(axis=1)
    spread = (total**2 - (given**2).sum(axis=1)) * (total**2 - (of_class**2).sum(axis=1))
    return _ratio(right * total - (given * of_class).sum(axis=1), np.sqrt(spread))


def _rankings(times: Values, positive: npt.NDArray[np.bool_], scores: Probabilities) -> tuple[Values, Values]:
    """Area under the ROC curve (Mann-Whitney, a tie counts a half) and average precision of each resample, (draws,)."""
    order = np.argsort(-scores, kind="stable")
    # From the highest score down; slices of one score are one step of the curve.
    steps = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    drawn = times[:, order]
    with_it = np.add.reduceat(drawn * positive[order], steps, axis=1)
    every = np.add.reduceat(drawn, steps, axis=1)
    positives, all_so_far = np.cumsum(with_it, axis=1), np.cumsum(every, axis=1)
    without = every - with_it
    # Each negative is beaten by the positives above it and, half, by those beside it.
    won = (without * (positives - with_it / 2.0)).sum(axis=1)
    total, rest = positives[:, -1], all_so_far[:, -1] - positives[:, -1]
    precision = np.divide(positives, all_so_far, out=np.zeros_like(positives), where=all_so_far > 0)
    both = (total > 0) & (rest > 0)
    return (
        np.where(both, _ratio(won, total * rest), np.nan),
        np.where(both, _ratio((with_it * precision).sum(axis=1), total), np.nan),
    )


def _calibration_errors(times: Values, labels: Labels, probabilities: Probabilities) -> tuple[Values, Values]:
    """Calibration error of each resample, and that of its deviations from the slices at hand alone, each (draws,)."""
    confidences, right = confidence(labels, probabilities)
    ends = bin_ends(confidences, BINS)
    inside = np.eye(len(ends) + 1)[bin_numbers(confidences, ends)]
    gaps = inside * (confidences - right)[:, None]
    drawn = times @ gaps / times.sum(axis=1, keepdims=True)
    return np.abs(drawn).sum(axis=1), np.abs(drawn - gaps.mean(axis=0)).sum(axis=1)


def _around(value: float, chance: Values) -> Interval:
    """The interval of the calibration error.

    Chance alone makes it larger, in resamples once more than in the slices themselves, so that an interval between their
    quantiles would leave out a calibrated network's 0. But by the triangle inequality it misses the truth by no more than
    the deviations of all bins together, and resamples say how large these are: 95 % of the time at least it holds the truth.
    """
    reach = float(np.quantile(chance, LEVEL))
    if reach == 0.0:
        return Interval(None, None, len(chance), reason=ALIKE)
    return Interval(max(0.0, value - reach), min(1.0, value + reach), len(chance))

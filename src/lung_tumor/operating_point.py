"""Where suspicion begins, and the band around it in which the answer is "uncertain: refer"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_tumor.bootstrap import Interval, exact_share, few_groups, fewest_groups, interval_of, resamples
from lung_tumor.options import require_types

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.floating[Any]]
Values = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]

_NEVER = 1e-7
"""Suspicions are taken to lie this far from 0 and 1 at least, so that their log-odds are finite."""

_EVEN = 0.5
"""No threshold lies above it: what is more likely diseased than not is never cleared, though the target would allow it."""

_FEW_WITH, _FEW_WITHOUT = 20, 10
"""Groups with disease, and without, below which the operating point comes with a caution.

Of fewer than 20 independent ones with disease not one may be missed if 95 % are to be suspected: the least suspicious of
them alone then says where the threshold lies.
"""


@dataclass(frozen=True)
class OperatingPointOptions:
    """``params:serving.operating_point``.

    Attributes:
        target_sensitivity: share of validation slices with disease that must be suspected, in (0, 1].
        refer_share: share of validation slices, those nearest to the threshold, that are referred, in [0, 1).
        negative: class that means that nothing is suspected; upper and lower case are the same.
    """

    target_sensitivity: float = 0.95
    refer_share: float = 0.1
    negative: str = "normal"

    def __post_init__(self) -> None:
        require_types(self, "operating_point")
        if not 0.0 < self.target_sensitivity <= 1.0:
            raise ValueError(
                f"operating_point.target_sensitivity must lie in (0, 1], received {self.target_sensitivity}"
            )
        if not 0.0 <= self.refer_share < 1.0:
            raise ValueError(f"operating_point.refer_share must lie in [0, 1), received {self.refer_share}")
        if not isinstance(self.negative, str) or not self.negative.strip():
            raise ValueError(f"operating_point.negative must be the name of a class, received {self.negative!r}")


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the suspicion, with what it reached on the slices it was chosen on.

    Attributes:
        negative: class that means that nothing is suspected; the suspicion of a slice is 1 less its probability.
        threshold: a slice is suspected from this suspicion on, in (0, 1).
        low: lower end of the band in which a slice is referred instead of answered, at most ``threshold``.
        high: upper end of the band, not itself within it, at least ``threshold``; equal to ``low`` where none is referred.
        target_sensitivity: share of slices with disease that were to be suspected, in (0, 1].
        sensitivity: share that was, on the validation slices; 0 where none of them has disease, as ``caution`` then says.
        specificity: share of validation slices without disease that was not suspected; 0 where there is none.
        groups: independent groups of validation slices it was chosen on.
        caution: what speaks against it, empty if nothing.
    """

    negative: str
    threshold: float
    low: float
    high: float
    target_sensitivity: float
    sensitivity: float
    specificity: float
    groups: int
    caution: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.low <= self.threshold <= self.high <= 1.0:
            found = f"{self.low}, {self.threshold}, {self.high}"
            raise ValueError(f"an operating point needs 0 <= low <= threshold <= high <= 1, received {found}")


@dataclass(frozen=True)
class Scored:
    """Slices with probabilities.

    Attributes:
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes).
        groups: (n,) group of each slice.
    """

    labels: Labels
    probabilities: Probabilities
    groups: Sequence[str]


def suspicion(probabilities: Probabilities, classes: Sequence[str], negative: str) -> Probabilities:
    """One less the probability of the class that means no disease; (n, classes) gives (n,)."""
    found: Probabilities = 1.0 - probabilities[:, list(classes).index(negative)]
    return found


def negative_class(classes: Sequence[str], wanted: str) -> str:
    """The class that means that nothing is suspected.

    Raises:
        ValueError: no class has that name. Guessing one would clear patients of what the others mean.
    """
    for name in classes:
        if name.strip().casefold() == wanted.strip().casefold():
            return name
    raise ValueError(
        f"no class is named {wanted!r}; say which of {', '.join(classes)} means that nothing is suspected, with "
        f"serving.operating_point.negative"
    )


def choose(
    labels: Labels,
    probabilities: Probabilities,
    groups: Sequence[str],
    classes: Sequence[str],
    options: OperatingPointOptions,
) -> OperatingPoint:
    """The largest threshold, 0.5 at most, with which at least the target share of slices with disease is suspected.

    Every threshold between two neighbouring suspicions decides these slices alike; taken is the middle of the two in
    log-odds, so that it does not stick to one slice. The band reaches equally far to both sides, in log-odds, and holds the
    share of slices that is to be referred, more only where several lie equally near.

    Args:
        labels: (n,) index of each validation slice's true class.
        probabilities: (n, classes), calibrated.
        groups: (n,) group of each slice.
        classes: class names, in the order of the columns.
        options: see :class:`OperatingPointOptions`.

    Returns:
        With a threshold of 0.5, and the reason in ``caution``, where no slice has disease.

    Raises:
        ValueError: no slice, or shapes that do not fit.
    """
    if len(labels) == 0 or not len(labels) == len(groups) == len(probabilities):
        received = f"{len(labels)} labels, {len(groups)} groups and {len(probabilities)} rows of probabilities"
        raise ValueError(
            f"an operating point needs validation slices, each with a label and a group, received {received}"
        )
    negative = negative_class(classes, options.negative)
    diseased = labels != list(classes).index(negative)
    scores = suspicion(probabilities.astype(np.float64), classes, negative)
    threshold = min(_threshold(scores, diseased, options.target_sensitivity), _EVEN)
    low, high = _band(scores, threshold, options.refer_share)
    return OperatingPoint(
        negative=negative,
        threshold=threshold,
        low=low,
        high=high,
        target_sensitivity=options.target_sensitivity,
        sensitivity=_share(scores[diseased] >= threshold) or 0.0,
        specificity=_share(scores[~diseased] < threshold) or 0.0,
        groups=len(set(groups)),
        caution=_few(groups, diseased),
    )


def judge(
    point: OperatingPoint,
    labels: Labels,
    probabilities: Probabilities,
    groups: Sequence[str],
    classes: Sequence[str],
    draws: int,
    seed: int,
    refused: Flags | None = None,
) -> dict[str, dict[str, Any]]:
    """What the operating point reaches on slices that it was not chosen on.

    Args:
        point: the operating point.
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes), calibrated.
        groups: (n,) group of each slice.
        classes: class names, in the order of the columns.
        draws: resamples of whole groups behind each interval.
        seed: of the resamples.
        refused: (n,) whether a slice is refused and so gets no answer; none is if not given.

    Returns:
        ``sensitivity`` and ``specificity`` at the threshold, of all slices; ``referred`` and ``refused``, the shares that are
        told so; and ``error_when_answered``, the share of the suspected and the cleared of whom that is wrong. Each ``value``
        (None where undefined), ``slices`` and ``groups``, how many it is a share of, and ``interval``
        (:class:`lung_tumor.bootstrap.Interval` as a dictionary): exact where it can be (:func:`exact_share`), without ends
        where a class that much of its variance may come from has too few groups, or where every slice is given the same.
    """
    diseased = labels != list(classes).index(point.negative)
    scores = suspicion(probabilities.astype(np.float64), classes, point.negative)
    suspected = scores >= point.threshold
    within = (scores >= point.low) & (scores < point.high)
    # Who is refused is told that, and neither referred nor answered.
    shown = np.ones_like(diseased) if refused is None else ~refused
    referred, answered = shown & within, shown & ~within
    # Each figure is a share of some slices: which of them count, and which of those are hits.
    shares = {
        "sensitivity": (diseased, suspected),
        "specificity": (~diseased, ~suspected),
        "referred": (np.ones_like(diseased), referred),
        "refused": (np.ones_like(diseased), ~shown),
        "error_when_answered": (answered, suspected != diseased),
    }
    names, named = np.array([classes[index] for index in labels]), np.asarray(groups, dtype=str)
    drawn = list(resamples(groups, names.tolist(), draws, seed))
    # Who says the same of every slice suspects all or none of them, whatever is drawn: nothing is uncertain about it.
    knows_nothing = bool((scores == scores[0]).all())

    def interval(counts: Flags, hits: Flags) -> Interval:
        behind = named[counts].tolist(), names[counts].tolist()
        if not counts.any():
            return Interval(None, None, 0, reason="no slice to measure it on")
        if not knows_nothing and (exact := exact_share(hits[counts], *behind)):
            return exact
        if reason := few_groups(*behind, mean=True):
            return Interval(None, None, 0, reason=reason)
        drawn_shares = [_share(hits[rows][counts[rows]]) for rows in drawn]
        return interval_of(drawn_shares, fewest_groups(*behind, mean=True))

    return {
        name: {
            "value": _share(hits[counts]),
            "slices": int(counts.sum()),
            "groups": len(set(named[counts].tolist())),
            "interval": interval(counts, hits).to_dict(),
        }
        for name, (counts, hits) in shares.items()
    }


def judge_beside(
    options: OperatingPointOptions,
    validation: Scored,
    test: Scored,
    classes: Sequence[str],
    majority_class_shares: Sequence[float],
    draws: int,
    seed: int,
    why_not: str = "",
) -> dict[str, Any]:
    """What needs no network reaches: numbers that know no anatomy, and naming the most frequent class whatever is shown.

    Args:
        options: the numbers' threshold and band are chosen by them on the validation slices, as the network's were. Nothing
            is refused.
        validation: scored by the numbers without anatomy.
        test: the same; NaN anywhere where they have no probabilities.
        classes: class names, in the order of the columns.
        majority_class_shares: (classes,) shares of the classes in the training split.
        draws: resamples of whole groups behind each interval.
        seed: of the resamples; that of :func:`judge` gives the same ones.
        why_not: why the numbers have no probabilities.

    Returns:
        ``trivial`` (None where there is none) and ``majority``, each as :func:`judge` gives it; ``trivial_reason``, why there
        is none, else empty; and ``majority_class``, which that is.
    """
    negative = negative_class(classes, options.negative)
    largest = int(np.argmax(majority_class_shares))
    named = np.tile(np.eye(len(classes))[largest], (len(test.labels), 1))
    # Whatever it names is at 0 or 1: no threshold is to be chosen, and none is referred.
    fixed = OperatingPoint(negative, _EVEN, _EVEN, _EVEN, options.target_sensitivity, 0.0, 0.0, groups=0)
    trivial, reason = None, why_not or "some pictures have no probability"
    if not (np.isnan(validation.probabilities).any() or np.isnan(test.probabilities).any()):
        point = choose(validation.labels, validation.probabilities, validation.groups, classes, options)
        trivial, reason = judge(point, test.labels, test.probabilities, test.groups, classes, draws, seed), ""
    return {
        "trivial": trivial,
        "trivial_reason": reason,
        "majority": judge(fixed, test.labels, named, test.groups, classes, draws, seed),
        "majority_class": classes[largest],
    }


def coverage_curve(
    point: OperatingPoint, labels: Labels, probabilities: Probabilities, classes: Sequence[str]
) -> list[dict[str, float]]:
    """How often the answer is wrong if only the slices farthest from the threshold are answered (El-Yaniv and Wiener 2010).

    Far is meant in log-odds of the suspicion, as the refer band is chosen: a band wider or narrower than that of the point,
    around the same threshold, is a point of the curve, and so is the point's own where it was not cut off at 0 or 1. Every
    slice counts, refused or not.

    Returns:
        One row for each distance at which a slice lies, in log-odds, the farthest first: ``coverage``, the share of slices at
        least as far, in (0, 1], and ``error``, the share of those that is suspected or cleared wrongly.
    """
    scores = suspicion(probabilities.astype(np.float64), classes, point.negative)
    wrong = (scores >= point.threshold) != (labels != list(classes).index(point.negative))
    distances = _distances(scores, point.threshold)
    order = np.argsort(-distances, kind="stable")
    answered = np.arange(1, len(order) + 1)
    errors = np.cumsum(wrong[order]) / answered
    # Slices that lie equally far are answered together.
    last = np.flatnonzero(np.r_[np.diff(distances[order]) != 0, True])
    return [{"coverage": float(answered[i] / len(order)), "error": float(errors[i])} for i in last]


def _threshold(scores: Values, diseased: Flags, target: float) -> float:
    ordered = np.sort(scores[diseased])[::-1]
    if not len(ordered):
        return 0.5
    # Rounding must not ask for one slice more: 0.95 * 20 is a little above 19.
    highest = float(ordered[max(1, math.ceil(target * len(ordered) - 1e-9)) - 1])
    lower = scores[scores < highest]
    below = float(lower.max()) if len(lower) else 0.0
    middle = _chance((_log_odds(highest) + _log_odds(below)) / 2.0)
    # Two suspicions may be so near to each other, or to 0 or 1, that nothing fits between them.
    return middle if below < middle <= highest else highest


def _band(scores: Values, threshold: float, share: float) -> tuple[float, float]:
    wanted = math.ceil(share * len(scores) - 1e-9)
    if wanted == 0:
        return threshold, threshold
    distances = np.sort(_distances(scores, threshold))
    nearest = distances[wanted - 1]
    farther = distances[distances > nearest]
    # Midway to the next slice beyond it, for the same reason as the threshold; or a little further, if there is none.
    reach = float(nearest + farther[0]) / 2.0 if len(farther) else float(nearest) + 0.5
    middle = _log_odds(threshold)
    return min(_chance(middle - reach), threshold), max(_chance(middle + reach), threshold)


def _few(groups: Sequence[str], diseased: Flags) -> str:
    """What to say of a choice that rests on few independent slices."""
    found = []
    with_it = len({group for group, has in zip(groups, diseased, strict=True) if has})
    without = len({group for group, has in zip(groups, diseased, strict=True) if not has})
    if with_it == 0:
        found.append(
            "no validation slice has disease: the threshold of 0.5 was not chosen and its sensitivity is unknown"
        )
    elif with_it < _FEW_WITH:
        found.append(
            f"chosen on {with_it} independent group(s) with disease, where {_FEW_WITH} would be few: the sensitivity on other "
            f"slices may lie well below the target"
        )
    if without == 0:
        found.append("no validation slice is without disease: the specificity is unknown")
    elif without < _FEW_WITHOUT:
        found.append(f"the specificity rests on {without} independent group(s) without disease")
    return "; ".join(found)


def _share(flags: Flags) -> float | None:
    return float(flags.mean()) if len(flags) else None


def _distances(scores: Values, threshold: float) -> Values:
    limited = np.clip(scores, _NEVER, 1.0 - _NEVER)
    # Rounded, so that slices equally far on either side are so in the computer too.
    return np.asarray(np.round(np.abs(np.log(limited / (1.0 - limited)) - _log_odds(threshold)), 9))


def _log_odds(chance: float) -> float:
    limited = min(max(chance, _NEVER), 1.0 - _NEVER)
    return math.log(limited / (1.0 - limited))


def _chance(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))

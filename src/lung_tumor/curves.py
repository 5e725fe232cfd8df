"""ROC and precision-recall curves, and the bands that independent groups leave around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_tumor.bootstrap import few_groups, fewest_groups, resamples, tails

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any]]

_RATES = np.linspace(0.0, 1.0, 101)
_RECALLS = np.linspace(0.01, 1.0, 100)


@dataclass(frozen=True)
class Band:
    """The 95 % interval of a curve's height, at each place by itself (:func:`lung_tumor.bootstrap.tails`).

    Attributes:
        at: (m,) false positive rates or recalls, rising from 0 or 0.01 to 1.
        low: (m,) lower ends.
        high: (m,) upper ends.
    """

    at: Floats
    low: Floats
    high: Floats


def roc(positive: Flags, scores: Scores) -> tuple[Floats, Floats]:
    """False and true positive rates at every threshold, strictest first, from (0, 0) to (1, 1).

    Args:
        positive: (n,) of both kinds at least one.
        scores: (n,) higher for positives.
    """
    return _rates(*_counts(positive, scores)(None))


def precision_recall(positive: Flags, scores: Scores) -> tuple[Floats, Floats]:
    """Recall and precision at every threshold, strictest first; arguments as of :func:`roc`."""
    return _recalls(*_counts(positive, scores)(None))


def roc_band(positive: Flags, scores: Scores, groups: Sequence[str], draws: int, seed: int) -> Band | None:
    """The 95 % band of true positive rates at each false positive rate (vertical averaging, Fawcett 2006).

    Args:
        positive: (n,) whether a slice is of the class.
        scores: (n,) its score.
        groups: (n,) its group; groups are drawn, not slices (:mod:`lung_tumor.bootstrap`).
        draws: number of resamples.
        seed: of the resamples.

    Returns:
        None where one side has too few groups to draw from (:data:`lung_tumor.bootstrap.FEWEST_GROUPS`), or no slice.
    """

    def at_rates(false: Floats, true: Floats) -> Floats:
        rates, heights = _rates(false, true)
        # The uppermost of several points at one rate: a vertical step belongs to its upper end.
        last = np.searchsorted(rates, _RATES, side="right") - 1
        following = np.minimum(last + 1, len(rates) - 1)
        gap = rates[following] - rates[last]
        share = np.divide(_RATES - rates[last], gap, out=np.zeros_like(_RATES), where=gap > 0)
        found: Floats = heights[last] + share * (heights[following] - heights[last])
        return found

    return _band(positive, scores, groups, draws, seed, _RATES, at_rates)


def precision_recall_band(positive: Flags, scores: Scores, groups: Sequence[str], draws: int, seed: int) -> Band | None:
    """The 95 % band of precision at each recall; arguments and absence as of :func:`roc_band`.

    Precision is that of the strictest threshold that reaches a recall: between thresholds no straight line holds (Davis and
    Goadrich 2006).
    """

    def at_recalls(false: Floats, true: Floats) -> Floats:
        recalls, precisions = _recalls(false, true)
        # The tolerance keeps a recall such as 7 / 10 from being missed by a rounding error.
        found: Floats = precisions[np.searchsorted(recalls, _RECALLS - 1e-9, side="left")]
        return found

    return _band(positive, scores, groups, draws, seed, _RECALLS, at_recalls)


def _band(
    positive: Flags,
    scores: Scores,
    groups: Sequence[str],
    draws: int,
    seed: int,
    places: Floats,
    heights_of: Callable[[Floats, Floats], Floats],
) -> Band | None:
    strata = ["positive" if flag else "negative" for flag in positive]
    if few_groups(groups, strata) or positive.all() or not positive.any():
        return None
    count = _counts(positive, scores)
    heights = np.stack([heights_of(*count(indices)) for indices in resamples(groups, strata, draws, seed)])
    low, high = np.quantile(heights, tails(fewest_groups(groups, strata)), axis=0)
    return Band(places, low, high)


def _counts(positive: Flags, scores: Scores) -> Callable[[npt.NDArray[np.intp] | None], tuple[Floats, Floats]]:
    """A function from a resample's rows to the false and true positives at every threshold; sorts once for all resamples."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0.0, True))
    positives = positive[order]

    def count(indices: npt.NDArray[np.intp] | None) -> tuple[Floats, Floats]:
        times = np.ones(len(order)) if indices is None else np.bincount(indices, minlength=len(order))[order]
        chosen: Floats = np.cumsum(times, dtype=np.float64)[ends]
        true: Floats = np.cumsum(times * positives, dtype=np.float64)[ends]
        return chosen - true, true

    return count


def _rates(false: Floats, true: Floats) -> tuple[Floats, Floats]:
    return np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])


def _recalls(false: Floats, true: Floats) -> tuple[Floats, Floats]:
    chosen = false + true
    drawn = chosen > 0
    return true[drawn] / true[-1], true[drawn] / chosen[drawn]

"""Whether probabilities mean what they say, and the one number that makes them do so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from lung_tumor.fitting import SMALLEST_PROBABILITY

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.floating[Any]]
Values = npt.NDArray[np.float64]

COLDEST, HOTTEST = 0.05, 20.0
"""Between these the temperature is sought."""

_PRIOR = 0.5
"""Standard deviation of the prior of the temperature's logarithm: 95 % of it lies between 0.37 and 2.7."""

BINS = 10
"""Most bins of the reliability diagram."""

_FEWEST_IN_A_BIN = 15
"""Slices of a bin of the reliability diagram: of fewer, the share told rightly says nothing."""


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by.

    Attributes:
        value: :data:`COLDEST` to :data:`HOTTEST`; above 1 makes probabilities more cautious, 1 leaves them.
        reason: what to know about it, empty if nothing.
    """

    value: float
    reason: str = ""


def fit_temperature(labels: Labels, probabilities: Probabilities) -> Temperature:
    """The temperature with the smallest log loss (Guo et al., ICML 2017), on slices that nothing was learnt from.

    Logits are the logarithms of the probabilities: any constant that a row's logits may differ by cancels. Sixty slices
    alone would fix the temperature badly, and slices that are all told rightly not at all: they would make every
    probability 0 or 1. So its logarithm has a normal prior around 0 (a penalty of its square), of which little is left
    once there are hundreds of slices.

    Args:
        labels: (n,) index of each slice's true class; validation slices or out-of-fold ones, never test slices.
        probabilities: (n, classes), not yet calibrated.

    Returns:
        1, with the reason, where a class has no slice; and with a reason where no slice is told wrongly.
    """
    if not np.bincount(labels, minlength=probabilities.shape[1]).all():
        return Temperature(
            1.0, "a class has no slice to calibrate on: probabilities are left as the network gives them"
        )
    logits, rows = _logits(probabilities), np.arange(len(labels))

    def loss(logarithm: float) -> float:
        """Sum of the log losses, and what the prior adds."""
        scaled = logits / np.exp(logarithm)
        losses = logsumexp(scaled, axis=1) - scaled[rows, labels]
        return float(losses.sum() + (logarithm / _PRIOR) ** 2 / 2.0)

    bounds = (float(np.log(COLDEST)), float(np.log(HOTTEST)))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    right = bool((probabilities.argmax(axis=1) == labels).all())
    reason = (
        "no slice to calibrate on is told wrongly, so that they do not say how sure the network may be: the temperature "
        "is held near 1 by the prior alone"
        if right
        else ""
    )
    return Temperature(float(np.exp(found.x)), reason)


def calibrated(probabilities: Probabilities, temperature: float) -> Values:
    """Probabilities whose logits are divided by the temperature, (n, classes) float64; the order of classes stays."""
    return np.asarray(softmax(_logits(probabilities) / temperature, axis=1))


def calibrated_out_of_fold(labels: Labels, probabilities: Probabilities, folds: Labels) -> Values:
    """Out-of-fold probabilities calibrated as a served model is, (n, classes): each fold by a temperature from the others.

    Args:
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes), of every slice by a model that did not see its fold.
        folds: (n,) fold of each slice, two or more.
    """
    found = np.empty(probabilities.shape)
    for fold in np.unique(folds):
        others, own = folds != fold, folds == fold
        found[own] = calibrated(probabilities[own], fit_temperature(labels[others], probabilities[others]).value)
    return found


def reliability(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> list[dict[str, float]]:
    """How often slices are told rightly whose most probable class was given about the same probability.

    Bins hold about equally many slices (Nguyen and O'Connor 2015), at least 15, so that small sets have fewer than asked
    for: bins of equal width would hold nearly all slices in the last and a handful in each other, and the gap of a
    handful is chance. Slices of equal confidence stay together.

    Args:
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes).
        bins: most bins.

    Returns:
        A row a bin, in order: ``low`` and ``high`` (confidences it reaches from and to), ``count``, ``confidence`` (mean) and
        ``accuracy``.
    """
    confidences, right = confidence(labels, probabilities)
    ends = [*bin_ends(confidences, bins), 1.0]
    numbers = bin_numbers(confidences, ends[:-1])
    rows = []
    for number, high in enumerate(ends):
        inside = numbers == number
        low = float(confidences.min()) if number == 0 else ends[number - 1]
        rows.append(
            {
                "low": low,
                "high": high,
                "count": int(inside.sum()),
                "confidence": float(confidences[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    return rows


def calibration_error(labels: Labels, probabilities: Probabilities, bins: int = BINS) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over :func:`reliability`'s bins (Naeini et al. 2015).

    0 to 1. Of few slices it is above 0 by chance alone, however well calibrated the network is.
    """
    rows = reliability(labels, probabilities, bins)
    return sum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / len(labels)


def error_by_chance(probabilities: Probabilities, seed: int, draws: int = 1000, bins: int = BINS) -> dict[str, float]:
    """The :func:`calibration_error` that a perfectly calibrated network has by chance, as sure of its answers as this one.

    In each draw every slice is told rightly with its own confidence, which is what calibration means, each by itself: of
    pictures that are alike chance has more room than that.

    Args:
        probabilities: (n, classes), rows summing to 1.
        seed: of the draws.
        draws: how many.
        bins: most bins, as for the error itself.

    Returns:
        ``median``, and ``high``, which 5 % of the draws exceed.
    """
    confidences = probabilities.max(axis=1).astype(np.float64)
    numbers = bin_numbers(confidences, bin_ends(confidences, bins))
    rng = np.random.default_rng(seed)

    def error() -> float:
        right = rng.random(len(confidences)) < confidences
        return float(np.abs(np.bincount(numbers, weights=confidences - right)).sum() / len(confidences))

    median, high = np.quantile([error() for _ in range(draws)], [0.5, 0.95])
    return {"median": float(median), "high": float(high)}


def confidence(labels: Labels, probabilities: Probabilities) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Probability of each slice's most probable class, (n,) float64, and whether it is the true one, (n,)."""
    predicted = probabilities.argmax(axis=1)
    return probabilities[np.arange(len(labels)), predicted].astype(np.float64), predicted == labels


def bin_ends(confidences: Values, bins: int) -> list[float]:
    """Confidences at which the second and every further bin of :func:`reliability` begins."""
    count = max(1, min(bins, len(confidences) // _FEWEST_IN_A_BIN))
    ordered = np.sort(confidences)
    starts = np.unique(ordered[np.arange(1, count) * len(ordered) // count])
    return [float(start) for start in starts if start > ordered[0]]


def bin_numbers(confidences: Values, ends: Sequence[float]) -> npt.NDArray[np.intp]:
    """Number of the bin that each confidence lies in, (n,)."""
    return np.searchsorted(np.asarray(ends), confidences, side="right")


def _logits(probabilities: Probabilities) -> Values:
    return np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))

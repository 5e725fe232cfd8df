"""Area under the ROC curve, fast enough to be taken a thousand times in a bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any]]


def area(positive: npt.NDArray[np.bool_], scores: Scores) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative, a tie counting a half.

    The Mann-Whitney form (Hanley and McNeil 1982); equal to scikit-learn's ``roc_auc_score`` and some ten times faster.

    Args:
        positive: (n,) bool.
        scores: (n,) any finite numbers.

    Returns:
        0 to 1, or None where there is no positive or no negative.

    Raises:
        ValueError: a score is not a number.
    """
    if np.isnan(scores).any():
        raise ValueError(f"scores must be numbers, received {int(np.isnan(scores).sum())} NaN among {len(scores)}")
    high, low = scores[positive], np.sort(scores[~positive])
    if len(high) == 0 or len(low) == 0:
        return None
    # Sorted queries walk the array in order, which is what makes the search fast.
    high = np.sort(high)
    below = np.searchsorted(low, high, side="left").sum() + np.searchsorted(low, high, side="right").sum()
    return float(below) / (2.0 * len(high) * len(low))


def macro_area(labels: npt.NDArray[np.int64], probabilities: Scores) -> float | None:
    """Unweighted mean over classes of :func:`area`, one class against the rest (Fawcett 2006).

    With two classes whose probabilities sum to 1 this is the ordinary area.

    Args:
        labels: (n,) index of the true class.
        probabilities: (n, classes).

    Returns:
        0 to 1, or None where a class has no slice or there is but one class.

    Raises:
        ValueError: a probability is not a number, or the shapes do not fit.
    """
    if probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise ValueError(f"expected probabilities of shape ({len(labels)}, classes), received {probabilities.shape}")
    areas = [area(labels == index, probabilities[:, index]) for index in range(probabilities.shape[1])]
    defined = [value for value in areas if value is not None]
    return sum(defined) / len(areas) if areas and len(defined) == len(areas) else None

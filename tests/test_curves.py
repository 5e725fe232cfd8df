"""Curves beside scikit-learn's, and bands worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from lung_tumor import curves

POSITIVE = np.random.default_rng(0).random(200) < 0.4
SCORES = np.round(np.random.default_rng(1).normal(size=200) + POSITIVE, 1)
GROUPS = [f"g{row // 2}" for row in range(200)]


def test_the_roc_curve_is_that_of_scikit_learn() -> None:
    false, true, _ = roc_curve(POSITIVE, SCORES, drop_intermediate=False)
    np.testing.assert_allclose(curves.roc(POSITIVE, SCORES), (false, true), atol=1e-12)


def test_precision_and_recall_are_those_of_scikit_learn() -> None:
    recall, precision = curves.precision_recall(POSITIVE, SCORES)
    expected_precision, expected_recall, _ = precision_recall_curve(POSITIVE, SCORES)
    np.testing.assert_allclose(recall[::-1], expected_recall[:-1], atol=1e-12)
    np.testing.assert_allclose(precision[::-1], expected_precision[:-1], atol=1e-12)
    area = np.sum(np.diff(recall, prepend=0.0) * precision)
    assert area == pytest.approx(average_precision_score(POSITIVE, SCORES), abs=1e-12)


def test_the_bands_hold_the_curves_they_are_drawn_around() -> None:
    band = curves.roc_band(POSITIVE, SCORES, GROUPS, 200, 0)
    assert band is not None
    false, true = curves.roc(POSITIVE, SCORES)
    heights = np.interp(band.at, false, true)
    assert ((band.low - 1e-9 <= heights) & (heights <= band.high + 1e-9)).mean() > 0.98
    assert (band.high - band.low)[20:80].min() > 0.02
    assert (np.diff(band.low) >= -1e-12).all()
    assert band.high[-1] == band.low[-1] == 1.0


def test_a_band_by_hand() -> None:
    # Five groups of positives, four at 0.9 and one at 0.3, and five of negatives, all at 0.5: of five positives drawn 0.03 %
    # of draws have none at 0.9, 0.64 % one and a third five. Five groups' ends are the quantiles 0.00095 and 0.99905.
    positive, scores = np.arange(10) < 5, np.array([0.9] * 4 + [0.3] + [0.5] * 5)
    band = curves.roc_band(positive, scores, list("abcdefghij"), 20_000, 0)
    assert band is not None
    assert (band.low[0], band.high[0]) == (pytest.approx(0.2), 1.0)
    precision = curves.precision_recall_band(positive, scores, list("abcdefghij"), 400, 0)
    assert precision is not None
    # Full recall takes those at 0.9 alone (precision 1) if all five drawn are, else everything: 1 / 2.
    assert (precision.low[-1], precision.high[-1]) == (0.5, 1.0)


def test_copies_do_not_narrow_a_band() -> None:
    alone = curves.roc_band(POSITIVE, SCORES, [f"g{row}" for row in range(200)], 300, 0)
    times = np.repeat(np.arange(200), 5)
    copied = curves.roc_band(POSITIVE[times], SCORES[times], [f"g{row}" for row in times], 300, 0)
    assert alone is not None
    assert copied is not None
    ratio = (copied.high - copied.low).mean() / (alone.high - alone.low).mean()
    assert ratio == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("groups", ["aabcdfghij", "abcdefghii"])
def test_few_groups_on_one_side_have_no_band(groups: str) -> None:
    positive = np.arange(10) < 5
    assert curves.roc_band(positive, np.arange(10.0), list("abcdefghij"), 10, 0) is not None
    assert curves.roc_band(positive, np.arange(10.0), list(groups), 10, 0) is None
    assert curves.precision_recall_band(positive, np.arange(10.0), list(groups), 10, 0) is None


def test_one_side_alone_has_no_band() -> None:
    assert curves.roc_band(np.ones(3, dtype=bool), np.arange(3.0), ["a", "b", "c"], 10, 0) is None

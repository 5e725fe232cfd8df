"""Areas under the curve beside hand-made ones and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lung_tumor.roc import area, macro_area


def test_an_area_worked_by_hand() -> None:
    # Of the six pairs four are ranked rightly, (0.4, 0.4) is a tie, (0.2, 0.4) is wrong.
    positive = np.array([True, True, True, False, False])
    assert area(positive, np.array([0.9, 0.4, 0.2, 0.4, 0.1])) == pytest.approx((4 + 0.5) / 6)


@pytest.mark.parametrize("levels", [3, 20, 10**9])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_the_area_is_that_of_scikit_learn_with_many_ties_and_few(levels: int, share: float) -> None:
    rng = np.random.default_rng(levels)
    positive = rng.random(300) < share
    scores = rng.integers(levels, size=300) / levels + 0.3 * positive
    assert area(positive, scores) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_the_macro_area_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    labels, probabilities = rng.integers(3, size=200), rng.dirichlet(np.ones(3), size=200)
    expected = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert macro_area(labels, probabilities) == pytest.approx(expected, abs=1e-12)


def test_the_macro_area_of_two_classes_is_the_ordinary_one() -> None:
    rng = np.random.default_rng(5)
    labels, scores = rng.integers(2, size=200), rng.random(200)
    expected = roc_auc_score(labels, scores)
    assert macro_area(labels, np.stack([1 - scores, scores], axis=1)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("positive", [[True, True], [False, False], []])
def test_one_side_alone_has_no_area(positive: list[bool]) -> None:
    assert area(np.array(positive, dtype=bool), np.linspace(0, 1, len(positive))) is None


def test_a_class_without_slices_leaves_the_macro_area_undefined() -> None:
    assert macro_area(np.array([0, 1, 1]), np.full((3, 3), 1 / 3)) is None


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="received 1 NaN among 3"):
        area(np.array([True, False, True]), np.array([0.1, np.nan, 0.3]))


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"expected probabilities of shape \(3, classes\), received \(2, 2\)"):
        macro_area(np.zeros(3, dtype=np.int64), np.zeros((2, 2)))

"""Figures of merit beside tables worked by hand and beside scikit-learn's."""

from __future__ import annotations

import json
from math import log, sqrt

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, recall_score

from lung_tumor.metrics import classification_metrics

approx = pytest.approx


def two_classes() -> dict[str, object]:
    first = np.array([0.9, 0.8, 0.3, 0.4, 0.2])
    return classification_metrics(np.array([0, 0, 0, 1, 1]), np.stack([first, 1 - first], axis=1), ("sick", "well"))


def three_classes() -> dict[str, object]:
    probabilities = [[7, 2, 1], [2, 6, 2], [1, 8, 1], [3, 4, 3], [1, 2, 7], [5, 3, 2]]
    return classification_metrics(np.array([0, 0, 1, 1, 2, 2]), np.array(probabilities) / 10, ("a", "b", "c"))


def test_two_classes_worked_by_hand() -> None:
    found = two_classes()
    assert found["confusion_matrix"] == [[2, 1], [0, 2]]
    assert found["accuracy"] == approx(4 / 5)
    assert found["balanced_accuracy"] == approx((2 / 3 + 1) / 2)
    # Of the six pairs (sick, well) only (0.3, 0.4) is ranked wrongly. From the top, sick is met as 1st, 2nd and 4th; well,
    # in the order 0.8, 0.7, 0.6, 0.2, 0.1, as 1st and 3rd.
    sick = {"precision": 1.0, "recall": 2 / 3, "specificity": 1.0, "f1": 0.8, "slices": 3, "roc_auc": 5 / 6}
    well = {"precision": 2 / 3, "recall": 1.0, "specificity": 2 / 3, "f1": 0.8, "slices": 2, "roc_auc": 5 / 6}
    assert found["per_class"] == {
        "sick": approx(sick | {"average_precision": (1 + 1 + 3 / 4) / 3}),
        "well": approx(well | {"average_precision": (1 + 2 / 3) / 2}),
    }
    assert found["macro"] == approx({"precision": 5 / 6, "recall": 5 / 6, "specificity": 5 / 6, "f1": 0.8})
    assert found["roc_auc"] == approx(5 / 6)
    assert found["average_precision"] == approx((11 / 12 + 5 / 6) / 2)
    # (TP TN - FP FN) / sqrt of the product of the four margins.
    assert found["mcc"] == approx((2 * 2 - 0 * 1) / sqrt(2 * 3 * 2 * 3))
    assert found["brier"] == approx((0.1**2 + 0.2**2 + 0.7**2 + 0.4**2 + 0.2**2) / 5)
    assert found["log_loss"] == approx(-(log(0.9) + log(0.8) + log(0.3) + log(0.6) + log(0.8)) / 5)
    # Five slices make one bin: mean confidence 0.76 against 4 of 5 right.
    assert found["calibration_error"] == approx(0.8 - (0.9 + 0.8 + 0.7 + 0.6 + 0.8) / 5)
    assert found["undefined"] == []


def test_three_classes_worked_by_hand() -> None:
    found = three_classes()
    assert found["confusion_matrix"] == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert found["accuracy"] == found["balanced_accuracy"] == approx(4 / 6)
    shares = {
        "a": {"precision": 1 / 2, "recall": 1 / 2, "specificity": 3 / 4, "f1": 1 / 2},
        "b": {"precision": 2 / 3, "recall": 1.0, "specificity": 3 / 4, "f1": 4 / 5},
        "c": {"precision": 1.0, "recall": 1 / 2, "specificity": 1.0, "f1": 2 / 3},
    }
    rankings = {
        # From the top 0.7 (a), 0.5, 0.3, 0.2 (a): met as 1st and 4th.
        "a": {"roc_auc": 6 / 8, "average_precision": (1 + 2 / 4) / 2},
        # 0.8 (b), 0.6, 0.4 (b).
        "b": {"roc_auc": 7 / 8, "average_precision": (1 + 2 / 3) / 2},
        # 0.7 (c), 0.3, then 0.2 twice, one of them c: a tie counts a half for the area and is one step of the precision.
        "c": {"roc_auc": 6.5 / 8, "average_precision": (1 + 2 / 4) / 2},
    }
    assert found["per_class"] == {name: approx(shares[name] | rankings[name] | {"slices": 2}) for name in "abc"}
    assert found["macro"] == approx(
        {"precision": 13 / 18, "recall": 2 / 3, "specificity": 5 / 6, "f1": (1 / 2 + 4 / 5 + 2 / 3) / 3}
    )
    assert found["roc_auc"] == approx((6 + 7 + 6.5) / 24)
    # Right times all less the products of margins, 4·6 − (2·2 + 3·2 + 1·2), over sqrt((36 − 14)(36 − 12)) (Gorodkin 2004).
    assert found["mcc"] == approx(12 / sqrt(22 * 24))
    errors = [0.3, 0.8, 0.2, 0.6, 0.3, 0.8]
    others = [[0.2, 0.1], [0.6, 0.2], [0.1, 0.1], [0.3, 0.3], [0.1, 0.2], [0.5, 0.3]]
    squared = [own**2 + first**2 + second**2 for own, (first, second) in zip(errors, others, strict=True)]
    assert found["brier"] == approx(sum(squared) / 6)
    assert found["log_loss"] == approx(-(2 * log(0.7) + 2 * log(0.2) + log(0.8) + log(0.4)) / 6)
    assert found["undefined"] == []


@pytest.mark.parametrize("count", [2, 3])
def test_brier_score_log_loss_and_specificity_are_those_of_scikit_learn(count: int) -> None:
    rng = np.random.default_rng(count)
    labels, probabilities = rng.integers(count, size=200), rng.dirichlet(np.ones(count), size=200)
    found = classification_metrics(labels, probabilities, [f"c{index}" for index in range(count)])
    assert found["brier"] == approx(brier_score_loss(labels, probabilities, labels=range(count)), abs=1e-12)
    assert found["log_loss"] == approx(log_loss(labels, probabilities), abs=1e-12)
    for index in range(count):
        expected = recall_score(labels != index, probabilities.argmax(axis=1) != index)
        assert found["per_class"][f"c{index}"]["specificity"] == approx(expected, abs=1e-12)


def test_a_certain_mistake_costs_much_and_not_infinitely() -> None:
    found = classification_metrics(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]), ("a", "b"))
    assert found["log_loss"] == approx(-log(1e-7) / 2)


def test_a_class_never_predicted_has_precision_zero_and_is_named() -> None:
    found = classification_metrics(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]), ("sick", "well"))
    well = found["per_class"]["well"]
    assert (well["precision"], well["recall"], well["specificity"], well["f1"]) == (0.0, 0.0, 1.0, 0.0)
    assert found["mcc"] == 0.0
    assert found["undefined"] == ["MCC: every slice was given sick", "precision of well: never predicted"]


def test_a_class_without_slices_has_no_ranking_and_neither_has_a_mean() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]])
    found = classification_metrics(np.array([0, 1, 1]), probabilities, ("a", "b", "c"))
    assert [found["per_class"][name]["roc_auc"] for name in "abc"] == [1.0, 0.5, None]
    assert found["per_class"]["c"]["average_precision"] is None
    assert (found["roc_auc"], found["average_precision"], found["balanced_accuracy"]) == (None, None, None)
    assert found["undefined"] == ["recall, ROC AUC and average precision of c, and their means: no slice of it"]


def test_slices_of_one_class_alone_leave_every_ranking_undefined() -> None:
    found = classification_metrics(np.array([1, 1]), np.array([[0.2, 0.8], [0.3, 0.7]]), ("a", "b"))
    assert found["accuracy"] == 1.0
    assert (found["roc_auc"], found["per_class"]["b"]["average_precision"]) == (None, None)
    assert (found["mcc"], found["per_class"]["b"]["specificity"]) == (0.0, 0.0)
    assert found["confusion_matrix"] == [[0, 0], [0, 2]]
    assert found["undefined"] == [
        "MCC: every slice was given b",
        "precision of a: never predicted",
        "recall, ROC AUC and average precision of a, and their means: no slice of it",
        "specificity, ROC AUC and average precision of b, and MCC: no slice of any other class",
    ]


@pytest.mark.parametrize(("labels", "shape"), [(0, (0, 2)), (3, (2, 2)), (3, (3, 3)), (3, (3,))])
def test_shapes_that_do_not_fit_are_named(labels: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"expected probabilities of shape \({labels}, 2\), received"):
        classification_metrics(np.zeros(labels, dtype=np.int64), np.full(shape, 0.5), ("a", "b"))


@pytest.mark.parametrize("row", [[0.7, 0.2], [1.2, -0.2], [np.nan, 0.5]])
def test_rows_that_are_no_probabilities_are_refused(row: list[float]) -> None:
    with pytest.raises(ValueError, match="must be 0 or more and sum to 1, received"):
        classification_metrics(np.array([0, 1]), np.array([[0.5, 0.5], row]), ("a", "b"))


def test_rounding_of_single_precision_is_no_fault() -> None:
    probabilities = np.random.default_rng(1).dirichlet(np.ones(3), size=50).astype(np.float32)
    assert classification_metrics(np.arange(50) % 3, probabilities, ("a", "b", "c"))["undefined"] == []


def test_the_result_is_plain_json() -> None:
    for found in (two_classes(), three_classes()):
        assert json.loads(json.dumps(found)) == found

"""Figures of merit beside tables worked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

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
    # Of the six pairs (sick, well) only (0.3, 0.4) is ranked wrongly.
    assert found["per_class"] == {
        "sick": approx({"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "slices": 3, "roc_auc": 5 / 6}),
        "well": approx({"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "slices": 2, "roc_auc": 5 / 6}),
    }
    assert found["macro"] == approx({"precision": 5 / 6, "recall": 5 / 6, "f1": 0.8})
    assert found["roc_auc"] == approx(5 / 6)
    assert found["undefined"] == []


def test_three_classes_worked_by_hand() -> None:
    found = three_classes()
    assert found["confusion_matrix"] == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert found["accuracy"] == approx(4 / 6)
    assert found["per_class"] == {
        "a": approx({"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "slices": 2, "roc_auc": 6 / 8}),
        "b": approx({"precision": 2 / 3, "recall": 1.0, "f1": 4 / 5, "slices": 2, "roc_auc": 7 / 8}),
        # The tie of 0.2 with 0.2 counts a half.
        "c": approx({"precision": 1.0, "recall": 1 / 2, "f1": 2 / 3, "slices": 2, "roc_auc": 6.5 / 8}),
    }
    assert found["macro"] == approx({"precision": 13 / 18, "recall": 2 / 3, "f1": (1 / 2 + 4 / 5 + 2 / 3) / 3})
    assert found["roc_auc"] == approx((6 + 7 + 6.5) / 24)
    assert found["undefined"] == []


def test_a_class_never_predicted_has_precision_zero_and_is_named() -> None:
    found = classification_metrics(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]), ("sick", "well"))
    assert found["per_class"]["well"] == approx({"precision": 0, "recall": 0, "f1": 0, "slices": 1, "roc_auc": 1})
    assert found["undefined"] == ["precision of well: never predicted"]


def test_a_class_without_slices_has_no_auc_and_neither_has_the_mean() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]])
    found = classification_metrics(np.array([0, 1, 1]), probabilities, ("a", "b", "c"))
    assert [found["per_class"][name]["roc_auc"] for name in "abc"] == [1.0, 0.5, None]
    assert found["roc_auc"] is None
    assert found["undefined"] == ["recall and ROC AUC of c: no slice of it"]


def test_slices_of_one_class_alone_leave_every_auc_undefined() -> None:
    found = classification_metrics(np.array([1, 1]), np.array([[0.2, 0.8], [0.3, 0.7]]), ("a", "b"))
    assert found["accuracy"] == 1.0
    assert found["roc_auc"] is None
    assert found["confusion_matrix"] == [[0, 0], [0, 2]]
    assert found["undefined"] == [
        "precision of a: never predicted",
        "recall and ROC AUC of a: no slice of it",
        "ROC AUC of b: no slice of any other class",
    ]


@pytest.mark.parametrize(("labels", "shape"), [(0, (0, 2)), (3, (2, 2)), (3, (3, 3)), (3, (3,))])
def test_shapes_that_do_not_fit_are_named(labels: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"expected probabilities of shape \({labels}, 2\), received"):
        classification_metrics(np.zeros(labels, dtype=np.int64), np.full(shape, 0.5), ("a", "b"))


def test_the_result_is_plain_json() -> None:
    for found in (two_classes(), three_classes()):
        assert json.loads(json.dumps(found)) == found

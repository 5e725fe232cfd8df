"""How good a classifier is on slices it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, roc_auc_score

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.floating[Any]]


def classification_metrics(labels: Labels, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, per-class and macro precision, recall and F1, ROC AUC, and the confusion matrix.

    Args:
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes), rows summing to 1.
        classes: class names, in the order of the columns.

    Returns:
        A nested dictionary of plain numbers, JSON-ready. ``undefined`` names every figure that the data cannot define, such
        as the precision of a class that was never predicted (given as 0) or the AUC of a single class (given as None).
        With more than two classes ``roc_auc`` is the unweighted mean over classes, one against the rest (Fawcett 2006).

    Raises:
        ValueError: no slice, or shapes that do not fit.
    """
    if len(labels) == 0 or probabilities.shape != (len(labels), len(classes)):
        raise ValueError(
            f"expected probabilities of shape ({len(labels)}, {len(classes)}), received {probabilities.shape}"
        )
    predicted = probabilities.argmax(axis=1)
    indices = list(range(len(classes)))
    columns = precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    per_class = {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "slices": int(n)}
        for name, p, r, f, n in zip(classes, *columns, strict=True)
    }
    aucs = {name: _auc_against_rest(labels == index, probabilities[:, index]) for index, name in enumerate(classes)}
    defined = [auc for auc in aucs.values() if auc is not None]
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro": {
            name: float(np.mean([row[name] for row in per_class.values()])) for name in ("precision", "recall", "f1")
        },
        "roc_auc": float(np.mean(defined)) if len(defined) == len(classes) else None,
        "per_class": {name: row | {"roc_auc": aucs[name]} for name, row in per_class.items()},
        "confusion_matrix": confusion_matrix(labels, predicted, labels=indices).tolist(),
        "undefined": _undefined(labels, predicted, classes),
    }


def _auc_against_rest(positive: npt.NDArray[np.bool_], scores: Probabilities) -> float | None:
    """Area under the ROC curve, or None where one side is empty."""
    return float(roc_auc_score(positive, scores)) if 0 < positive.sum() < len(positive) else None


def _undefined(labels: Labels, predicted: Labels, classes: Sequence[str]) -> list[str]:
    found = []
    for index, name in enumerate(classes):
        if not (predicted == index).any():
            found.append(f"precision of {name}: never predicted")
        if not (labels == index).any():
            found.append(f"recall and ROC AUC of {name}: no slice of it")
        elif (labels == index).all():
            found.append(f"ROC AUC of {name}: no slice of any other class")
    return found


def class_indices(labels: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Index of each label in ``classes``, (n,) int64."""
    order = {name: index for index, name in enumerate(classes)}
    return np.array([order[label] for label in labels], dtype=np.int64)

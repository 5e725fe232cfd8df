"""How good a classifier is on slices it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from lung_tumor.calibration import calibration_error
from lung_tumor.fitting import cross_entropies

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.floating[Any]]

SHARES = ("precision", "recall", "specificity", "f1")
"""Figures of one class, from counts; their means over classes are the ``macro`` ones."""

RANKINGS = ("roc_auc", "average_precision")
"""Figures of how one class's probability ranks its slices among the others."""

_FARTHEST_FROM_ONE = 1e-3
"""A row of probabilities may miss a sum of 1 by rounding, not by more."""


def classification_metrics(labels: Labels, probabilities: Probabilities, classes: Sequence[str]) -> dict[str, Any]:
    """Every figure of merit of some predictions, over all classes and for each.

    Recall is what medicine calls sensitivity, specificity the share of the other classes' slices that were not given this
    class. One class is judged against the rest, and what stands for all classes is the unweighted mean (Fawcett 2006).
    Average precision is the area under the precision-recall curve in steps, without interpolation. ``mcc`` is Matthews's
    correlation, of more than two classes after Gorodkin (2004). ``brier`` is the sum over classes of the squared error of
    the probabilities (Brier 1950), halved for two classes, as is usual and as scikit-learn does it: the squared error of
    either one, 0 to 1. ``log_loss`` is the mean of :func:`lung_tumor.fitting.cross_entropies`; ``calibration_error`` that
    of :func:`lung_tumor.calibration.calibration_error`.

    Args:
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes), rows summing to 1.
        classes: class names, in the order of the columns.

    Returns:
        A nested dictionary of plain numbers, JSON-ready: ``accuracy``, ``balanced_accuracy``, ``mcc``, ``roc_auc``,
        ``average_precision``, ``brier``, ``log_loss``, ``calibration_error``, ``macro`` and ``per_class`` (by name, with
        ``slices``), ``confusion_matrix`` (rows are true classes). ``undefined`` names every figure that the data cannot
        define: shares and ``mcc`` are then given as 0, rankings and means over all classes as None.

    Raises:
        ValueError: no slice, shapes that do not fit, or rows that are no probabilities.
    """
    _require_fitting(labels, probabilities, classes)
    predicted = probabilities.argmax(axis=1)
    indices = list(range(len(classes)))
    confusion = confusion_matrix(labels, predicted, labels=indices)
    columns = precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    per_class = {
        name: {
            "precision": float(p),
            "recall": float(r),
            "specificity": _specificity(confusion, index),
            "f1": float(f),
            "roc_auc": _ranked(roc_auc_score, labels == index, probabilities[:, index]),
            "average_precision": _ranked(average_precision_score, labels == index, probabilities[:, index]),
            "slices": int(n),
        }
        for index, (name, p, r, f, n) in enumerate(zip(classes, *columns, strict=True))
    }
    every_class = bool((confusion.sum(axis=1) > 0).all())
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)) if every_class else None,
        "mcc": float(matthews_corrcoef(labels, predicted)) if np.ptp(labels) and np.ptp(predicted) else 0.0,
        **{name: _mean(row[name] for row in per_class.values()) for name in RANKINGS},
        "brier": float(squared_errors(labels, probabilities).mean()),
        "log_loss": float(cross_entropies(probabilities, labels).mean()),
        "calibration_error": calibration_error(labels, probabilities),
        "macro": {name: _mean(row[name] for row in per_class.values()) for name in SHARES},
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
        "undefined": list(undefined_figures(labels, predicted, classes)),
    }


def squared_errors(labels: Labels, probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """What each slice adds to the Brier score, (n,); see :func:`classification_metrics`."""
    truth = np.eye(probabilities.shape[1])[labels]
    errors = np.square(probabilities - truth).sum(axis=1)
    return np.asarray(errors / 2.0 if probabilities.shape[1] == 2 else errors, dtype=np.float64)


def class_indices(labels: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Index of each label in ``classes``, (n,) int64."""
    order = {name: index for index, name in enumerate(classes)}
    return np.array([order[label] for label in labels], dtype=np.int64)


def _specificity(confusion: npt.NDArray[np.int64], index: int) -> float:
    """Share of the other classes' slices that were not given this class, 0 where there are none."""
    others = np.delete(confusion, index, axis=0)
    return float(1.0 - others[:, index].sum() / others.sum()) if others.sum() else 0.0


def _ranked(score: Any, positive: npt.NDArray[np.bool_], scores: Probabilities) -> float | None:
    """A figure of a ranking, or None where there is no positive or no negative to rank."""
    return float(score(positive, scores)) if 0 < positive.sum() < len(positive) else None


def _mean(values: Any) -> float | None:
    """Unweighted mean, None where one is."""
    found = list(values)
    return None if None in found else float(np.mean(found))


def undefined_figures(labels: Labels, predicted: Labels, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What the data cannot define, as sentences, and the dotted names of the figures that each is about.

    Args:
        labels: (n,) index of each slice's true class.
        predicted: (n,) index of the class it was given.
        classes: class names.
    """
    found: dict[str, tuple[str, ...]] = {}
    if not np.ptp(predicted):
        found[f"MCC: every slice was given {classes[predicted[0]]}"] = ("mcc",)
    for index, name in enumerate(classes):
        own = f"per_class.{name}"
        rankings = tuple(f"{own}.{figure}" for figure in RANKINGS)
        never, absent = not (predicted == index).any(), not (labels == index).any()
        if never:
            found[f"precision of {name}: never predicted"] = (f"{own}.precision", "macro.precision")
        if absent:
            figures = (f"{own}.recall", "balanced_accuracy", "macro.recall", *RANKINGS, *rankings)
            figures += (f"{own}.f1", "macro.f1") if never else ()
            found[f"recall, ROC AUC and average precision of {name}, and their means: no slice of it"] = figures
        elif (labels == index).all():
            figures = (f"{own}.specificity", "macro.specificity", "mcc", *rankings)
            found[f"specificity, ROC AUC and average precision of {name}, and MCC: no slice of any other class"] = (
                figures
            )
    return found


def _require_fitting(labels: Labels, probabilities: Probabilities, classes: Sequence[str]) -> None:
    if len(labels) == 0 or probabilities.shape != (len(labels), len(classes)):
        raise ValueError(
            f"expected probabilities of shape ({len(labels)}, {len(classes)}), received {probabilities.shape}"
        )
    sums = probabilities.sum(axis=1)
    # NaN fails every comparison, so that it is refused here as well.
    if not ((np.abs(sums - 1.0) <= _FARTHEST_FROM_ONE).all() and (probabilities >= 0.0).all()):
        worst = int(np.argmax(np.nan_to_num(np.abs(sums - 1.0), nan=np.inf)))
        raise ValueError(f"rows of probabilities must be 0 or more and sum to 1, received {probabilities[worst]}")

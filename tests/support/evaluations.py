"""Evaluations as ``metrics.json`` holds them, of plausible predictions drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lung_tumor.bootstrap import Interval, few_groups, interval_of, resamples
from lung_tumor.evaluation_figures import Predictions
from lung_tumor.metrics import classification_metrics
from lung_tumor.roc import macro_area
from tests.support.data_sets import QUIET_SHORTCUTS
from tests.support.training_facts import TRAINING

CLASSES = {2: ("adenocarcinoma", "normal"), 3: ("adenocarcinoma", "normal", "squamous cell")}
COMPARISON = {
    "network": {"auc": 0.93, "interval": {"low": 0.82, "high": 1.0}},
    "trivial": {"auc": 0.75, "interval": {"low": 0.6, "high": 0.86}},
    "clearly_above": True,
    "sentence": "The network is clearly above numbers that know no anatomy.",
}
RULE = {"threshold": 0.0421, "neighbours": 3, "acceptance": 0.97, "references": 140, "blocks": [4, 5]}


def predicted(classes: int = 2, slices: int = 60, *, seed: int = 0, skill: float = 1.6) -> Predictions:
    """Predictions of ``slices``, two to a group, as many of each class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(slices // 2).repeat(2) % classes
    logits = rng.normal(size=(slices, classes)) + skill * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(CLASSES[classes], labels, probabilities, tuple(f"g{row // 2}" for row in range(slices)))


def measured(predictions: Predictions, *, draws: int = 50) -> dict[str, Any]:
    """``metrics["test"]``: network, trivial and majority, with intervals of accuracy and AUC; the others are made up."""
    classes, labels = predictions.classes, predictions.labels
    shown = {name: predictions.labels == index for index, name in enumerate(classes)}
    groups = np.array(predictions.groups)
    shuffled = predictions.probabilities[np.random.default_rng(1).permutation(len(labels))]
    most = np.eye(len(classes))[np.full(len(labels), np.bincount(labels).argmax())]
    return {
        "network": _figures(predictions, predictions.probabilities, draws),
        "trivial": _figures(predictions, 0.5 * shuffled + 0.5 * predictions.probabilities, draws),
        "majority": _figures(predictions, most, draws),
        "slices": len(labels),
        "groups": len(set(predictions.groups)),
        "groups_by_class": {name: len(set(groups[rows].tolist())) for name, rows in shown.items()},
    }


def evaluation(
    predictions: Predictions, *, synthetic: bool = False, source: str = "made up", draws: int = 50
) -> dict[str, Any]:
    """The whole of ``metrics.json``; no cross-validation."""
    return {
        "classes": list(predictions.classes),
        "source": source,
        "synthetic": synthetic,
        "version": "9.8.7",
        "few_groups": ["normal: 2 independent pictures behind 3 files"],
        "training": TRAINING,
        "shortcuts": {"dataset": QUIET_SHORTCUTS, "test": COMPARISON},
        "test": measured(predictions, draws=draws),
        "cross_validation": None,
        "operating_point": point(predictions, draws=draws),
        "calibration": {
            "temperature": 1.37,
            "reason": "",
            "before": {"calibration_error": 0.081, "log_loss": 0.412},
            "after": {"calibration_error": 0.034, "log_loss": 0.371},
        },
        "novelty": {
            "rule": RULE,
            "accepted_test": 0.97,
            "accepted_held_out": 0.96,
            "foreign": {"natural pictures": {"pictures": 40, "refused": 40}, "noise": {"pictures": 8, "refused": 7}},
        },
        "evidence": {
            "kind": "exact",
            "phantom": {"pointing": 0.98, "inside_ratio": 17.2, "slices": 60},
            "deletion": {"evidence": 0.31, "random": 0.04, "slices": 60},
        },
        "served": {"precision": "float32", "reason": "int8 agrees on 97.0 % of validation labels, under 99 %"},
        "promotion": {
            "promoted": True,
            "served": True,
            "first": True,
            "compared": {},
            "sentence": "Promoted: it is the first model.",
        },
    }


def point(predictions: Predictions, negative: str = "normal", *, draws: int = 50) -> dict[str, Any]:
    """``metrics["operating_point"]``: suspected from 0.4, referred from 0.35 to 0.55."""
    diseased = predictions.labels != predictions.classes.index(negative)
    suspicions = 1.0 - predictions.probabilities[:, predictions.classes.index(negative)]
    referred = (suspicions >= 0.35) & (suspicions < 0.55)
    wrong = (suspicions >= 0.4) != diseased
    reached = {
        "sensitivity": lambda i: _mean((suspicions >= 0.4)[i], diseased[i]),
        "specificity": lambda i: _mean((suspicions < 0.4)[i], ~diseased[i]),
        "referred": lambda i: float(referred[i].mean()),
        "error_when_answered": lambda i: _mean(wrong[i], ~referred[i]),
    }
    return {
        "negative": negative,
        "threshold": 0.4,
        "low": 0.35,
        "high": 0.55,
        "target_sensitivity": 0.95,
        "sensitivity": 0.96,
        "specificity": 0.7,
        "groups": 30,
        "caution": "",
        "test": {name: _entry(predictions, statistic, draws) for name, statistic in reached.items()},
    }


def bins(confidence: float = 0.0) -> list[dict[str, Any]]:
    """Ten bins of a reliability diagram, the lower five empty, right as often as ``confidence`` less than sure."""
    return [
        {
            "low": number / 10,
            "high": (number + 1) / 10,
            "count": max(0, 3 * number - 12),
            "confidence": number / 10 + 0.05 if number > 4 else None,
            "accuracy": number / 10 + 0.05 - confidence if number > 4 else None,
        }
        for number in range(10)
    ]


def judged(label: str = "normal", given: str = "adenocarcinoma", *, path: str = "normal/1.png") -> dict[str, Any]:
    """A slice of the galleries; its evidence lies in the upper left corner."""
    evidence = np.zeros((4, 4), np.float32)
    evidence[0, 0] = 2.0
    return {
        "path": path,
        "label": label,
        "predicted": given,
        "shown": given,
        "suspicion": 0.91,
        "answer": "suspected",
        "pixels": np.arange(32 * 32, dtype=np.uint32).reshape(32, 32).astype(np.uint8),
        "evidence": evidence,
    }


def _mean(flags: Any, among: Any) -> float | None:
    return float(flags[among].mean()) if among.any() else None


def _entry(predictions: Predictions, statistic: Callable[[Any], float | None], draws: int) -> dict[str, Any]:
    everything = np.arange(len(predictions.labels))
    return {"value": statistic(everything), "interval": _interval(predictions, statistic, draws)}


def _interval(predictions: Predictions, statistic: Callable[[Any], float | None], draws: int) -> dict[str, Any]:
    names = [predictions.classes[label] for label in predictions.labels]
    if reason := few_groups(predictions.groups, names):
        return Interval(None, None, 0, reason=reason).to_dict()
    return interval_of([statistic(rows) for rows in resamples(predictions.groups, names, draws, 0)]).to_dict()


def _figures(predictions: Predictions, probabilities: Any, draws: int) -> dict[str, Any]:
    labels, classes = predictions.labels, predictions.classes
    found = classification_metrics(labels, probabilities, classes)
    more = {"specificity": 0.81, "average_precision": 0.88}
    made_up = {"balanced_accuracy": 0.83, "average_precision": 0.88, "mcc": 0.61, "brier": 0.12}
    made_up |= {"log_loss": 0.371, "calibration_error": 0.034}
    per_class = {name: more | row for name, row in found["per_class"].items()}
    whole = made_up | found | {"macro": {"specificity": 0.81} | found["macro"], "per_class": per_class}
    right = probabilities.argmax(axis=1) == labels
    accuracy = _interval(predictions, lambda i: float(right[i].mean()), draws)
    auc = _interval(predictions, lambda i: macro_area(labels[i], probabilities[i]), draws)
    names = [name for name in whole if isinstance(whole[name], float | None)]
    intervals: dict[str, Any] = {name: _around(whole[name]) for name in names}
    intervals |= {f"macro.{name}": _around(value) for name, value in whole["macro"].items()}
    for label, row in per_class.items():
        intervals |= {f"per_class.{label}.{name}": _around(value) for name, value in row.items() if name != "slices"}
        intervals[f"per_class.{label}.roc_auc"] = auc
    return whole | {"intervals": intervals | {"accuracy": accuracy, "roc_auc": auc}}


def _around(value: float | None) -> Mapping[str, Any]:
    if value is None:
        return Interval(None, None, 0, reason="").to_dict()
    return Interval(max(0.0, value - 0.1), min(1.0, value + 0.07), 50).to_dict()

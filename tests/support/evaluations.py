"""Evaluations as ``metrics.json`` holds them, of plausible predictions drawn at random."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from lung_tumor.evaluation_figures import Predictions
from lung_tumor.novelty import NoveltyRule
from lung_tumor.operating_point import (
    OperatingPoint,
    OperatingPointOptions,
    Probabilities,
    Scored,
    coverage_curve,
    judge,
    judge_beside,
    suspicion,
)
from lung_tumor.scores import measure_beside
from tests.support.data_sets import QUIET_SHORTCUTS
from tests.support.training_facts import TRAINING

CLASSES = {2: ("adenocarcinoma", "normal"), 3: ("adenocarcinoma", "normal", "squamous cell")}
COMPARISON = {
    "network": {"auc": 0.93, "interval": {"low": 0.82, "high": 1.0}},
    "trivial": {"auc": 0.75, "interval": {"low": 0.6, "high": 0.86}},
    "clearly_above": True,
    "sentence": "The network is clearly above numbers that know no anatomy.",
}
RULE = asdict(NoveltyRule(0.0421, 3, 0.97, 140, (4, 5), 2, 0.217, learnt=150, accepted=138, too_cut_off=3))


def predicted(classes: int = 2, slices: int = 60, *, seed: int = 0, skill: float = 1.6) -> Predictions:
    """Predictions of ``slices``, two to a group, as many of each class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(slices // 2).repeat(2) % classes
    logits = rng.normal(size=(slices, classes)) + skill * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(CLASSES[classes], labels, probabilities, tuple(f"g{row // 2}" for row in range(slices)))


def measured(predictions: Predictions, *, draws: int = 50) -> dict[str, Any]:
    """``metrics["test"]``: network, numbers that know half as much, and majority."""
    labels, given, shares = predictions.labels, predictions.probabilities, _shares(predictions)
    trivial = _without_anatomy(predictions)
    return measure_beside(labels, given, predictions.groups, predictions.classes, trivial, shares, draws, seed=0)


def _without_anatomy(predictions: Predictions) -> Probabilities:
    given = predictions.probabilities
    return 0.5 * given[np.random.default_rng(1).permutation(len(given))] + 0.5 * given


def _shares(predictions: Predictions) -> list[float]:
    labels = predictions.labels
    return [float(share) for share in np.bincount(labels, minlength=len(predictions.classes)) / len(labels)]


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
        "shortcuts": {"dataset": QUIET_SHORTCUTS, "test": COMPARISON, "cross_validation": None},
        "test": measured(predictions, draws=draws),
        "cross_validation": None,
        "operating_point": point(predictions, draws=draws),
        "calibration": {
            "temperature": 1.37,
            "reason": "",
            "before": {"calibration_error": 0.081, "log_loss": 0.412},
            "after": {"calibration_error": 0.034, "log_loss": 0.371},
            "cross_validation": None,
            "by_chance": {"test": {"median": 0.048, "high": 0.093}},
        },
        "novelty": {
            "rule": RULE,
            "accepted_test": 0.97,
            "accepted_held_out": 0.96,
            "held_out_groups": {
                "groups": 57,
                "value": 54 / 57,
                "interval": {"low": 0.854, "high": 0.989, "reason": "exact interval of 57 groups"},
            },
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
            "left_out": 0,
            "champion": None,
            "compared": {},
            "sentence": "Promoted: it is the first model.",
        },
    }


def refused(metrics: dict[str, Any]) -> dict[str, Any]:
    """The same of a model that is not served."""
    champion = {"version": "9.8.6", "created": "2026-01-02T03:04:05+00:00", "source": "old slices", "digest": "cafe"}
    verdict = {"promoted": False, "served": False, "first": False, "champion": champion}
    return {**metrics, "promotion": metrics["promotion"] | verdict | {"sentence": "The champion stays: it is better."}}


def point(predictions: Predictions, negative: str = "normal", *, draws: int = 50) -> dict[str, Any]:
    """``metrics["operating_point"]``: suspected from 0.4, referred from 0.35 to 0.55; nothing is refused."""
    chosen = OperatingPoint(negative, 0.4, 0.35, 0.55, 0.95, 0.96, 0.7, 30)
    labels, given, classes = predictions.labels, predictions.probabilities, predictions.classes
    suspicions = suspicion(given, classes, negative)
    trivial = Scored(labels, _without_anatomy(predictions), predictions.groups)
    options, shares = OperatingPointOptions(negative=negative), _shares(predictions)
    told = np.select([suspicions < chosen.low, suspicions < chosen.high], ["clear", "uncertain"], "suspected")
    return {
        **asdict(chosen),
        "answers": {name: dict(Counter(told[labels == index].tolist())) for index, name in enumerate(classes)},
        "test": judge(chosen, labels, given, predictions.groups, classes, draws, seed=0),
        "beside": judge_beside(options, trivial, trivial, classes, shares, draws, seed=0),
        "coverage": coverage_curve(chosen, labels, given, classes),
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

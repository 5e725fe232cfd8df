"""Adapters between the catalog and the library: what the candidate says of held-out slices, and how right it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lung_tumor import calibration, operating_point, scores
from lung_tumor import metrics as measures
from lung_tumor.answers import Answer, decide
from lung_tumor.consistency import (
    require_own_audit,
    require_own_candidate,
    require_own_folds,
    require_same_origin,
    require_unseen,
    require_whole,
)
from lung_tumor.judging import judge_all
from lung_tumor.manifest import TEST, TRAINING, VALIDATION, accepted
from lung_tumor.operating_point import OperatingPointOptions, Scored
from lung_tumor.pipelines.evaluation.predictions import classes_of, labels_of, probabilities_of
from lung_tumor.predictor import Predictor
from lung_tumor.prepared import Partitions, read_slices
from lung_tumor.shortcuts import ComparisonOptions, compare_with_network

Evidence = npt.NDArray[np.float32]


def check_before_evaluation(
    candidate: Predictor,
    manifest: pd.DataFrame,
    pairs: pd.DataFrame,
    audit: dict[str, Any],
    scores_without_anatomy: pd.DataFrame,
    out_of_fold: pd.DataFrame | None,
    provenance: dict[str, Any],
    training: dict[str, Any],
    serving: dict[str, Any],
) -> pd.DataFrame:
    """Pass on a manifest whose test split this model cannot have seen, where all that is told of the model is its own.

    Audit, facts of training and of serving, and out-of-fold predictions, where there are any, must be of the same slices and
    the same training.
    """
    checked = require_whole(manifest, pairs, provenance)
    require_own_audit(audit, scores_without_anatomy, provenance)
    require_same_origin(candidate.metadata, provenance)
    require_unseen(candidate.metadata, checked)
    require_own_candidate(candidate.metadata, candidate.digest, training, serving)
    if out_of_fold is not None:
        require_own_folds(out_of_fold, checked, training)
    return checked


def judge_held_out(
    candidate: Predictor, slices: Partitions, manifest: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, Evidence]:
    """Judge every test and validation picture with the very file that would be served.

    Returns:
        Of each test, then of each validation picture one row: its manifest facts, ``predicted``, ``suspicion``,
        ``distance``, ``answer`` and a probability column per class. And the evidence maps of both, the test pictures first,
        (n, classes, rows, columns).
    """
    parts = []
    for split in (TEST, VALIDATION):
        rows = accepted(manifest, split)
        judged = judge_all(candidate, read_slices(slices, rows), len(rows), f"{split.capitalize()} slices")
        parts.append((_table(rows, judged.probabilities, judged.distances, candidate), judged.unusual_evidence))
    return parts[0][0], parts[1][0], np.concatenate([evidence for _, evidence in parts])


def _table(rows: pd.DataFrame, probabilities: Evidence, distances: Evidence, candidate: Predictor) -> pd.DataFrame:
    decisions = decide(probabilities, distances, candidate.metadata)
    kept = rows[["path", "label", "group", "pixels"]].assign(
        predicted=[decision.label for decision in decisions],
        answer=[str(decision.answer) for decision in decisions],
        suspicion=[decision.suspicion for decision in decisions],
        distance=[decision.distance for decision in decisions],
    )
    columns = pd.DataFrame(probabilities.astype(float), columns=[f"p_{name}" for name in candidate.metadata.classes])
    return pd.concat([kept, columns], axis=1)


def compare_with_shortcuts(
    predictions: pd.DataFrame,
    out_of_fold: pd.DataFrame | None,
    scores_without_anatomy: pd.DataFrame,
    audit: dict[str, Any],
    options: ComparisonOptions,
    seed: int,
) -> dict[str, Any]:
    """The network beside what numbers know without anatomy, of files or of prepared slices, whichever know more.

    Returns:
        ``test`` and ``cross_validation``, each as :func:`lung_tumor.shortcuts.compare_with_network` gives it; None for the
        latter where it was not run.
    """

    def compare(table: pd.DataFrame) -> dict[str, Any]:
        return compare_with_network(
            labels_of(table),
            table["group"].tolist(),
            probabilities_of(table),
            _without_anatomy(table, scores_without_anatomy, audit),
            classes_of(table),
            options,
            seed,
            audit["shortcuts"][_stronger(audit)]["reason"],
        )

    return {
        "test": compare(predictions),
        "cross_validation": None if out_of_fold is None else compare(out_of_fold),
    }


def _stronger(audit: dict[str, Any]) -> str:
    """Of numbers before and after preparation, those that know more."""
    return max(("before", "after"), key=lambda name: audit["shortcuts"][name]["auc"] or 0.0)


def _without_anatomy(predictions: pd.DataFrame, scores_without_anatomy: pd.DataFrame, audit: dict[str, Any]) -> Any:
    beside = predictions[["pixels"]].merge(scores_without_anatomy, on="pixels", how="left", validate="one_to_one")
    return beside[[f"{_stronger(audit)}_{name}" for name in classes_of(predictions)]].to_numpy()


def measure_both(
    predictions: pd.DataFrame,
    out_of_fold: pd.DataFrame | None,
    manifest: pd.DataFrame,
    scores_without_anatomy: pd.DataFrame,
    audit: dict[str, Any],
    options: ComparisonOptions,
    seed: int,
) -> dict[str, Any]:
    """Every figure with its interval, of the network, of numbers without anatomy and of the majority class.

    Returns:
        ``test`` and ``cross_validation``, each as :func:`lung_tumor.scores.measure_beside` gives it; None for the latter where
        it was not run.
    """
    classes = classes_of(predictions)
    shares = _majority_class_shares(manifest, classes)

    def measure(table: pd.DataFrame, given: npt.NDArray[np.float64]) -> dict[str, Any]:
        return scores.measure_beside(
            labels_of(table),
            given,
            table["group"].tolist(),
            classes,
            _without_anatomy(table, scores_without_anatomy, audit),
            shares,
            options.draws,
            seed,
            audit["shortcuts"][_stronger(audit)]["reason"],
        )

    return {
        "test": measure(predictions, probabilities_of(predictions)),
        # Calibrated as the served model is, or the two could not be compared.
        "cross_validation": None if out_of_fold is None else measure(out_of_fold, _calibrated_out_of_fold(out_of_fold)),
    }


def judge_calibration(
    candidate: Predictor, predictions: pd.DataFrame, out_of_fold: pd.DataFrame | None, facts: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Calibration on the test pictures, before and after the temperature, and on all out of fold, where there are any.

    A test split of some dozens has a calibration error by chance alone: how large a one stands under ``by_chance``. Out of
    fold each picture's temperature comes from the other folds.
    """
    labels, after = labels_of(predictions), probabilities_of(predictions)
    pooled = None if out_of_fold is None else _calibrated_out_of_fold(out_of_fold)
    temperature = candidate.metadata.temperature
    # The served graph gives calibrated probabilities; the inverse temperature takes that back.
    before = calibration.calibrated(after, 1.0 / temperature)
    return {
        "temperature": temperature,
        "reason": facts["temperature_reason"],
        **{
            name: {
                "calibration_error": calibration.calibration_error(labels, values),
                "log_loss": measures.classification_metrics(labels, values, classes_of(predictions))["log_loss"],
                "bins": calibration.reliability(labels, values),
            }
            for name, values in {"before": before, "after": after}.items()
        },
        "cross_validation": None
        if out_of_fold is None or pooled is None
        else calibration.calibration_error(labels_of(out_of_fold), pooled),
        "by_chance": {
            name: None if given is None else calibration.error_by_chance(given, seed)
            for name, given in (("test", after), ("cross_validation", pooled))
        },
    }


def _calibrated_out_of_fold(out_of_fold: pd.DataFrame) -> npt.NDArray[np.float64]:
    folds = out_of_fold["fold"].to_numpy()
    return calibration.calibrated_out_of_fold(labels_of(out_of_fold), probabilities_of(out_of_fold), folds)


def judge_operating_point(
    candidate: Predictor,
    predictions: pd.DataFrame,
    validation: pd.DataFrame,
    manifest: pd.DataFrame,
    scores_without_anatomy: pd.DataFrame,
    audit: dict[str, Any],
    facts: dict[str, Any],
    options: ComparisonOptions,
    seed: int,
) -> dict[str, Any]:
    """The operating point on the test pictures, beside what needs no network, and error against coverage."""
    point = candidate.metadata.operating_point
    if point is None:
        raise ValueError("the candidate carries no operating point; run `kedro run --pipeline=serving`")
    labels, probabilities, classes = labels_of(predictions), probabilities_of(predictions), classes_of(predictions)
    groups, refused = predictions["group"].tolist(), (predictions["answer"] == Answer.REFUSED).to_numpy()

    def scored(table: pd.DataFrame) -> Scored:
        return Scored(labels_of(table), _without_anatomy(table, scores_without_anatomy, audit), table["group"].tolist())

    return {
        **asdict(point),
        "answers": pd.crosstab(predictions["label"], predictions["answer"]).to_dict("index"),
        "test": operating_point.judge(point, labels, probabilities, groups, classes, options.draws, seed, refused),
        "beside": operating_point.judge_beside(
            _chosen_by(facts),
            scored(validation),
            scored(predictions),
            classes,
            _majority_class_shares(manifest, classes),
            options.draws,
            seed,
            audit["shortcuts"][_stronger(audit)]["reason"],
        ),
        "coverage": operating_point.coverage_curve(point, labels, probabilities, classes),
    }


def _chosen_by(facts: dict[str, Any]) -> OperatingPointOptions:
    """What the operating point was asked for; an earlier version did not record it."""
    recorded = facts.get("options", {}).get("serving", {})
    return OperatingPointOptions(**recorded.get("operating_point", {}))


def _majority_class_shares(manifest: pd.DataFrame, classes: Sequence[str]) -> list[float]:
    """Shares of the classes in the training split."""
    learnt = accepted(manifest, TRAINING)["label"]
    return [float((learnt == name).mean()) for name in classes]

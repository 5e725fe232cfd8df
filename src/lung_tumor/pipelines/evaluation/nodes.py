"""Adapters between the catalog and the library."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lung_tumor import calibration, foreign, operating_point, promotion, scores
from lung_tumor import metrics as measures
from lung_tumor.answers import Answer, decide
from lung_tumor.attribution import deletion, inside_ratio, pointing
from lung_tumor.consistency import (
    require_own_audit,
    require_own_folds,
    require_same_origin,
    require_unseen,
    require_whole,
)
from lung_tumor.export import with_metrics
from lung_tumor.imaging import prepare
from lung_tumor.judging import judge_all, predict_all
from lung_tumor.lesions import masks_of
from lung_tumor.manifest import TEST, TRAINING, VALIDATION, accepted
from lung_tumor.operating_point import suspicion
from lung_tumor.predictor import Predictor
from lung_tumor.prepared import Partitions, read_slices
from lung_tumor.promotion import PromotionOptions
from lung_tumor.shortcuts import ComparisonOptions, compare_with_network

Evidence = npt.NDArray[np.float32]

ALTERED = 3
"""Test slices that are turned, inverted and cut to see whether that is refused."""

HIDDEN = 16
"""Most suspected held-out slices on which hiding the evidence is tried: each costs several predictions."""


def check_before_evaluation(
    candidate: Predictor,
    manifest: pd.DataFrame,
    pairs: pd.DataFrame,
    audit: dict[str, Any],
    scores_without_anatomy: pd.DataFrame,
    out_of_fold: pd.DataFrame,
    provenance: dict[str, Any],
) -> pd.DataFrame:
    """Pass on a manifest whose test split this model cannot have seen, with an audit and out-of-fold predictions of its own."""
    checked = require_whole(manifest, pairs, provenance)
    require_own_audit(audit, scores_without_anatomy, provenance)
    require_same_origin(candidate.metadata, provenance)
    require_unseen(candidate.metadata, checked)
    require_own_folds(out_of_fold, checked)
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
    scores_without_anatomy: pd.DataFrame,
    audit: dict[str, Any],
    options: ComparisonOptions,
    seed: int,
) -> dict[str, Any]:
    """The network beside what numbers know without anatomy, of files or of prepared slices, whichever know more."""
    classes = _classes(predictions)
    return compare_with_network(
        _labels(predictions),
        predictions["group"].tolist(),
        _probabilities(predictions),
        _without_anatomy(predictions, scores_without_anatomy, audit),
        classes,
        options,
        seed,
    )


def _without_anatomy(predictions: pd.DataFrame, scores_without_anatomy: pd.DataFrame, audit: dict[str, Any]) -> Any:
    stronger = max(("before", "after"), key=lambda name: audit["shortcuts"][name]["auc"] or 0.0)
    beside = predictions[["pixels"]].merge(scores_without_anatomy, on="pixels", how="left", validate="one_to_one")
    return beside[[f"{stronger}_{name}" for name in _classes(predictions)]].to_numpy()


def measure_both(
    predictions: pd.DataFrame,
    out_of_fold: pd.DataFrame,
    manifest: pd.DataFrame,
    scores_without_anatomy: pd.DataFrame,
    audit: dict[str, Any],
    options: ComparisonOptions,
    seed: int,
) -> dict[str, Any]:
    """Every figure with its interval, of the network, of numbers without anatomy and of the majority class.

    Returns:
        ``test`` and ``cross_validation``, each as :func:`lung_tumor.scores.measure_beside` gives it.
    """
    learnt, classes = accepted(manifest, TRAINING)["label"], _classes(predictions)
    shares = [float((learnt == name).mean()) for name in classes]
    return {
        name: scores.measure_beside(
            _labels(table),
            given,
            table["group"].tolist(),
            classes,
            _without_anatomy(table, scores_without_anatomy, audit),
            shares,
            options.draws,
            seed,
        )
        for name, table, given in (
            ("test", predictions, _probabilities(predictions)),
            # Calibrated as the served model is, or the two could not be compared.
            ("cross_validation", out_of_fold, _calibrated_out_of_fold(out_of_fold)),
        )
    }


def judge_calibration(
    candidate: Predictor, predictions: pd.DataFrame, out_of_fold: pd.DataFrame, facts: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Calibration on the test pictures, before and after the temperature, and on all out of fold.

    A test split of some dozens has a calibration error by chance alone: how large a one stands under ``by_chance``. Out of
    fold each picture's temperature comes from the other folds.
    """
    labels, after, pooled = _labels(predictions), _probabilities(predictions), _calibrated_out_of_fold(out_of_fold)
    temperature = candidate.metadata.temperature
    # The served graph gives calibrated probabilities; the inverse temperature takes that back.
    before = calibration.calibrated(after, 1.0 / temperature)
    return {
        "temperature": temperature,
        "reason": facts["temperature_reason"],
        **{
            name: {
                "calibration_error": calibration.calibration_error(labels, values),
                "log_loss": measures.classification_metrics(labels, values, _classes(predictions))["log_loss"],
                "bins": calibration.reliability(labels, values),
            }
            for name, values in {"before": before, "after": after}.items()
        },
        "cross_validation": calibration.calibration_error(_labels(out_of_fold), pooled),
        "by_chance": {
            name: calibration.error_by_chance(given, seed)
            for name, given in (("test", after), ("cross_validation", pooled))
        },
    }


def _calibrated_out_of_fold(out_of_fold: pd.DataFrame) -> npt.NDArray[np.float64]:
    labels, given, folds = _labels(out_of_fold), _probabilities(out_of_fold), out_of_fold["fold"].to_numpy()
    found = np.empty_like(given)
    for fold in np.unique(folds):
        others, own = folds != fold, folds == fold
        temperature = calibration.fit_temperature(labels[others], given[others]).value
        found[own] = calibration.calibrated(given[own], temperature)
    return found


def judge_operating_point(
    candidate: Predictor, predictions: pd.DataFrame, options: ComparisonOptions, seed: int
) -> dict[str, Any]:
    """The operating point on the test pictures, and error against coverage."""
    point = candidate.metadata.operating_point
    if point is None:
        raise ValueError("the candidate carries no operating point; run `kedro run --pipeline=serving`")
    labels, probabilities, classes = _labels(predictions), _probabilities(predictions), _classes(predictions)
    groups, refused = predictions["group"].tolist(), (predictions["answer"] == Answer.REFUSED).to_numpy()
    return {
        **asdict(point),
        "answers": pd.crosstab(predictions["label"], predictions["answer"]).to_dict("index"),
        "test": operating_point.judge(point, labels, probabilities, groups, classes, options.draws, seed, refused),
        "coverage": operating_point.coverage_curve(point, labels, probabilities, classes),
    }


def judge_novelty(
    candidate: Predictor,
    predictions: pd.DataFrame,
    validated: pd.DataFrame,
    slices: Partitions,
    seed: int,
) -> dict[str, Any]:
    """What the model refuses: held-out slices, and pictures that are no chest CT slice."""
    rule = candidate.metadata.novelty
    if rule is None:
        raise ValueError("the candidate carries no limit of novelty; run `kedro run --pipeline=serving`")
    found: dict[str, dict[str, int]] = {}
    chest = read_slices(slices, predictions.iloc[:: max(1, len(predictions) // ALTERED)].head(ALTERED))
    pictures = list(foreign.foreign_pictures(seed))
    pictures += [altered for pixels in chest for altered in foreign.altered_slices(pixels)]
    prepared = (prepare(pixels, candidate.metadata.preparation) for _, pixels in pictures)
    judged = judge_all(candidate, prepared, len(pictures), "Foreign pictures")
    for (kind, _), distance in zip(pictures, judged.distances.tolist(), strict=True):
        counts = found.setdefault(kind, {"pictures": 0, "refused": 0})
        counts["pictures"] += 1
        counts["refused"] += not distance <= rule.threshold
    held_out = pd.concat([predictions, validated])
    return {
        "rule": asdict(rule) | {"blocks": list(rule.blocks)},
        "accepted_test": float((predictions["answer"] != Answer.REFUSED).mean()),
        "accepted_held_out": float((held_out["distance"] <= rule.threshold).mean()),
        "foreign": found,
    }


def judge_evidence(
    candidate: Predictor,
    predictions: pd.DataFrame,
    validated: pd.DataFrame,
    evidence: Evidence,
    slices: Partitions,
    outlines: dict[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Whether the evidence lies where the lesion is, where that is known, and whether hiding it lowers the suspicion.

    Of test and validation pictures: no map depends on anything that was chosen on the latter.
    """
    metadata, held_out = candidate.metadata, pd.concat([predictions, validated], ignore_index=True)
    negative = metadata.operating_point.negative if metadata.operating_point else metadata.classes[-1]
    size = metadata.preparation.size
    diseased = np.flatnonzero(held_out["label"] != negative)
    # The map of the class that each slice is labelled with.
    maps = np.stack([evidence[row, metadata.classes.index(held_out["label"].iloc[row])] for row in diseased])
    against = -evidence[diseased, metadata.classes.index(negative)]
    masks = masks_of(outlines, held_out["pixels"].iloc[diseased].tolist(), size)
    known = [place for place, mask in enumerate(masks) if mask is not None]
    phantom = None
    if known:
        drawn = np.stack([mask for mask in masks if mask is not None])
        phantom = {
            "pointing": pointing(maps[known], drawn, within_pixels=8.0 * size / 224.0),
            "inside_ratio": inside_ratio(maps[known], drawn),
            "slices": len(known),
        }
    suspected = held_out["suspicion"].to_numpy()[diseased]
    chosen = np.argsort(-suspected, kind="stable")[:HIDDEN]
    shown = np.stack(list(read_slices(slices, held_out.iloc[diseased[chosen]])))

    def suspicions(prepared: npt.NDArray[np.uint8]) -> Any:
        # In log-odds: what lies near 1 would hardly move however much is hidden.
        given = np.clip(suspicion(candidate.predict(prepared), metadata.classes, negative), 1e-6, 1.0 - 1e-6)
        return np.log(given / (1.0 - given))

    return {
        "kind": metadata.evidence,
        "phantom": phantom,
        "deletion": asdict(deletion(suspicions, shown, against[chosen], seed=seed)),
    }


def judge_promotion(
    candidate: Predictor,
    predictions: pd.DataFrame,
    champion: bytes | None,
    slices: Partitions,
    options: PromotionOptions,
    seed: int,
) -> dict[str, Any]:
    """The candidate against the champion, on the same test pictures."""
    labels, groups = _labels(predictions), predictions["group"].tolist()
    if champion is not None and (reason := _stays(candidate, champion)):
        kept = {
            "promoted": False,
            "first": False,
            "difference": None,
            "margin": options.margin,
            "figure": options.figure,
        }
        return kept | {"sentence": f"The champion stays: {reason}."}
    theirs, incomparable, caution = _champions_probabilities(candidate, champion, predictions, slices)
    verdict = promotion.judge(
        labels, groups, _classes(predictions), _probabilities(predictions), theirs, options, seed, incomparable
    )
    return verdict | {"sentence": f"{verdict['sentence']} {caution}".strip()}


def _stays(candidate: Predictor, champion: bytes) -> str:
    """Why the champion stays whatever the figures say; empty if nothing does."""
    theirs = _opened(champion)
    if theirs is None:
        return ""
    if candidate.metadata.synthetic and not theirs.metadata.synthetic:
        return "it learnt from real slices, the new model from synthetic ones; to replace it, remove its file"
    return ""


def _opened(champion: bytes) -> Predictor | None:
    """The champion, if it is one that can be served."""
    try:
        found = Predictor(champion)
        size = found.metadata.preparation.size
        found.judge(np.zeros((1, size, size), np.uint8))
    # Whatever is wrong with the old file, the new model must not wait for it to be mended.
    except Exception:  # noqa: BLE001
        return None
    return found if found.metadata.operating_point and found.metadata.novelty else None


def _champions_probabilities(
    candidate: Predictor, champion: bytes | None, predictions: pd.DataFrame, slices: Partitions
) -> tuple[Any, str, str]:
    """Its probabilities of the test pictures, or why there can be none; and what to know about them."""
    if champion is None:
        return None, "", ""
    theirs = _opened(champion)
    if theirs is None:
        return None, "the champion's file cannot be used", ""
    ours, old = candidate.metadata, theirs.metadata
    for name in ("classes", "preparation"):
        if getattr(ours, name) != getattr(old, name):
            return None, f"the champion was made for another {name}", ""
    if old.synthetic and not ours.synthetic:
        return None, "the champion learnt from synthetic slices, this model from real ones", ""
    found = predict_all(theirs, read_slices(slices, predictions), len(predictions), "Champion")
    caution = ""
    if ours.data_digest != old.data_digest:
        caution = "The champion learnt from another training split, so that it may have seen some of these pictures."
    return found, "", caution


def choose_served(candidate: bytes, champion: bytes | None, metrics: dict[str, Any]) -> bytes:
    """The model that is served from now on: the candidate with its figures, or the champion as it is."""
    if metrics["promotion"]["promoted"] or champion is None:
        return with_metrics(candidate, metrics["test"])
    return champion


def _classes(predictions: pd.DataFrame) -> list[str]:
    return [column.removeprefix("p_") for column in predictions.columns if column.startswith("p_")]


def _labels(predictions: pd.DataFrame) -> npt.NDArray[np.int64]:
    return measures.class_indices(predictions["label"].tolist(), _classes(predictions))


def _probabilities(predictions: pd.DataFrame) -> npt.NDArray[np.float64]:
    return predictions[[f"p_{name}" for name in _classes(predictions)]].to_numpy()

"""Which model is served: an adapter between the catalog and the library."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import onnx
import pandas as pd

from lung_tumor import promotion
from lung_tumor.carried_figures import carried_figures
from lung_tumor.consistency import digest_of
from lung_tumor.errors import StaleError
from lung_tumor.judging import predict_all
from lung_tumor.metadata import ModelMetadata
from lung_tumor.onnx_metadata import model_identity, read_metadata, with_verdict
from lung_tumor.operating_point import OperatingPoint
from lung_tumor.pipelines.evaluation.predictions import classes_of, labels_of, probabilities_of
from lung_tumor.predictor import Predictor
from lung_tumor.prepared import Partitions, read_slices
from lung_tumor.promotion import HeldOut, Lineage, PromotionOptions, Said


def judge_promotion(
    candidate: bytes,
    champion: bytes | None,
    predictions: pd.DataFrame,
    slices: Partitions,
    options: PromotionOptions,
    seed: int,
) -> dict[str, Any]:
    """The candidate against the champion, on the same test pictures.

    Returns:
        As :func:`lung_tumor.promotion.judge` gives it, with ``model``, the identity of the candidate, and the digests of both
        files.
    """
    ours, theirs = Predictor(candidate).metadata, _opened(champion)
    held_out, said = _held_out(predictions, ours), Said(probabilities_of(predictions), _threshold(ours))
    identity = model_identity(candidate)
    lineage = Lineage(**theirs.metadata.lineage) if theirs else Lineage()
    if champion is not None and theirs and model_identity(champion) == identity:
        verdict = promotion.evaluate_again(held_out, said, lineage, options)
    elif theirs and ours.synthetic and not theirs.metadata.synthetic:
        reason = "it learnt from real slices, the new model from synthetic ones; to replace it, remove its file"
        verdict = promotion.stay(lineage, reason)
    else:
        incomparable = "" if champion is None else _incomparable(ours, theirs)
        old = None
        if theirs and not incomparable:
            given = predict_all(theirs, read_slices(slices, predictions), len(predictions), "Champion")
            old = Said(given, _threshold(theirs.metadata))
        verdict = promotion.judge(held_out, said, old, lineage, options, seed, incomparable)
        if theirs and old:
            caution = _caution(ours, theirs.metadata, held_out, promoted=verdict["promoted"])
            verdict["sentence"] = f"{verdict['sentence']} {caution}".strip()
    return verdict | {
        "model": identity,
        "candidate_digest": _digest(candidate),
        "champion_digest": _digest(champion),
    }


def _incomparable(ours: ModelMetadata, theirs: Predictor | None) -> str:
    """Why a champion cannot be compared, empty if it can."""
    if theirs is None:
        return "the champion's file cannot be used"
    old = theirs.metadata
    for name in ("classes", "preparation"):
        if getattr(ours, name) != getattr(old, name):
            return f"the champion was made for another {name}"
    if _negative(ours) != _negative(old):
        return "another class means no disease to the champion"
    if old.synthetic and not ours.synthetic:
        return "the champion learnt from synthetic slices, this model from real ones"
    return ""


def _caution(ours: ModelMetadata, old: ModelMetadata, held_out: HeldOut, *, promoted: bool) -> str:
    """What to know about a comparison, empty if nothing."""
    if ours.data_digest != old.data_digest:
        told = (
            "The data have changed since the champion was made: it learnt from another training split, so that it may have "
            "seen some of these test slices and look better than it is."
        )
        way_out = " To serve the new model all the same, remove the champion's file and evaluate again."
        return told if promoted else told + way_out
    if Lineage(**old.lineage).test_digest not in ("", held_out.digest):
        return "The champion was promoted on other test slices than these; here both are judged on the present ones."
    return ""


def _opened(champion: bytes | None) -> Predictor | None:
    """The champion, if it is one that can be served."""
    if champion is None:
        return None
    try:
        found = Predictor(champion)
        size = found.metadata.preparation.size
        found.judge(np.zeros((1, size, size), np.uint8))
    # Whatever is wrong with the old file, the new model must not wait for it to be mended.
    except Exception:  # noqa: BLE001
        return None
    return found if found.metadata.operating_point and found.metadata.novelty else None


def _held_out(predictions: pd.DataFrame, metadata: ModelMetadata) -> HeldOut:
    rows = predictions[["pixels", "label", "group"]].astype(str).itertuples(index=False)
    return HeldOut(
        labels_of(predictions),
        predictions["group"].tolist(),
        classes_of(predictions),
        _negative(metadata),
        digest_of("|".join(row) for row in rows),
    )


def _threshold(metadata: ModelMetadata) -> float:
    return _point(metadata).threshold


def _negative(metadata: ModelMetadata) -> str:
    return _point(metadata).negative


def _point(metadata: ModelMetadata) -> OperatingPoint:
    """The operating point, which every model that can be served has."""
    if metadata.operating_point is None:
        raise ValueError("the candidate carries no operating point; run `kedro run --pipeline=serving`")
    return metadata.operating_point


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def choose_served(
    candidate: bytes,
    champion: bytes | None,
    verdict: dict[str, Any],
    measured: dict[str, Any],
    operating_point: dict[str, Any],
    calibration: dict[str, Any],
    novelty: dict[str, Any],
    evidence: dict[str, Any],
) -> tuple[bytes, dict[str, Any]]:
    """The model that is served from now on, and the verdict that says so, to be written after it.

    Returns:
        The candidate with its figures where it was promoted; the champion with new figures where it is the candidate; the
        champion as it is where the candidate was refused. And the verdict.

    Raises:
        StaleError: one of the two files is no longer the one that was judged.
    """
    for name, content in (("candidate", candidate), ("champion", champion)):
        if _digest(content) != verdict[f"{name}_digest"]:
            raise StaleError(
                f"the {name}'s file was changed while it was judged; run `kedro run --pipeline=evaluation` again"
            )
    if champion is not None and not verdict["served"]:
        return champion, verdict
    became = verdict
    if champion is not None and not verdict["promoted"]:
        # How it became the champion is worth more than that it was evaluated again.
        became = read_metadata(onnx.load_from_string(champion)).metrics.get("promotion", verdict)
    figures = carried_figures(measured, operating_point, calibration, novelty, evidence, became)
    served = candidate if verdict["promoted"] or champion is None else champion
    return with_verdict(served, figures, verdict["lineage"]), verdict

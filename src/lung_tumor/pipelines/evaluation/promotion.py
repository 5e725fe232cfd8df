"""Which model is served: an adapter between the catalog and the library."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import onnx
import pandas as pd
from kedro.io import DatasetError

from lung_tumor import promotion
from lung_tumor.carried_figures import carried_figures
from lung_tumor.champion import caution, describe, incomparable, negative_of, open_champion
from lung_tumor.consistency import digest_of, groups_learnt_from
from lung_tumor.errors import LungTumorError, SliceError, StaleError
from lung_tumor.imaging import Pixels, PreparationOptions
from lung_tumor.judging import predict_all
from lung_tumor.metadata import ModelMetadata
from lung_tumor.onnx_metadata import model_identity, read_metadata, with_verdict
from lung_tumor.pipelines.evaluation.predictions import classes_of, labels_of, probabilities_of
from lung_tumor.predictor import Predictor
from lung_tumor.prepared import Partitions, prepare_file, read_slices
from lung_tumor.promotion import HeldOut, Lineage, PromotionOptions, Said
from lung_tumor.sources import SliceSource

logger = logging.getLogger(__name__)

Originals = Callable[[], SliceSource]
"""Opens the source that the slices were prepared from."""


def judge_promotion(
    candidate: bytes,
    champion: bytes | None,
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    slices: Partitions,
    originals: Originals,
    options: PromotionOptions,
    seed: int,
) -> dict[str, Any]:
    """The candidate against the champion, on the test pictures that neither learnt from.

    Returns:
        As :func:`lung_tumor.promotion.judge` gives it, with ``model``, the identity of the candidate; ``champion``, which
        model was served before (:func:`lung_tumor.champion.describe`; None where none could be); and the digests of both
        files.
    """
    ours = Predictor(candidate).metadata
    theirs, unusable = (None, "") if champion is None else open_champion(champion)
    identity, lineage = model_identity(candidate), Lineage(**theirs.metadata.lineage) if theirs else Lineage()
    held_out, said = _held_out(predictions, ours), Said(probabilities_of(predictions), _threshold(ours))
    if champion is None or theirs is None:
        verdict = promotion.judge(held_out, said, None, lineage, options, seed, unusable)
    elif model_identity(champion) == identity:
        verdict = promotion.evaluate_again(held_out, said, lineage, options)
    elif ours.synthetic and not theirs.metadata.synthetic:
        verdict = promotion.stay(lineage, "it learnt from real slices, the new model from synthetic ones")
    elif reason := incomparable(ours, theirs.metadata):
        verdict = promotion.judge(held_out, said, None, lineage, options, seed, reason)
    else:
        try:
            shown = _as_it_wants(
                theirs.metadata.preparation, ours.preparation, predictions, manifest, slices, originals
            )
            old = Said(predict_all(theirs, shown, len(predictions), "Champion"), _threshold(theirs.metadata))
        except (DatasetError, LungTumorError, OSError) as error:
            if theirs.metadata.preparation == ours.preparation:
                raise
            # Not what the error says: it may name folders of this machine.
            logger.warning("the champion cannot be compared: %s", error)
            reason = f"it wants its slices prepared otherwise, and their files cannot be read ({type(error).__name__})"
            verdict = promotion.stay(lineage, reason)
        else:
            learnt = groups_learnt_from(manifest, theirs.metadata.learnt_from)
            verdict = promotion.judge(held_out, said, old, lineage, options, seed, learnt=learnt)
            told = caution(ours, theirs.metadata, held_out, promoted=verdict["promoted"])
            verdict["sentence"] = f"{verdict['sentence']} {told}".strip()
    return verdict | {
        "model": identity,
        "champion": describe(theirs, champion) if theirs and champion else None,
        "candidate_digest": _digest(candidate),
        "champion_digest": _digest(champion),
    }


def _as_it_wants(
    wanted: PreparationOptions,
    prepared: PreparationOptions,
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    slices: Partitions,
    originals: Originals,
) -> Iterator[Pixels]:
    """The test pictures as the champion learnt to read them: those at hand, or their files prepared anew.

    Raises:
        SliceError: a file is gone, or no longer that of the manifest.
    """
    if wanted == prepared:
        return read_slices(slices, predictions)
    files = {file.path: file for file in originals().files}
    digests = manifest.set_index("path")["digest"]

    def opened(path: str) -> Pixels:
        content = files[path].read_bytes() if path in files else b""
        if hashlib.sha256(content).hexdigest() != digests[path]:
            raise SliceError(f"{path} is not the file any more that these slices were prepared from")
        return prepare_file(content, wanted)

    return map(opened, predictions["path"])


def _held_out(predictions: pd.DataFrame, metadata: ModelMetadata) -> HeldOut:
    rows = predictions[["pixels", "label", "group"]].astype(str).itertuples(index=False)
    return HeldOut(
        labels_of(predictions),
        predictions["group"].tolist(),
        classes_of(predictions),
        negative_of(metadata),
        digest_of("|".join(row) for row in rows),
    )


def _threshold(metadata: ModelMetadata) -> float:
    if metadata.operating_point is None:
        raise ValueError("the candidate carries no operating point; run `kedro run --pipeline=serving`")
    return metadata.operating_point.threshold


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

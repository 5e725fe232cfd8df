"""The model in service, as an evaluation meets it: whether it can be read, what it is, and whether it can be compared."""

from __future__ import annotations

import hashlib

import numpy as np

from lung_tumor.metadata import ModelMetadata
from lung_tumor.predictor import UNREADABLE, Predictor
from lung_tumor.promotion import REMOVE, HeldOut, Lineage

_LONGEST = 200
"""Most characters of an error that a verdict repeats."""


def open_champion(content: bytes) -> tuple[Predictor | None, str]:
    """The champion, or None and why it cannot be served.

    The new model does not wait for a broken file to be mended: nothing could be served from it. Any other error is raised.
    """
    try:
        found = Predictor(content)
        size = found.metadata.preparation.size
        found.judge(np.zeros((1, size, size), np.uint8))
    except UNREADABLE as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
        return None, f"the champion's file could not be read ({said})"
    if found.metadata.operating_point is None or found.metadata.novelty is None:
        return None, "the champion carries no operating point or no limit of novelty, so that it could not be served"
    return found, ""


def describe(champion: Predictor, content: bytes) -> dict[str, str]:
    """Which model it is: ``version``, ``created``, ``source`` and ``digest``, the SHA-256 of its file."""
    metadata = champion.metadata
    return {
        "version": metadata.version,
        "created": metadata.created,
        "source": metadata.source,
        "digest": hashlib.sha256(content).hexdigest(),
    }


def incomparable(ours: ModelMetadata, old: ModelMetadata) -> str:
    """Why a champion cannot be compared on these slices, empty if it can.

    Other preparation is no reason: either model judges the slices prepared as it learnt them.
    """
    if ours.classes != old.classes:
        return f"the champion tells other classes apart ({', '.join(old.classes)})"
    if negative_of(ours) != negative_of(old):
        return "another class means no disease to the champion"
    if old.synthetic and not ours.synthetic:
        return "the champion learnt from synthetic slices, this model from real ones"
    return ""


def caution(ours: ModelMetadata, old: ModelMetadata, held_out: HeldOut, *, promoted: bool) -> str:
    """What to know about a comparison, empty if nothing."""
    if ours.data_digest != old.data_digest and not old.learnt_from:
        told = (
            "The data have changed since the champion was made, and it does not say from which pictures: it learnt from "
            "another training split, so that it may have seen some of these test slices and look better than it is."
        )
        return told if promoted else f"{told} {REMOVE[0].upper()}{REMOVE[1:]}."
    if Lineage(**old.lineage).test_digest not in ("", held_out.digest):
        return "The champion was promoted on other test slices than these; here both are judged on the present ones."
    return ""


def negative_of(metadata: ModelMetadata) -> str:
    """The class that means that nothing is suspected."""
    if metadata.operating_point is None:
        raise ValueError("the model carries no operating point; run `kedro run --pipeline=serving`")
    return metadata.operating_point.negative

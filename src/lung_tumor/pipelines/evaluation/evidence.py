"""What the candidate looks at: an adapter between the catalog and the library."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lung_tumor.attribution import deletion, inside_ratio, pointing
from lung_tumor.lesions import masks_of
from lung_tumor.operating_point import suspicion
from lung_tumor.predictor import Predictor
from lung_tumor.prepared import Partitions, read_slices

Evidence = npt.NDArray[np.float32]

HIDDEN = 16
"""Most suspected held-out slices on which hiding the evidence is tried: each costs several predictions."""


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

    Of test and validation pictures; on the latter it depends at most when training stopped and whether int8 is served.
    """
    metadata, held_out = candidate.metadata, pd.concat([predictions, validated], ignore_index=True)
    if metadata.operating_point is None:
        raise ValueError("the candidate carries no operating point; run `kedro run --pipeline=serving`")
    negative, size = metadata.operating_point.negative, metadata.preparation.size
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

"""What the candidate refuses: an adapter between the catalog and the library."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from lung_tumor import foreign
from lung_tumor.answers import Answer
from lung_tumor.bootstrap import share_of_groups
from lung_tumor.imaging import prepare
from lung_tumor.judging import judge_all
from lung_tumor.predictor import Predictor
from lung_tumor.prepared import Partitions, read_slices

ALTERED = 30
"""Test slices that are turned, inverted and cut to see whether that is refused; all, if there are fewer."""


def judge_novelty(
    candidate: Predictor,
    predictions: pd.DataFrame,
    validated: pd.DataFrame,
    slices: Partitions,
    seed: int,
) -> dict[str, Any]:
    """What the model refuses: held-out slices, and pictures that are no chest CT slice."""
    rule, preparation = candidate.metadata.novelty, candidate.metadata.preparation
    if rule is None:
        raise ValueError("the candidate carries no limit of novelty; run `kedro run --pipeline=serving`")
    pictures = [(kind, prepare(pixels, preparation)) for kind, pixels in foreign.foreign_pictures(seed)]
    spread = np.linspace(0, len(predictions) - 1, min(ALTERED, len(predictions))).round().astype(int)
    for pixels in read_slices(slices, predictions.iloc[spread]):
        pictures += foreign.altered_slices(pixels, preparation)
    judged = judge_all(candidate, (pixels for _, pixels in pictures), len(pictures), "Foreign pictures")
    kinds = [kind for kind, _ in pictures]
    shown = Counter(kinds)
    refused = Counter(
        kind for kind, distance in zip(kinds, judged.distances.tolist(), strict=True) if not distance <= rule.threshold
    )
    held_out = pd.concat([predictions, validated])
    passed = held_out["distance"] <= rule.threshold
    # One slice of a patient that is refused is one too many for that patient.
    groups = passed.groupby(held_out["group"]).all()
    return {
        "rule": asdict(rule) | {"blocks": list(rule.blocks)},
        "accepted_test": float((predictions["answer"] != Answer.REFUSED).mean()),
        "accepted_held_out": float(passed.mean()),
        "held_out_groups": {
            "groups": len(groups),
            "value": float(groups.mean()),
            "interval": share_of_groups(int(groups.sum()), len(groups)).to_dict(),
        },
        "foreign": {kind: {"pictures": count, "refused": refused[kind]} for kind, count in shown.items()},
    }

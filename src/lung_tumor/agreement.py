"""Whether decisions on remembered activations are those of the whole network in float32."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lung_tumor.features import run_in_batches
from lung_tumor.imaging import Pixels

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

EXPECTED = 0.995
"""Smallest share of equal decisions that is no cause for a warning."""


def compare_decisions(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> dict[str, Any]:
    """Share of slices that both decide alike, and the largest difference of a probability.

    Args:
        one: probabilities, (n, classes).
        other: the same slices' by another way of computing.
    """
    return {
        "slices": len(one),
        "share": float((one.argmax(axis=1) == other.argmax(axis=1)).mean()),
        "largest_difference": float(np.abs(one - other).max()),
    }


def with_whole_network(model: keras.Model, slices: Iterable[Pixels], remembered: npt.NDArray[Any]) -> dict[str, Any]:
    """Send some slices through the whole network in float32, as the served model computes, and compare.

    Args:
        model: trained, from pixels to probabilities.
        slices: prepared slices, each (size, size) uint8.
        remembered: (n, classes), the probabilities of the same slices from remembered activations.
    """
    (whole,) = run_in_batches(model, slices, len(remembered), "Check in float32")
    facts = compare_decisions(whole, remembered)
    if facts["share"] < EXPECTED:
        logger.warning(
            "remembered activations and the network in float32 decide alike on %.1f %% of %d slices, %.1f %% are expected; "
            "set features.computation.precision=float32 and features.computation.engine=keras",
            100 * facts["share"],
            facts["slices"],
            100 * EXPECTED,
        )
    return facts

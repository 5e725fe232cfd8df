"""Whether decisions on remembered activations are those of the whole network in float32."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lung_tumor import network
from lung_tumor.computation import Computation
from lung_tumor.feature_store import FeatureStore
from lung_tumor.features import Remembered, Slices
from lung_tumor.frozen_pass import frozen_pass
from lung_tumor.tail_learner import BATCH

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

EXPECTED = 0.995
"""Smallest share of equal decisions that is no cause for a warning."""

REFERENCE = Computation("keras", "float32")
"""How the whole network computes: what every other computation is compared with."""

NOTHING_TO_COMPARE: dict[str, Any] = {"slices": 0, "share": None, "largest_difference": None}
"""What is told where the activations were computed as the whole network computes them."""


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


def check(
    model: keras.Model,
    slices: Slices,
    computation: Computation,
    remembered: Callable[[], npt.NDArray[Any]],
    store: FeatureStore | None,
) -> dict[str, Any]:
    """Compare decisions on remembered activations with those of the whole network, and warn where too many differ.

    Args:
        model: trained, from pixels to probabilities.
        slices: a call opens one prepared slice, (size, size) uint8.
        computation: how the remembered activations were computed.
        remembered: gives the probabilities of these slices from them, (n, classes).
        store: keeps the activations in float32, so that they are computed once; None keeps nothing.

    Returns:
        :func:`compare_decisions`, or :data:`NOTHING_TO_COMPARE` where ``computation`` is that of the network itself.
    """
    if computation == REFERENCE:
        return NOTHING_TO_COMPARE
    facts = compare_decisions(by_whole_network(model, slices, store), remembered())
    if facts["share"] < EXPECTED:
        logger.warning(
            "remembered activations and the network in float32 decide alike on %.1f %% of %d slices, %.1f %% are expected; "
            "set features.computation.precision=float32 and features.computation.engine=keras",
            100 * facts["share"],
            facts["slices"],
            100 * EXPECTED,
        )
    return facts


def by_whole_network(model: keras.Model, slices: Slices, store: FeatureStore | None) -> npt.NDArray[np.float32]:
    """Probabilities, (n, classes), of the whole network in float32; what comes of its frozen part is remembered too.

    Args:
        model: from pixels to probabilities.
        slices: a call opens one prepared slice, (size, size) uint8.
        store: see :func:`check`.
    """
    frozen = Remembered(slices, frozen_pass(model, network.cuts(model), REFERENCE), store)
    frozen.compute("Check in float32")
    tail, every = network.trainable_tail(model), np.arange(len(slices))
    parts = [tail.predict_on_batch(frozen.read(every[start : start + BATCH])) for start in every[::BATCH]]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])

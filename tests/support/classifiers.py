"""Networks small enough for a test: 32 x 32 pixels, untrained weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from lung_tumor import network
from lung_tumor.classifier import Classifier
from lung_tumor.imaging import PreparationOptions
from lung_tumor.metadata import ModelMetadata
from lung_tumor.network import NetworkOptions

SIZE = 32
PREPARATION = PreparationOptions(size=SIZE, crop_to_body=False, denoise="none", normalise="none")
SMALL = NetworkOptions(feature_blocks=(1, 2))
"""Two of VGG16's five blocks: 0.26 instead of 14.7 million weights."""
NARROW = ((2, 4), (2, 6), (3, 8), (3, 10), (3, 12))
"""VGG16's blocks with few filters, for tests that need all five and no particular width."""


def small_classifier(
    classes: tuple[str, ...] = ("a", "b"), options: NetworkOptions = SMALL, **facts: Any
) -> Classifier:
    """An untrained classifier with metadata."""
    metadata = ModelMetadata(
        **{
            "classes": classes,
            "synthetic": False,
            "source": "made up",
            "slices": 7,
            "preparation": PREPARATION,
            **facts,
        }
    )
    return Classifier(network.build(len(classes), options, SIZE, seed=3), metadata)


def pixels(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Random prepared slices, (count, 32, 32) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)


def openers(slices: Iterable[npt.NDArray[np.uint8]]) -> list[Callable[[], npt.NDArray[np.uint8]]]:
    """For each slice a call that opens it."""
    return [partial(np.copy, picture) for picture in slices]


def weights_by_layer(model: keras.Model) -> dict[str, list[npt.NDArray[np.float32]]]:
    """Copies of the weights of every layer that has some."""
    return {layer.name: [w.copy() for w in layer.get_weights()] for layer in model.layers if layer.weights}

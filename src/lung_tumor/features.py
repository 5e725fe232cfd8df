"""Activations of the frozen part, computed once per slice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lung_tumor.imaging import Pixels, to_network_input

if TYPE_CHECKING:
    import keras

Activations = list[npt.NDArray[np.float32]]

BATCH = 8
"""Slices a pass: on two cores larger batches are no faster and only take memory."""


def run_in_batches(model: keras.Model, slices: Iterable[Pixels], total: int, title: str) -> Activations:
    """Run a model over prepared slices, a batch at a time, with a progress bar.

    Args:
        model: takes pixels (n, size, size, 3) float32, 0 to 255.
        slices: prepared slices, each (size, size) uint8; read one batch at a time.
        total: number of slices, for the progress bar.
        title: what the progress bar says.

    Returns:
        One float32 array for each output of the model, first axis ``total`` long.
    """
    parts: list[Activations] = []
    with tqdm(total=total, desc=title, unit="slice") as bar:
        for batch in _batches(slices):
            # A last, shorter batch is filled up: one shape, one compiled graph.
            filled = np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])
            outputs = model.predict_on_batch(to_network_input(filled))
            outputs = outputs if isinstance(outputs, Sequence) else [outputs]
            parts.append([np.asarray(output, dtype=np.float32)[: len(batch)] for output in outputs])
            bar.update(len(batch))
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def _batches(slices: Iterable[Pixels]) -> Iterator[Pixels]:
    stream = iter(slices)
    while batch := list(islice(stream, BATCH)):
        yield np.stack(batch)

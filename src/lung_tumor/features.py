"""Activations of the frozen part, computed once per slice."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lung_tumor.feature_store import FeatureStore, key_of
from lung_tumor.imaging import Pixels, to_network_input

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

Activations = list[npt.NDArray[np.float32]]

BATCH = 8
"""Slices a pass: on two cores larger batches are no faster and only take memory."""

CHUNK = 32
"""Slices after which what was computed is kept."""


def run_in_batches(
    model: keras.Model, slices: Iterable[Pixels], total: int, title: str, *, shown: bool = True
) -> Activations:
    """Run a model over prepared slices, a batch at a time, with a progress bar.

    Args:
        model: takes pixels (n, size, size, 3) float32, 0 to 255.
        slices: prepared slices, each (size, size) uint8; read one batch at a time.
        total: number of slices, for the progress bar.
        title: what the progress bar says.
        shown: whether there is a progress bar at all.

    Returns:
        One float32 array for each output of the model, first axis ``total`` long.
    """
    parts: list[Activations] = []
    with tqdm(total=total, desc=title, unit="slice", disable=not shown) as bar:
        for batch in _batches(slices):
            # A last, shorter batch is filled up: one shape, one compiled graph.
            filled = np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])
            outputs = model.predict_on_batch(to_network_input(filled))
            outputs = outputs if isinstance(outputs, Sequence) else [outputs]
            parts.append([np.asarray(output, dtype=np.float32)[: len(batch)] for output in outputs])
            bar.update(len(batch))
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def run_with_store(
    model: keras.Model, slices: Iterable[Pixels], total: int, title: str, store: FeatureStore
) -> Activations:
    """What :func:`run_in_batches` gives, of which only what the store does not know is computed.

    Slices are taken :data:`CHUNK` at a time and kept as soon as they are computed: a run that is cut short goes on from there.

    Args:
        model: the frozen part of a network.
        slices: prepared slices, each (size, size) uint8.
        total: number of slices, for the progress bar.
        title: what the progress bar says.
        store: where activations are remembered.
    """
    made_by = describe_engine(model)
    parts: list[list[npt.NDArray[np.float32]]] = []
    computed = 0
    with tqdm(total=total, desc=title, unit="slice") as bar:
        stream = iter(slices)
        while chunk := list(islice(stream, CHUNK)):
            keys = [key_of(pixels, made_by) for pixels in chunk]
            known = store.get(keys)
            missing = {key: pixels for key, pixels in zip(keys, chunk, strict=True) if key not in known}
            if missing:
                outputs = run_in_batches(model, missing.values(), len(missing), title, shown=False)
                made = {key: [output[row] for output in outputs] for row, key in enumerate(missing)}
                store.put(made, made_by)
                known |= made
                computed += len(missing)
            parts.extend(known[key] for key in keys)
            bar.update(len(chunk))
    logger.info("%s: %d of %d slices computed, the others were known", title, computed, len(parts))
    return [np.stack(output) for output in zip(*parts, strict=True)]


def describe_engine(model: keras.Model) -> str:
    """Everything but the slice that decides its activations: layers, weights, precision, and the engine that computes them."""
    import keras

    weights = hashlib.blake2b(digest_size=16)
    for value in model.get_weights():
        weights.update(np.ascontiguousarray(value).tobytes())
    for layer in model.layers:
        # Layers by kind, name and shape: Keras numbers its tensors anew in every process.
        weights.update(f"{type(layer).__name__} {layer.name} {layer.output.shape} {layer.compute_dtype};".encode())
    inputs = "x".join(str(side) for side in model.input_shape[1:])
    outputs = "+".join(model.output_names)
    engine = f"keras {keras.__version__} on {keras.backend.backend()}"
    return f"{inputs} to {outputs} | network {weights.hexdigest()} | {engine}"


def _batches(slices: Iterable[Pixels]) -> Iterator[Pixels]:
    stream = iter(slices)
    while batch := list(islice(stream, BATCH)):
        yield np.stack(batch)

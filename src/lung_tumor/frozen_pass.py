"""The frozen part of the network over prepared slices, by the engine that is fastest here.

An engine gives the last activation of each block that is asked for, after its pooling layer; what a :class:`Cut` makes of
it (its average, its maximum …) is computed in float32 whatever the precision of the convolutions, and the same way for
every engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lung_tumor import int8_network, mnn_network
from lung_tumor.computation import Computation, has_gpu
from lung_tumor.imaging import Pixels, to_network_input
from lung_tumor.network import IMAGENET_MEAN_BGR, Cut
from lung_tumor.processor import processors

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]
Engine = Callable[[Pixels], dict[int, Floats]]
"""From prepared slices, (batch, size, size) uint8, to blocks' activations, each (batch, height, width, channels) float32."""

BlockWeights = list[list[list[Floats]]]
"""Of each block, of each of its convolutions: kernel, (3, 3, in, out), and bias, (out,)."""

BATCH = 8
"""Slices a pass on a processor: on two cores larger batches are no faster and only take memory."""
GPU_BATCH = 64


@dataclass(frozen=True)
class FrozenPass:
    """From prepared slices to activations.

    Attributes:
        cuts: the activations that a call gives.
        made_by: for each cut, everything but the pixels that decides its numbers: the side of the slice, the cut, the
            weights up to it, the engine, its version and its precision. It does not depend on the other cuts.
        batch: slices that the engine takes at once.
    """

    cuts: tuple[Cut, ...]
    made_by: tuple[str, ...]
    batch: int
    _engine: Engine

    def __call__(self, slices: Pixels) -> list[Floats]:
        """Compute all cuts of prepared slices, (n, size, size) uint8; gives one float32 array, n rows, a cut."""
        parts = [self._of_batch(slices[start : start + self.batch]) for start in range(0, len(slices), self.batch)]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _of_batch(self, slices: Pixels) -> list[Floats]:
        # A last, shorter batch is filled up: one shape, one compiled graph.
        filled = np.concatenate([slices, np.repeat(slices[-1:], self.batch - len(slices), axis=0)])
        activations = self._engine(filled)
        return [_cut(activations[cut.block][: len(slices)], cut) for cut in self.cuts]


def frozen_pass(model: keras.Model, cuts: Sequence[Cut], computation: Computation) -> FrozenPass:
    """Make ready to compute ``cuts`` with the weights of ``model``.

    Args:
        model: from :func:`lung_tumor.network.build`; the blocks up to each cut must be among its layers, the head does not
            matter.
        cuts: one or more; they may be others than :func:`lung_tumor.network.cuts` names.
        computation: from :func:`lung_tumor.computation.choose`.

    Raises:
        ValueError: no cut, or one of a block that the model lacks; int8 and weights without known ranges.
    """
    names = {layer.name for layer in model.layers}
    for cut in cuts:
        if cut.block and f"block{cut.block}_pool" not in names:
            raise ValueError(f"the network has no block{cut.block}, received the cut {cut}")
    if not cuts:
        raise ValueError("a frozen pass needs one cut at least, received none")
    blocks = sorted({cut.block for cut in cuts})
    size, weights = model.input_shape[1], _weights(model, max(blocks))
    # Made when something is missing from the store, which is not in every run; of the weights as they are now, which
    # fine-tuning may change before that.

    @cache
    def engine() -> Engine:
        if computation.engine == "mnn":
            return _mnn_engine(weights, blocks, size)
        if computation.engine == "onnxruntime":
            return _int8_engine(weights, blocks)
        return _keras_engine(model, weights, blocks, computation)

    def run(slices: Pixels) -> dict[int, Floats]:
        return engine()(slices)

    digests, name = digests_up_to_each_block(weights), _name(computation)
    if computation.precision == "int8" and not _has_ranges(digests[-1]):
        raise ValueError("ranges of activations, which int8 needs, are known for the ImageNet weights alone")
    made_by = tuple(f"{size}x{size} to {cut} | weights {digests[cut.block]} | {name}" for cut in cuts)
    batch = GPU_BATCH if computation.engine == "keras" and has_gpu() else BATCH
    return FrozenPass(tuple(cuts), made_by, batch, run)


def has_int8_ranges(model: keras.Model, cuts: Sequence[Cut]) -> bool:
    """Whether the ranges of the model's activations up to the last of some cuts are known, which int8 needs."""
    return _has_ranges(digests_up_to_each_block(_weights(model, max(cut.block for cut in cuts)))[-1])


def _has_ranges(digest: str) -> bool:
    return digest in int8_network.known_ranges()[0]


def mean_centred(slices: Pixels) -> Floats:
    """Prepared slices, (n, size, size) uint8, as the first convolution gets them, (n, 3, size, size) float32."""
    # A slice is grey: red, green and blue are the same, and so is their order.
    return np.stack([slices - np.float32(mean) for mean in IMAGENET_MEAN_BGR], axis=1)


def _cut(activation: Floats, cut: Cut) -> Floats:
    match cut.kind:
        case "average":
            values = activation.mean(axis=(1, 2))
        case "max":
            values = activation.max(axis=(1, 2))
        case "flatten":
            values = activation.reshape(len(activation), -1)
        case "positions":
            values = activation
    return np.asarray(values)


def _weights(model: keras.Model, last: int) -> BlockWeights:
    """Copies of kernel and bias of every convolution of the first blocks."""
    layers = [layer for layer in model.layers if "_conv" in layer.name]
    return [[layer.get_weights() for layer in layers if int(layer.name[5]) == block] for block in range(1, last + 1)]


def digests_up_to_each_block(weights: BlockWeights) -> list[str]:
    """For each of the first blocks, from 0, a digest of all weights up to it."""
    digest = hashlib.blake2b(digest_size=16)
    found = [digest.hexdigest()]
    for block in weights:
        for values in (values for convolution in block for values in convolution):
            digest.update(f"{values.shape};".encode())
            digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
        found.append(digest.copy().hexdigest())
    return found


def _name(computation: Computation) -> str:
    if computation.engine == "mnn":
        return f"mnn {mnn_network.version()}, cpu, {computation.precision}"
    if computation.engine == "onnxruntime":
        ranges = hashlib.blake2b(int8_network.RANGES.read_bytes(), digest_size=8).hexdigest()
        return f"onnxruntime {int8_network.version()}, cpu, ranges {ranges}, {computation.precision}"
    import keras

    device = "gpu" if has_gpu() else "cpu"
    backend = keras.backend.backend()
    version = import_module(backend).__version__
    return f"keras {keras.__version__} on {backend} {version}, {device}, {computation.precision}"


def _keras_engine(model: keras.Model, weights: BlockWeights, blocks: Sequence[int], computation: Computation) -> Engine:
    import keras

    outputs = [model.get_layer(f"block{block}_pool" if block else "mean_centre").output for block in blocks]
    policy = "float32" if computation.precision == "float32" else f"mixed_{computation.precision}"
    prefix = _copy(keras.Model(model.input, outputs, name="frozen_pass"), policy)
    prefix.set_weights([values for block in weights for convolution in block for values in convolution])

    def run(slices: Pixels) -> dict[int, Floats]:
        found: Any = prefix.predict_on_batch(to_network_input(slices))
        found = found if isinstance(found, list) else [found]
        return {block: np.asarray(values, dtype=np.float32) for block, values in zip(blocks, found, strict=True)}

    return run


def _copy(prefix: keras.Model, policy: str) -> keras.Model:
    """The same layers, convolving under another policy; weights are float32 under each, and so is the mean-centred input."""
    import keras

    def cast(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name.startswith("block"):
            config["dtype"] = policy
        return type(layer).from_config(config)

    return keras.models.clone_model(prefix, clone_function=cast)


def _int8_engine(weights: BlockWeights, blocks: Sequence[int]) -> Engine:
    _, ranges = int8_network.known_ranges()
    return _around(lambda deep: int8_network.load(weights, ranges, deep, processors()), blocks)


def _mnn_engine(weights: BlockWeights, blocks: Sequence[int], size: int) -> Engine:
    return _around(lambda deep: mnn_network.load(weights, deep, size, BATCH, processors()), blocks)


def _around(load: Callable[[list[int]], Callable[[Floats], dict[int, Floats]]], blocks: Sequence[int]) -> Engine:
    """Mean-centre slices for an engine that is loaded for its blocks; block 0 is what the first one gets."""
    deep = [block for block in blocks if block]
    compute = load(deep) if deep else None

    def run(slices: Pixels) -> dict[int, Floats]:
        centred = mean_centred(slices)
        found = compute(centred) if compute else {}
        return {**found, 0: centred.transpose(0, 2, 3, 1)} if 0 in blocks else found

    return run

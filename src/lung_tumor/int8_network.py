"""The blocks of VGG16 in 8-bit integers, for processors that multiply them four at a time (VNNI).

Static quantisation after Jacob et al. (CVPR 2018): activations of a layer have one scale, weights one for each filter, sums
are exact in 32 bits. The first convolution, which costs little and passes its error on to all others, stays in float32. ONNX
Runtime computes it; the graph is written here, because the ranges of activations are known beforehand: those of the ImageNet
weights lie in ``int8_ranges.json``, so that nothing has to be measured before the first slice, and a slice's activations do
not depend on which slices they are measured on. ``benchmarks/int8_ranges.py`` measured them on slices of the phantom.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from lung_tumor.equalisation import channel_factors
from lung_tumor.onnx_graph import GraphBuilder, serialise, value
from lung_tumor.predictor import open_session

Floats = npt.NDArray[np.float32]

Blocks = Sequence[Sequence[Sequence[Floats]]]
"""Of each block, of each of its convolutions: kernel, (3, 3, in, out), and bias, (out,)."""

Ranges = Mapping[str, npt.NDArray[np.floating[Any]]]
"""By the name of a convolution, ``block1_conv1``: largest value of each of its channels after ReLU, (out,)."""

RANGES = Path(__file__).with_name("int8_ranges.json")
"""``weights``: for each of the first blocks the digest of all weights up to it; ``largest``: the ranges."""

_STEPS = 255
_WEIGHT_STEPS = 127


def version() -> str:
    """Version of ONNX Runtime."""
    import onnxruntime

    return str(onnxruntime.__version__)


@cache
def known_ranges() -> tuple[frozenset[str], Ranges]:
    """Digests of the weights, up to some block, that ranges are known of, and the ranges."""
    stored = json.loads(RANGES.read_text())
    return frozenset(stored["weights"]), {name: np.asarray(values) for name, values in stored["largest"].items()}


def load(blocks: Blocks, ranges: Ranges, wanted: Sequence[int], threads: int) -> Callable[[Floats], dict[int, Floats]]:
    """Make a network of blocks, each its convolutions with ReLU and then the maximum of 2 by 2.

    Args:
        blocks: their convolutions in order.
        ranges: of every convolution; an activation beyond its range is cut off there.
        wanted: blocks, counted from 1, whose outputs are wanted.
        threads: how many it computes with.

    Returns:
        From mean-centred pixels, (batch, 3, size, size) float32, to the activations of the wanted blocks, each
        (batch, height, width, channels) float32.
    """
    session = open_session(_to_bytes(blocks, ranges, wanted), threads)
    names = [f"block{block}" for block in wanted]

    def run(pixels: Floats) -> dict[int, Floats]:
        found = session.run(names, {"pixels": pixels})
        return {block: values.transpose(0, 2, 3, 1) for block, values in zip(wanted, found, strict=True)}

    return run


def measure(blocks: Blocks, batches: Iterable[Floats], threads: int) -> dict[str, Floats]:
    """Ranges of every convolution over mean-centred pixels, one or more batches of (n, 3, size, size) float32."""
    graph, ranges = GraphBuilder(), []
    activation = "pixels"
    for block, convolutions in enumerate(blocks, start=1):
        for number, (kernel, bias) in enumerate(convolutions, start=1):
            name = f"block{block}_conv{number}"
            activation = _float_convolution(graph, name, activation, kernel, bias)
            ranges.append(graph.node("ReduceMax", [activation], f"{name}/largest", axes=[0, 2, 3], keepdims=0))
        activation = _pool(graph, block, activation)
    session = open_session(_finish(graph, {name: ["channels"] for name in ranges}), threads)
    rows = [session.run(ranges, {"pixels": batch}) for batch in batches]
    return {
        name.partition("/")[0]: np.max(column, axis=0)
        for name, column in zip(ranges, zip(*rows, strict=True), strict=True)
    }


def _to_bytes(blocks: Blocks, ranges: Ranges, wanted: Sequence[int]) -> bytes:
    """Float32 up to the first ReLU, then integers, each operation between DequantizeLinear and QuantizeLinear."""
    graph = GraphBuilder()
    kernels, biases, scales = _alike(blocks, ranges)
    activation, scale = "pixels", 0.0  # pixels have none: they stay float32
    for block, convolutions in enumerate(blocks, start=1):
        for number in range(1, len(convolutions) + 1):
            name = f"block{block}_conv{number}"
            if not scale:
                found = _float_convolution(graph, name, activation, kernels[name], biases[name])
            else:
                found = _integer_convolution(graph, name, activation, kernels[name], biases[name], scale)
            scale = scales[name]
            activation = _rounded(graph, found, scale)
        activation = _rounded(graph, _pool(graph, block, activation), scale)
        if block in wanted:
            graph.node("Identity", [activation], f"block{block}")
    return _finish(graph, {f"block{block}": ["n", "channels", "rows", "columns"] for block in wanted})


def _alike(blocks: Blocks, ranges: Ranges) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """Kernels, (3, 3, in, out), and biases, their channels made alike, and the scale of each activation.

    Nothing is moved from a block to the next, so that what a block gives does not depend on whether more follow.
    """
    kernels: dict[str, Any] = {}
    biases: dict[str, Any] = {}
    scales: dict[str, float] = {}
    for block, convolutions in enumerate(blocks, start=1):
        names = [f"block{block}_conv{number}" for number in range(1, len(convolutions) + 1)]
        for name, (kernel, bias) in zip(names, convolutions, strict=True):
            kernels[name], biases[name] = kernel.astype(np.float64), bias.astype(np.float64)
        largest = {name: np.array(ranges[name], dtype=np.float64) for name in names}
        for before, after in pairwise(names):
            factors = channel_factors(largest[before], np.abs(kernels[after]).max(axis=(0, 1, 3)))
            largest[before] /= factors
            kernels[before] /= factors
            biases[before] /= factors
            kernels[after] *= factors[:, np.newaxis]
        # An activation that is nothing but zeros has no range; any scale will do.
        scales |= {name: float(values.max()) / _STEPS or 1.0 for name, values in largest.items()}
    return kernels, biases, scales


def _float_convolution(graph: GraphBuilder, name: str, activation: str, kernel: Any, bias: Any) -> str:
    weights = graph.constant(f"{name}/kernel", kernel.transpose(3, 2, 0, 1))
    return _convolution(graph, name, [activation, weights, graph.constant(f"{name}/bias", bias)])


def _integer_convolution(graph: GraphBuilder, name: str, activation: str, kernel: Any, bias: Any, scale: float) -> str:
    weights = kernel.transpose(3, 2, 0, 1)
    largest = np.abs(weights).max(axis=(1, 2, 3))
    steps = np.where(largest > 0, largest, 1.0) / _WEIGHT_STEPS
    rounded = np.rint(weights / steps[:, np.newaxis, np.newaxis, np.newaxis])
    inputs = [
        _dequantised(graph, f"{name}/kernel", rounded, steps, np.int8),
        _dequantised(graph, f"{name}/bias", np.rint(bias / (steps * scale)), steps * scale, np.int32),
    ]
    return _convolution(graph, name, [activation, *inputs])


def _convolution(graph: GraphBuilder, name: str, inputs: list[str]) -> str:
    return graph.node("Relu", [graph.node("Conv", inputs, f"{name}/linear", pads=[1] * 4)], name)


def _pool(graph: GraphBuilder, block: int, activation: str) -> str:
    return graph.node("MaxPool", [activation], f"block{block}_pool", kernel_shape=[2, 2], strides=[2, 2])


def _dequantised(graph: GraphBuilder, name: str, steps: Any, scales: Any, kind: type) -> str:
    """A constant in integers, its first axis that of the scales."""
    zeros = graph.constant(f"{name}/zeros", np.zeros(len(scales)), kind)
    inputs = [graph.constant(f"{name}/steps", steps, kind), graph.constant(f"{name}/scales", scales), zeros]
    return graph.node("DequantizeLinear", inputs, name, axis=0)


def _rounded(graph: GraphBuilder, activation: str, scale: float) -> str:
    """An activation, 0 or more, rounded to one of 256 values."""
    settings = [
        graph.constant(f"{activation}/scale", scale),
        graph.constant(f"{activation}/zero", 0, np.uint8),
    ]
    steps = graph.node("QuantizeLinear", [activation, *settings], f"{activation}/quantised")
    return graph.node("DequantizeLinear", [steps, *settings], f"{activation}/rounded")


def _finish(graph: GraphBuilder, outputs: Mapping[str, Sequence[int | str]]) -> bytes:
    pixels = value("pixels", ["n", 3, "height", "width"])
    made = [value(name, shape) for name, shape in outputs.items()]
    return serialise(helper.make_graph(graph.nodes, "blocks", [pixels], made, graph.initializers), {})

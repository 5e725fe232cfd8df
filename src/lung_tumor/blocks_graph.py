"""The blocks of VGG16 as an ONNX graph, for the engines that read one.

From mean-centred pixels to the outputs of blocks, each its convolutions with ReLU and then the maximum of 2 by 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from lung_tumor.onnx_graph import GraphBuilder, serialise, value

Floats = npt.NDArray[np.float32]

Blocks = Sequence[Sequence[Sequence[Floats]]]
"""Of each block, of each of its convolutions: kernel, (3, 3, in, out), and bias, (out,)."""

Compute = Callable[[Floats], dict[int, Floats]]
"""From mean-centred pixels, (batch, 3, size, size) float32, to the activations of the wanted blocks, counted from 1, each
(batch, height, width, channels) float32."""

PIXELS = "pixels"


def in_float32(blocks: Blocks, wanted: Sequence[int]) -> bytes:
    """The graph in float32; an engine may compute it in fewer bits."""
    graph, activation = GraphBuilder(), PIXELS
    for block, convolutions in enumerate(blocks, start=1):
        for number, (kernel, bias) in enumerate(convolutions, start=1):
            activation = float_convolution(graph, f"block{block}_conv{number}", activation, kernel, bias)
        activation = pool(graph, block, activation)
        if block in wanted:
            graph.node("Identity", [activation], output_of(block))
    return finish(graph, {output_of(block): ["n", "channels", "rows", "columns"] for block in wanted})


def float_convolution(graph: GraphBuilder, name: str, activation: str, kernel: Any, bias: Any) -> str:
    """Add a convolution in float32 and its ReLU; gives what bears the name."""
    weights = graph.constant(f"{name}/kernel", kernel.transpose(3, 2, 0, 1))
    return convolution(graph, name, [activation, weights, graph.constant(f"{name}/bias", bias)])


def convolution(graph: GraphBuilder, name: str, inputs: list[str]) -> str:
    """Add a convolution of activation, kernel and bias, and its ReLU."""
    return graph.node("Relu", [graph.node("Conv", inputs, f"{name}/linear", pads=[1] * 4)], name)


def pool(graph: GraphBuilder, block: int, activation: str) -> str:
    """Add the maximum of 2 by 2 that ends a block."""
    return graph.node("MaxPool", [activation], f"block{block}_pool", kernel_shape=[2, 2], strides=[2, 2])


def output_of(block: int) -> str:
    """Name of a block's output."""
    return f"block{block}"


def finish(graph: GraphBuilder, outputs: Mapping[str, Sequence[int | str]]) -> bytes:
    """The graph as an ONNX model with these outputs and their shapes."""
    pixels = value(PIXELS, ["n", 3, "height", "width"])
    made = [value(name, shape) for name, shape in outputs.items()]
    return serialise(helper.make_graph(graph.nodes, "blocks", [pixels], made, graph.initializers), {})

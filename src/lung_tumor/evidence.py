"""What a classifier looked at, as operations of its ONNX graph.

The evidence of class c at a position is what the position adds to logit c less the mean of the other logits. Let A be the
last activation of a block that the head reads, after its pooling layer, and g the derivative of that contrast with respect
to the head's features. The features are sums over positions, of A over their number (average), of A where it is largest
(max), or A itself (flatten), so that g times each position's share in them is the position's part.

* A linear head: g is a constant and the map is exact (class activation mapping: Zhou et al., CVPR 2016). With the bias and
  what standardisation subtracts spread evenly over all positions it sums to the contrast of the logits.
* Hidden layers: g is the derivative through the dense ReLU layers at this slice, written as forward operations, for a
  ReLU's derivative is whether it lets through. Over averaged features this is Grad-CAM (Selvaraju et al., ICCV 2017) without
  its last ReLU: negative evidence is kept. Over maxima or flattened features, whose derivative differs from position to
  position, it is HiResCAM (Draelos and Carin, 2020). It says nothing of a bias and does not sum to the contrast.

Of several blocks the coarser maps are brought onto the finest one's grid, each position spread evenly over its cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lung_tumor import network
from lung_tumor.network import Cut
from lung_tumor.onnx_graph import GraphBuilder

if TYPE_CHECKING:
    import keras

Floats = npt.NDArray[np.float32]

EXACT, GRAD_CAM = "exact", "Grad-CAM"


@dataclass(frozen=True)
class _Head:
    """The head's weights. Of d features, h units in the last hidden layer (or d if there is none), C classes.

    Attributes:
        mean: (d,) what standardisation subtracts.
        scale: (d,) what it multiplies with.
        kernels: of each hidden layer, (inputs, units).
        contrast: (h, C), from the last layer's inputs to the contrast of the logits.
        bias: (C,), what the last bias adds to the contrast.
    """

    mean: Floats
    scale: Floats
    kernels: tuple[Floats, ...]
    contrast: Floats
    bias: Floats


def kind(model: keras.Model) -> str:
    """How the evidence of a classifier is made: :data:`EXACT` or :data:`GRAD_CAM`."""
    return GRAD_CAM if network.head_options(model).hidden_units else EXACT


def grid(model: keras.Model) -> tuple[int, int]:
    """Rows and columns of the evidence: those of the shallowest block that the head reads."""
    height, width, _ = _shape(model, min(network.feature_cuts(model)))
    return height, width


def contrasts(classes: int) -> Floats:
    """(C, C) matrix that makes of logits, (n, C), each one less the mean of the others."""
    return np.asarray((np.eye(classes) * classes - 1.0) / (classes - 1.0), dtype=np.float32)


def write(graph: GraphBuilder, model: keras.Model) -> str:
    """Add the evidence, (n, C, rows, columns) float32, to the graph of ``model``; return its name.

    Args:
        graph: holds the activations of blocks and hidden layers under the names of their layers.
        model: from :func:`lung_tumor.network.build`.
    """
    head, cuts, fine = _read_head(model), network.feature_cuts(model), grid(model)
    shapes = [_shape(model, cut) for cut in cuts]
    maps = []
    for cut, shape, gradient in zip(cuts, shapes, _gradients(graph, head, cuts, shapes), strict=True):
        coarse = _flattened_map(graph, cut, shape, gradient) if cut.kind == "flatten" else _map(graph, cut, gradient)
        name = f"evidence/{cut}"
        square = graph.constant(f"{name}/shape", [0, head.contrast.shape[1], *shape[:2]], np.int64)
        side = 2 ** (cut.block - min(cuts).block)
        maps.append(_spread(graph, graph.node("Reshape", [coarse, square], name), shape[:2], fine, side))
    found = graph.node("Sum", maps, "evidence/sum") if len(maps) > 1 else maps[0]
    if head.kernels:
        return found
    rest = head.bias - (head.mean * head.scale) @ head.contrast
    offset = graph.constant("evidence/offset", rest.reshape(1, -1, 1, 1) / (fine[0] * fine[1]))
    return graph.node("Add", [found, offset], "evidence/exact")


def _shape(model: keras.Model, cut: Cut) -> tuple[int, int, int]:
    """Height, width and channels of the activation that a cut is made of."""
    height, width, channels = model.get_layer(f"block{cut.block}_pool").output.shape[1:]
    return height, width, channels


def _read_head(model: keras.Model) -> _Head:
    mean, variance = model.get_layer("standardise").get_weights()
    hidden = [layer.get_weights()[0] for layer in model.layers if layer.name.startswith("hidden")]
    kernel, bias = model.get_layer("logits").get_weights()
    matrix = contrasts(len(bias))
    scale = 1.0 / np.sqrt(variance + network.STANDARDISE_EPSILON)
    return _Head(mean, scale, tuple(hidden), kernel @ matrix, bias @ matrix)


def _gradients(
    graph: GraphBuilder, head: _Head, cuts: tuple[Cut, ...], shapes: list[tuple[int, int, int]]
) -> list[str]:
    """For each block the derivative of the contrast, times the share of a position in a feature.

    Each is (1 or n, C, channels), or of flattened features (1 or n, C, channels * height * width).
    """
    first = head.scale[:, np.newaxis] * (head.kernels[0] if head.kernels else head.contrast)
    sizes = [
        int(np.prod(shape)) if cut.kind == "flatten" else shape[2] for cut, shape in zip(cuts, shapes, strict=True)
    ]
    parts = np.split(first, np.cumsum(sizes)[:-1])
    back = _through_hidden_layers(graph, head) if head.kernels else None
    found = []
    for cut, (height, width, channels), part in zip(cuts, shapes, parts, strict=True):
        if cut.kind == "average":
            part = part / (height * width)  # noqa: PLW2901
        if cut.kind == "flatten":  # Keras flattens (height, width, channels).
            part = part.reshape(height * width, channels, -1).swapaxes(0, 1).reshape(part.shape)  # noqa: PLW2901
        weights = graph.constant(f"evidence/{cut}/weights", part.T[np.newaxis])
        found.append(graph.node("MatMul", [back, weights], f"evidence/{cut}/gradient") if back else weights)
    return found


def _through_hidden_layers(graph: GraphBuilder, head: _Head) -> str:
    """Derivative of the contrast with respect to what enters the first hidden layer's ReLU, (n, C, units)."""
    back = graph.constant("evidence/contrast", head.contrast.T[np.newaxis])
    zero, axis = graph.constant("evidence/zero", 0.0), graph.constant("evidence/axis", [1], np.int64)
    for number in range(len(head.kernels), 0, -1):
        name = f"evidence/hidden{number}"
        positive = graph.node("Greater", [f"hidden{number}", zero], f"{name}/positive")
        mask = graph.node("Cast", [positive], f"{name}/mask", to=1)
        back = graph.node("Mul", [back, graph.node("Unsqueeze", [mask, axis], f"{name}/masks")], f"{name}/masked")
        if number > 1:
            kernel = graph.constant(f"{name}/kernel", head.kernels[number - 1].T)
            back = graph.node("MatMul", [back, kernel], f"{name}/back")
    return back


def _map(graph: GraphBuilder, cut: Cut, gradient: str) -> str:
    """Evidence of pooled features, (n, C, height * width)."""
    name, activation = f"evidence/{cut}", f"block{cut.block}_pool"
    if cut.kind == "max":
        # Where several positions share the maximum, they share the feature.
        over = graph.constant(f"{name}/over", [2, 3], np.int64)
        top = graph.node("ReduceMax", [activation], f"{name}/top", axes=[2, 3], keepdims=1)
        there = graph.node("Cast", [graph.node("Equal", [activation, top], f"{name}/equal")], f"{name}/there", to=1)
        count = graph.node("ReduceSum", [there, over], f"{name}/count", keepdims=1)
        share = graph.node("Div", [top, count], f"{name}/share")
        activation = graph.node("Mul", [there, share], f"{name}/located")
    flat = graph.constant(f"{name}/flat", [0, 0, -1], np.int64)
    positions = graph.node("Reshape", [activation, flat], f"{name}/positions")
    return graph.node("MatMul", [gradient, positions], f"{name}/map")


def _flattened_map(graph: GraphBuilder, cut: Cut, shape: tuple[int, int, int], gradient: str) -> str:
    """Evidence of flattened features, (n, C, height, width): of each position its own derivative."""
    name = f"evidence/{cut}"
    height, width, channels = shape
    like = graph.constant(f"{name}/like", [0, 0, channels, height, width], np.int64)
    axis, over = graph.constant(f"{name}/axis", [1], np.int64), graph.constant(f"{name}/over", [2], np.int64)
    weights = graph.node("Reshape", [gradient, like], f"{name}/by position")
    activation = graph.node("Unsqueeze", [f"block{cut.block}_pool", axis], f"{name}/activation")
    parts = graph.node("Mul", [weights, activation], f"{name}/parts")
    return graph.node("ReduceSum", [parts, over], f"{name}/map", keepdims=0)


def _spread(graph: GraphBuilder, coarse: str, shape: tuple[int, int], fine: tuple[int, int], side: int) -> str:
    """A map on a finer grid, every position's evidence spread evenly over its ``side`` by ``side`` cells: sums are kept."""
    if side == 1:
        return coarse
    down = graph.constant(f"{coarse}/rows", _cells(shape[0], fine[0], side))
    across = graph.constant(f"{coarse}/columns", _cells(shape[1], fine[1], side).T)
    tall = graph.node("MatMul", [down, coarse], f"{coarse}/tall")
    return graph.node("MatMul", [tall, across], f"{coarse}/spread")


def _cells(coarse: int, fine: int, side: int) -> Floats:
    """(fine, coarse): the share of each coarse position that each fine one takes; what pooling left over takes none."""
    shares = np.zeros((fine, coarse), dtype=np.float32)
    shares[: coarse * side] = np.repeat(np.eye(coarse, dtype=np.float32) / side, side, axis=0)
    return shares

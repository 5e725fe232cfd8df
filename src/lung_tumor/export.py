"""From a trained classifier to the one ONNX file that is served.

Two steps, because the references and the typical map must come from the very arithmetic that is served, float32 or int8:

1. :func:`draft` writes the network: pixels to logits, evidence and the features of novelty. It may be quantised
   (:mod:`lung_tumor.quantisation`), and is run over slices by :func:`run`.
2. :func:`finish` adds what was learnt from that: temperature, typical map, references.

The graph is written with ``onnx.helper`` from the network's own operations, not by Keras's exporter: that one needs 3 GB
more memory for this network (docs/adr/0002), and works under one Keras backend alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from lung_tumor import evidence, network
from lung_tumor.classifier import Classifier
from lung_tumor.errors import ExportError
from lung_tumor.imaging import Pixels, to_network_input
from lung_tumor.novelty import Novelty, NoveltyOptions, band_weights
from lung_tumor.onnx_graph import GraphBuilder, serialise, value
from lung_tumor.onnx_metadata import read_metadata, with_metadata
from lung_tumor.operating_point import OperatingPoint
from lung_tumor.predictor import METADATA_KEY, Floats, open_session

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4
"""Largest difference in probability that float32 arithmetic in another order explains."""

_END = np.iinfo(np.int64).max

SMALLEST_NORM = 1e-12
"""Of features that are divided by their length: those of nothing but zeros stay zero, and far from everything."""

Further = Mapping[str, npt.NDArray[np.float32]]
"""Pretrained tensors by the names of :mod:`lung_tumor.weights`, for blocks that the classifier does not have."""


@dataclass(frozen=True)
class Drafted:
    """What a draft says of n slices.

    Attributes:
        logits: (n, classes), not yet divided by a temperature.
        evidence: (n, classes, rows, columns), see :mod:`lung_tumor.evidence`.
        features: (n, d), rows of length 1, that novelty is told by: see :mod:`lung_tumor.novelty`.
    """

    logits: Floats
    evidence: Floats
    features: Floats


@dataclass(frozen=True)
class ServedParts:
    """What a draft lacks.

    Attributes:
        temperature: what logits are divided by, positive.
        operating_point: from where on a slice is suspected.
        novelty: when a slice is refused, and the references whose distance says so.
        typical: (classes, rows, columns), mean evidence of training slices of the negative class.
        precision_reason: why it is served in float32, or in int8.
    """

    temperature: float
    operating_point: OperatingPoint
    novelty: Novelty
    typical: Floats
    precision_reason: str

    def __post_init__(self) -> None:
        if not self.temperature > 0.0:
            raise ValueError(f"temperature must be positive, received {self.temperature}")
        references, neighbours = len(self.novelty.references), self.novelty.rule.neighbours
        if not 1 <= neighbours <= references:
            raise ValueError(
                f"neighbours must lie in [1, {references}], the number of references, received {neighbours}"
            )


def draft(classifier: Classifier, novelty: NoveltyOptions, further: Further, checks: Pixels) -> bytes:
    """Write the network in float32 and check it against the original.

    Args:
        classifier: trained network with its metadata, which is written into the file.
        novelty: of which blocks, in how many bands, the features of novelty are made.
        further: tensors of the blocks up to the last of those, where the classifier ends before it.
        checks: prepared slices, (n, size, size) uint8, on which both must agree.

    Returns:
        The serialised ONNX model: ``pixels`` (n, size, size, 3) float32, 0 to 255, to what :class:`Drafted` says.

    Raises:
        ExportError: some probability differs by more than :data:`TOLERANCE`, the network holds an unknown operation, or
            ``further`` lacks a tensor.
    """
    model = classifier.model
    graph = GraphBuilder()
    logits = _write_network(graph, model)
    _continue(graph, network.feature_cuts(model)[-1].block, max(novelty.blocks), further)
    features = _features(graph, model, novelty)
    for output, name in {
        "logits": logits,
        "evidence": evidence.write(graph, model),
        "novelty_features": features,
    }.items():
        graph.node("Identity", [name], output)
    size, classes = model.input_shape[1], model.output_shape[-1]
    made = helper.make_graph(
        graph.nodes,
        "lung_tumor",
        [value("pixels", ["n", size, size, 3])],
        [
            value("logits", ["n", classes]),
            value("evidence", ["n", classes, *evidence.grid(model)]),
            value("novelty_features", ["n", "d"]),
        ],
        graph.initializers,
    )
    metadata = replace(classifier.metadata, evidence=evidence.kind(model))
    content = serialise(made, {METADATA_KEY: metadata.to_json()})
    _check(content, model, checks)
    return content


def _check(content: bytes, model: keras.Model, checks: Pixels) -> None:
    expected = np.asarray(model.predict_on_batch(to_network_input(checks)))
    difference = float(np.abs(expected - probabilities(run(content, checks).logits)).max())
    if not difference <= TOLERANCE:
        raise ExportError(f"the ONNX model's probabilities differ by {difference:.2g}, expected at most {TOLERANCE:g}")


def probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """Softmax of logits, (n, classes), divided by a temperature."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def run(content: bytes, slices: Iterable[Pixels], threads: int | None = None) -> Drafted:
    """Send prepared slices, each (size, size) uint8, through a draft, one at a time: larger batches are no faster."""
    session = open_session(content, threads)
    names = ["logits", "evidence", "novelty_features"]
    rows = [session.run(names, {"pixels": to_network_input(picture[np.newaxis])}) for picture in slices]
    return Drafted(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))


def finish(content: bytes, parts: ServedParts) -> bytes:
    """Make of a draft, float32 or int8, the model that is served.

    Returns:
        The serialised ONNX model: ``pixels`` to ``probabilities`` (n, classes), calibrated; ``evidence`` and
        ``unusual_evidence`` (n, classes, rows, columns); ``distance`` (n,).
    """
    model = onnx.load_from_string(content)
    graph = GraphBuilder()
    scaled = graph.node("Div", ["logits", graph.constant("temperature", parts.temperature)], "calibrated logits")
    graph.node("Softmax", [scaled], "probabilities", axis=-1)
    graph.node("Sub", ["evidence", graph.constant("typical evidence", parts.typical[np.newaxis])], "unusual_evidence")
    _distance(graph, parts)
    model.graph.node.extend(graph.nodes)
    model.graph.initializer.extend(graph.initializers)
    classes, rows, columns = parts.typical.shape
    outputs = [
        value("probabilities", ["n", classes]),
        value("evidence", ["n", classes, rows, columns]),
        value("unusual_evidence", ["n", classes, rows, columns]),
        value("distance", ["n"]),
    ]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    metadata = replace(
        read_metadata(model),
        temperature=parts.temperature,
        operating_point=parts.operating_point,
        novelty=parts.novelty.rule,
        precision_reason=parts.precision_reason,
    )
    return with_metadata(model, metadata)


def _distance(graph: GraphBuilder, parts: ServedParts) -> None:
    """The distance of :mod:`lung_tumor.novelty`."""
    references, upright, rule = parts.novelty
    names = ["novelty_features", graph.constant("novelty/references", references.T)]
    cosines = graph.node("MatMul", names, "novelty/cosines")
    count = graph.constant("novelty/neighbours", [rule.neighbours], np.int64)
    graph.nodes.append(helper.make_node("TopK", [cosines, count], ["novelty/nearest", "novelty/places"], axis=1))
    last = graph.constant("novelty/last", rule.neighbours - 1, np.int64)
    nearest = graph.node("Gather", ["novelty/nearest", last], "novelty/kth", axis=1)
    distance = graph.node("Sub", [graph.constant("novelty/one", 1.0), nearest], "novelty/cosine distance")
    along = graph.node("MatMul", ["novelty_features", graph.constant("novelty/upright", upright)], "novelty/along")
    turned = graph.node("Less", [along, graph.constant("novelty/zero", 0.0)], "novelty/turned")
    right_way = graph.node("Add", [distance, graph.node("Cast", [turned], "novelty/beyond", to=1)], "novelty/right way")
    limit = graph.constant("novelty/most cut off", rule.most_cut_off)
    narrow = graph.node("Greater", [_cut_off(graph), limit], "novelty/narrow")
    graph.node("Add", [right_way, graph.node("Cast", [narrow], "novelty/window", to=1)], "distance")


def _cut_off(graph: GraphBuilder) -> str:
    """:func:`lung_tumor.novelty.cut_off` of the first of the three equal channels."""
    axes = graph.constant("novelty/axes", [1, 2, 3], np.int64)
    corners = {"here": (0, 0), "right": (0, 1), "below": (1, 0)}
    for name, (row, column) in corners.items():
        start = graph.constant(f"novelty/{name}/start", [row, column, 0], np.int64)
        # The last row and column are left out unless they are a neighbour; an end beyond the picture is its end.
        ends = [_END if row else -1, _END if column else -1, 1]
        end = graph.constant(f"novelty/{name}/end", ends, np.int64)
        graph.node("Slice", ["pixels", start, end, axes], f"novelty/{name}")
    same = [graph.node("Equal", ["novelty/here", f"novelty/{it}"], f"novelty/same {it}") for it in ("right", "below")]
    bright = graph.node("Greater", ["novelty/here", graph.constant("novelty/black", 0.0)], "novelty/bright")
    even = graph.node("And", [bright, graph.node("And", same, "novelty/same")], "novelty/even")
    counts = [
        graph.node("ReduceSum", [graph.node("Cast", [it], f"{it}/ones", to=1), axes], f"{it}/count", keepdims=0)
        for it in (even, bright)
    ]
    divisor = graph.node("Max", [counts[1], graph.constant("novelty/least count", 1.0)], "novelty/bright/divisor")
    return graph.node("Div", [counts[0], divisor], "novelty/cut off")


def _features(graph: GraphBuilder, model: keras.Model, novelty: NoveltyOptions) -> str:
    """The features ``f`` of :mod:`lung_tumor.novelty`."""
    smallest = graph.constant("novelty/smallest", SMALLEST_NORM)
    root = graph.constant("novelty/root", np.sqrt(len(novelty.blocks)))
    parts = []
    for block in novelty.blocks:
        name = f"novelty/block{block}"
        weights = band_weights(model.input_shape[1] // 2**block, novelty.bands)
        rows = graph.node("ReduceMean", [f"block{block}_pool"], f"{name}/rows", axes=[3], keepdims=0)
        bands = graph.node("MatMul", [rows, graph.constant(f"{name}/weights", weights.T)], f"{name}/bands")
        flat = graph.node("Flatten", [graph.node("Transpose", [bands], f"{name}/last", perm=[0, 2, 1])], f"{name}/flat")
        length = graph.node("ReduceL2", [flat], f"{name}/length", axes=[1], keepdims=1)
        parts.append(
            graph.node("Div", [flat, graph.node("Max", [length, smallest], f"{name}/divisor")], f"{name}/unit")
        )
    joined = graph.node("Concat", parts, "novelty/joined", axis=1)
    return graph.node("Div", [joined, root], "novelty/features")


def _continue(graph: GraphBuilder, end: int, last: int, further: Further) -> None:
    """Add the blocks after ``end`` up to ``last``, with pretrained tensors."""
    for block in range(end + 1, last + 1):
        activation = f"block{block - 1}_pool"
        for number in range(1, network.BLOCKS[block - 1][0] + 1):
            name = f"block{block}_conv{number}"
            if f"{name}/kernel" not in further:
                raise ExportError(
                    f"novelty reads block{block}, which the network lacks: {name}/kernel of the ImageNet weights is needed"
                )
            activation = _conv(graph, name, activation, further[f"{name}/kernel"], further[f"{name}/bias"])
        graph.node("MaxPool", [activation], f"block{block}_pool", kernel_shape=[2, 2], strides=[2, 2])


def _write_network(graph: GraphBuilder, model: keras.Model) -> str:
    """Write the operations up to the logits, each under the name of its layer; return the name of the logits."""
    names: dict[int, str] = {}
    for operation in model.operations:
        kind = type(operation).__name__
        if kind not in _WRITERS:
            raise ExportError(f"no ONNX form is known for {kind} ({operation.name}); add one to lung_tumor.export")
        given = operation.input if isinstance(operation.input, list) else [operation.input]
        inputs = [names[id(tensor)] for tensor in given] if kind != "InputLayer" else []
        names[id(operation.output)] = _WRITERS[kind](graph, operation, inputs)
    return names[id(model.output)]


def _input(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return graph.node("Transpose", ["pixels"], "channels_first", perm=[0, 3, 1, 2])


def _flip(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    order = graph.constant(f"{layer.name}/order", [2, 1, 0], np.int64)
    return graph.node("Gather", [*inputs, order], layer.name, axis=1)


def _rescale(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    offset = graph.constant(f"{layer.name}/offset", np.reshape(layer.offset, (1, -1, 1, 1)))
    return graph.node("Add", [*inputs, offset], layer.name)


def _convolve(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return _conv(graph, layer.name, inputs[0], *layer.get_weights())


def _conv(graph: GraphBuilder, name: str, given: str, kernel: npt.NDArray[Any], bias: npt.NDArray[Any]) -> str:
    weights = graph.constant(f"{name}/kernel", kernel.transpose(3, 2, 0, 1))
    offsets = graph.constant(f"{name}/bias", bias)
    values = graph.node("Conv", [given, weights, offsets], f"{name}/linear", pads=[1, 1, 1, 1])
    return graph.node("Relu", [values], name)


def _pool(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return graph.node("MaxPool", inputs, layer.name, kernel_shape=[2, 2], strides=[2, 2])


def _pool_all(kind: str) -> Callable[[GraphBuilder, keras.Layer, list[str]], str]:
    def write(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
        return graph.node("Flatten", [graph.node(kind, inputs, f"{layer.name}/pooled")], layer.name)

    return write


def _flatten(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    # Keras flattens (height, width, channels).
    return graph.node("Flatten", [graph.node("Transpose", inputs, f"{layer.name}/last", perm=[0, 2, 3, 1])], layer.name)


def _concatenate(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return graph.node("Concat", inputs, layer.name, axis=1)


def _standardise(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    mean, variance = layer.get_weights()
    centred = graph.node("Sub", [*inputs, graph.constant(f"{layer.name}/mean", mean)], f"{layer.name}/centred")
    scale = graph.constant(f"{layer.name}/scale", 1.0 / np.sqrt(variance + layer.epsilon))
    return graph.node("Mul", [centred, scale], layer.name)


def _pass(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return inputs[0]


def _multiply(graph: GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    kernel, bias = (graph.constant(f"{layer.name}/{i}", part) for i, part in enumerate(layer.get_weights()))
    values = graph.node("Gemm", [*inputs, kernel, bias], f"{layer.name}/linear")
    return graph.node("Relu", [values], layer.name) if layer.activation.__name__ == "relu" else values


_WRITERS: dict[str, Callable[[GraphBuilder, Any, list[str]], str]] = {
    "InputLayer": _input,
    "Flip": _flip,
    "Rescaling": _rescale,
    "Conv2D": _convolve,
    "MaxPooling2D": _pool,
    "GlobalAveragePooling2D": _pool_all("GlobalAveragePool"),
    "GlobalMaxPooling2D": _pool_all("GlobalMaxPool"),
    "Flatten": _flatten,
    "Concatenate": _concatenate,
    "BatchNormalization": _standardise,
    "Dropout": _pass,
    "Dense": _multiply,
    "Softmax": _pass,  # finish() divides the logits by the temperature first
}

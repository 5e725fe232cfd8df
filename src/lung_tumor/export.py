"""From a trained classifier to the ONNX file that is served.

The graph is written with ``onnx.helper`` from the network's own operations, not by Keras's exporter: that one needs 3 GB
more memory for this network (docs/adr/0002), and works under one Keras backend alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lung_tumor.classifier import Classifier
from lung_tumor.errors import ExportError
from lung_tumor.imaging import Pixels, to_network_input
from lung_tumor.predictor import METADATA_KEY, Predictor

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4
"""Largest difference in probability that float32 arithmetic in another order explains."""

OPSET = 17
IR_VERSION = 9
"""Versions of the operator set and the file format: old enough for every runtime of the last years."""


def to_onnx(classifier: Classifier, checks: Pixels) -> bytes:
    """Export to ONNX, float32, and check the result against the original.

    Args:
        classifier: trained network with its metadata, which is written into the file.
        checks: prepared slices, (n, size, size) uint8, on which both must agree.

    Returns:
        The serialised ONNX model: ``pixels`` (n, size, size, 3) float32, 0 to 255, to ``probabilities`` (n, classes).

    Raises:
        ExportError: some probability differs by more than :data:`TOLERANCE`, or the network holds an unknown operation.
    """
    content: bytes = _to_model(classifier).SerializeToString()
    expected = np.asarray(classifier.model.predict_on_batch(to_network_input(checks)))
    difference = float(np.abs(expected - Predictor(content).predict(checks)).max())
    if not difference <= TOLERANCE:
        raise ExportError(f"the ONNX model's probabilities differ by {difference:.2g}, expected at most {TOLERANCE:g}")
    return content


def _to_model(classifier: Classifier) -> onnx.ModelProto:
    model = classifier.model
    builder = _GraphBuilder()
    names: dict[int, str] = {}
    for operation in model.operations:
        kind = type(operation).__name__
        if kind not in _WRITERS:
            raise ExportError(f"no ONNX form is known for {kind} ({operation.name}); add one to lung_tumor.export")
        given = operation.input if isinstance(operation.input, list) else [operation.input]
        inputs = [names[id(tensor)] for tensor in given] if kind != "InputLayer" else []
        names[id(operation.output)] = _WRITERS[kind](builder, operation, inputs)
    size, classes = model.input_shape[1], model.output_shape[-1]
    graph = helper.make_graph(
        [*builder.nodes, helper.make_node("Identity", [names[id(model.output)]], ["probabilities"])],
        "lung_tumor",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", size, size, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])],
        builder.initializers,
    )
    exported = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(exported, {METADATA_KEY: classifier.metadata.to_json()})
    onnx.checker.check_model(exported)
    return exported


class _GraphBuilder:
    """Nodes and constants of a graph under construction. Activations are (n, channels, height, width)."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: npt.ArrayLike, dtype: type = np.float32) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=dtype), name))
        return name


def _input(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return graph.node("Transpose", ["pixels"], "channels_first", perm=[0, 3, 1, 2])


def _flip(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    order = graph.constant(f"{layer.name}/order", [2, 1, 0], np.int64)
    return graph.node("Gather", [*inputs, order], layer.name, axis=1)


def _rescale(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    offset = graph.constant(f"{layer.name}/offset", np.reshape(layer.offset, (1, -1, 1, 1)))
    return graph.node("Add", [*inputs, offset], layer.name)


def _convolve(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    kernel, bias = layer.get_weights()
    weights = graph.constant(f"{layer.name}/kernel", kernel.transpose(3, 2, 0, 1))
    offsets = graph.constant(f"{layer.name}/bias", bias)
    values = graph.node("Conv", [*inputs, weights, offsets], f"{layer.name}/linear", pads=[1, 1, 1, 1])
    return graph.node("Relu", [values], layer.name)


def _pool(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return graph.node("MaxPool", inputs, layer.name, kernel_shape=[2, 2], strides=[2, 2])


def _pool_all(kind: str) -> Callable[[_GraphBuilder, keras.Layer, list[str]], str]:
    def write(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
        return graph.node("Flatten", [graph.node(kind, inputs, f"{layer.name}/pooled")], layer.name)

    return write


def _flatten(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    # Keras flattens (height, width, channels).
    return graph.node("Flatten", [graph.node("Transpose", inputs, f"{layer.name}/last", perm=[0, 2, 3, 1])], layer.name)


def _concatenate(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return graph.node("Concat", inputs, layer.name, axis=1)


def _standardise(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    mean, variance = layer.get_weights()
    centred = graph.node("Sub", [*inputs, graph.constant(f"{layer.name}/mean", mean)], f"{layer.name}/centred")
    scale = graph.constant(f"{layer.name}/scale", 1.0 / np.sqrt(variance + layer.epsilon))
    return graph.node("Mul", [centred, scale], layer.name)


def _pass(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return inputs[0]


def _multiply(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    kernel, bias = (graph.constant(f"{layer.name}/{i}", part) for i, part in enumerate(layer.get_weights()))
    values = graph.node("Gemm", [*inputs, kernel, bias], f"{layer.name}/linear")
    return graph.node("Relu", [values], layer.name) if layer.activation.__name__ == "relu" else values


def _softmax(graph: _GraphBuilder, layer: keras.Layer, inputs: list[str]) -> str:
    return graph.node("Softmax", inputs, f"{layer.name}/softmax", axis=-1)


_WRITERS: dict[str, Callable[[_GraphBuilder, Any, list[str]], str]] = {
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
    "Softmax": _softmax,
}

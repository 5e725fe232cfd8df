"""An ONNX graph under construction, written with ``onnx.helper`` (docs/adr/0002)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 9
"""Versions of the operator set and the file format: old enough for every runtime of the last years."""


class GraphBuilder:
    """Nodes and constants of a graph. Activations are (n, channels, height, width)."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add an operation of one output; both it and the output bear the name that is returned."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: npt.ArrayLike, dtype: type = np.float32) -> str:
        """Add a constant and return its name."""
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype=dtype, order="C"), name))
        return name


def serialise(graph: onnx.GraphProto, metadata: dict[str, str]) -> bytes:
    """Check a graph and write it, with the metadata, as a model."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def value(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """Name and shape of a float32 input or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

"""An untrained model with the architecture, outputs and metadata of a served one, where none has been trained.

Its answers mean nothing; its cost is that of VGG16's first four blocks at 224 × 224 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lung_tumor.imaging import PreparationOptions
from lung_tumor.metadata import ModelMetadata
from lung_tumor.novelty import NoveltyRule
from lung_tumor.operating_point import OperatingPoint
from lung_tumor.predictor import METADATA_KEY

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512))
SIZE = 224
REFERENCES = 250


def write(path: Path, precision: str) -> Path:
    """Write the model, ``float32`` or ``int8``."""
    onnx.save(_float32(precision), str(path))
    return _quantised(path) if precision == "int8" else path


def _float32(precision: str) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    constants: dict[str, np.ndarray[Any, Any]] = {}
    nodes = [helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2])]
    last, channels = "planes", 3
    for block, (count, filters) in enumerate(BLOCKS, start=1):
        for number in range(count):
            name = f"block{block}_conv{number + 1}"
            scale = np.sqrt(2 / (9 * channels)) / (100 if channels == 3 else 1)
            constants[name] = random.normal(0, scale, (filters, channels, 3, 3)).astype(np.float32)
            convolution = helper.make_node(
                "Conv", [last, name], [f"{name}_out"], pads=[1, 1, 1, 1], kernel_shape=[3, 3], name=name
            )
            nodes.append(convolution)
            nodes.append(helper.make_node("Relu", [f"{name}_out"], [f"{name}_relu"]))
            last, channels = f"{name}_relu", filters
        nodes.append(helper.make_node("MaxPool", [last], [f"pool{block}"], kernel_shape=[2, 2], strides=[2, 2]))
        last = f"pool{block}"
    constants["head"] = random.normal(0, 0.01, (2, channels, 1, 1)).astype(np.float32)
    constants["usual"] = np.zeros((1, 2, 14, 14), np.float32)
    constants["references"] = random.normal(0, 1, (channels, REFERENCES)).astype(np.float32) / np.sqrt(
        np.float32(channels)
    )
    nodes += [
        helper.make_node("Conv", [last, "head"], ["evidence"], kernel_shape=[1, 1], name="head"),
        helper.make_node("Sub", ["evidence", "usual"], ["unusual_evidence"]),
        helper.make_node("ReduceMean", ["evidence"], ["logits"], axes=[2, 3], keepdims=0),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        helper.make_node("ReduceMean", [last], ["pooled"], axes=[2, 3], keepdims=0),
        helper.make_node("LpNormalization", ["pooled"], ["direction"], axis=1, p=2),
        helper.make_node("MatMul", ["direction", "references"], ["likeness"]),
        helper.make_node("ReduceMax", ["likeness"], ["nearest"], axes=[1], keepdims=0),
        helper.make_node("Neg", ["nearest"], ["distance"]),
    ]
    shapes = {
        "probabilities": ["n", 2],
        "evidence": ["n", 2, 14, 14],
        "unusual_evidence": ["n", 2, 14, 14],
        "distance": ["n"],
    }
    graph = helper.make_graph(
        nodes,
        "untrained",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    metadata = ModelMetadata(
        ("adenocarcinoma", "normal"),
        synthetic=True,
        source="untrained",
        slices=0,
        preparation=PreparationOptions(),
        operating_point=OperatingPoint("normal", 0.5, 0.4, 0.6, 0.95, 0.95, 0.5, 1),
        novelty=NoveltyRule(2.0, 5, 0.97, REFERENCES, (4,)),
        precision=precision,
    )
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.checker.check_model(model)
    return model


def _quantised(path: Path) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Noise(CalibrationDataReader):  # type: ignore[misc]
        """A few noisy pictures."""

        def __init__(self) -> None:
            random = np.random.default_rng(1)
            self._left = [random.integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.float32) for _ in range(4)]

        def get_next(self) -> dict[str, Any] | None:
            """The next picture."""
            return {"pixels": self._left.pop()} if self._left else None

    target = path.with_name("int8.onnx")
    quantize_static(
        str(path),
        str(target),
        Noise(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "MaxPool", "Relu"],
        nodes_to_exclude=["head"],
    )
    # The quantiser keeps the metadata of the file, or not, by version.
    model = onnx.load(str(target))
    helper.set_model_props(model, {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props})
    onnx.save(model, str(target))
    return target

"""TEST MODELS: tiny ONNX classifiers with all outputs of a served one, whose answers can be worked out by hand.

They know nothing of chests: brightness is all they see.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lung_tumor.imaging import PreparationOptions
from lung_tumor.metadata import ModelMetadata
from lung_tumor.novelty import NoveltyRule
from lung_tumor.operating_point import OperatingPoint
from lung_tumor.predictor import METADATA_KEY

SIZE = 64
GRID = 8
"""Rows and columns of the evidence maps."""

TWO = ("adenocarcinoma", "normal")
FOUR = ("adenocarcinoma", "large_cell_carcinoma", "squamous_cell_carcinoma", "normal")

USUAL = 0.25
"""Brightness, 0 to 1, of each position of a slice without disease."""


def gains(count: int) -> np.ndarray:
    """What brightness adds to each class's logit: the first class is bright, the last dark."""
    return np.linspace(8.0, -8.0, count, dtype=np.float32)


def brightness_model(
    classes: tuple[str, ...] = TWO, outputs: int | None = None, size: int = SIZE, **facts: Any
) -> bytes:
    """A model whose class ``c`` has the logit ``gain_c * (mean grey / 255 - 1/2)`` and whose distance is the mean grey / 255.

    Args:
        classes: named in its metadata.
        outputs: classes that it answers for, if not those that it names.
        size: side of its input, a multiple of ``GRID``.
        **facts: of the metadata.
    """
    count = outputs or len(classes)
    gain = gains(count)
    others = (gain.sum() - gain) / max(count - 1, 1)
    per_position = ((gain - others) / GRID**2).reshape(count, 1, 1, 1)
    side = size // GRID
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMean", ["planes"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["grey", "per_grey"], ["brightness"]),
        helper.make_node("AveragePool", ["brightness"], ["positions"], kernel_shape=[side, side], strides=[side, side]),
        helper.make_node("Add", ["positions", "minus_half"], ["centred"]),
        helper.make_node("Conv", ["centred", "per_position"], ["evidence"], kernel_shape=[1, 1]),
        helper.make_node("Sub", ["evidence", "usual"], ["unusual_evidence"]),
        helper.make_node("ReduceMean", ["centred"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "gain"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        helper.make_node("Sub", ["mean", "minus_half_once"], ["distance"]),
    ]
    constants = {
        "per_grey": np.float32(1 / 255),
        "minus_half": np.float32(-0.5),
        "minus_half_once": np.float32(-0.5),
        "per_position": per_position.astype(np.float32),
        "usual": (per_position.reshape(1, count, 1, 1) * (USUAL - 0.5)).astype(np.float32),
        "last": np.int64([1]),
        "gain": gain[np.newaxis],
    }
    shapes = {
        "probabilities": ["n", count],
        "evidence": ["n", count, GRID, GRID],
        "unusual_evidence": ["n", count, GRID, GRID],
        "distance": ["n"],
    }
    graph = helper.make_graph(
        nodes,
        "test model: brightness",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", size, size, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: metadata(classes, size, **facts).to_json()})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def metadata(classes: tuple[str, ...] = TWO, size: int = SIZE, **facts: Any) -> ModelMetadata:
    """Metadata with everything that a served model has; the last class means no disease."""
    return ModelMetadata(
        **{
            "classes": classes,
            "synthetic": True,
            "source": "phantom:600?seed=7",
            "slices": 480,
            "preparation": PreparationOptions(size=size, normalise="none"),
            "version": "0.1.0",
            "operating_point": OperatingPoint(classes[-1], 0.4, 0.3, 0.5, 0.95, 0.96, 0.8, 30),
            "novelty": NoveltyRule(threshold=0.8, neighbours=5, acceptance=0.97, references=480, blocks=(4,)),
            "evidence": "exact",
            **facts,
        }
    )

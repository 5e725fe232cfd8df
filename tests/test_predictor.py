"""Answers of a served model."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lung_tumor.imaging import PreparationOptions
from lung_tumor.metadata import ModelMetadata
from lung_tumor.predictor import METADATA_KEY, Predictor

METADATA = ModelMetadata(
    ("dark", "bright"), synthetic=True, source="made up", slices=2, preparation=PreparationOptions()
)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """softmax of (0, ln 3) times the mean grey value over 255: white is bright with odds of three to one."""
    gains = np.tile(np.array([0.0, math.log(3) / (3 * 255)], np.float32), (3, 1))
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["slices"], ["means"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["means", "gains"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        ],
        "brightness",
        [helper.make_tensor_value_info("slices", TensorProto.FLOAT, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(gains, "gains")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(made, {METADATA_KEY: METADATA.to_json()})
    return made


def test_probabilities_are_those_worked_by_hand(model: onnx.ModelProto) -> None:
    slices = np.stack([np.full((32, 32), 0, np.uint8), np.full((32, 32), 255, np.uint8)])
    probabilities = Predictor(model.SerializeToString(), threads=1).predict(slices)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, [[0.5, 0.5], [0.25, 0.75]], atol=1e-6)


def test_a_file_answers_as_the_same_bytes_and_carries_the_same_metadata(model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    slices = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    from_file, from_bytes = Predictor(path), Predictor(model.SerializeToString())
    np.testing.assert_array_equal(from_file.predict(slices), from_bytes.predict(slices))
    assert from_file.metadata == from_bytes.metadata == METADATA
    assert from_file.digest == from_bytes.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_one_predictor_answers_many_threads(model: onnx.ModelProto) -> None:
    predictor = Predictor(model.SerializeToString(), threads=1)
    greys = [np.full((1, 32, 32), grey, np.uint8) for grey in range(0, 256, 5)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predictor.predict, greys))
    np.testing.assert_array_equal(np.concatenate(together), predictor.predict(np.concatenate(greys)))


def test_a_model_of_someone_else_is_refused(model: onnx.ModelProto) -> None:
    foreign = onnx.ModelProto()
    foreign.CopyFrom(model)
    del foreign.metadata_props[:]
    with pytest.raises(ValueError, match="carries no 'lung_tumor' metadata; export it with `kedro run`"):
        Predictor(foreign.SerializeToString())

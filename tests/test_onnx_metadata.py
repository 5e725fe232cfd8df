"""What an ONNX file says of itself, and whether two are the same model."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lung_tumor.onnx_metadata import model_identity, read_metadata, with_metadata, with_verdict
from lung_tumor.predictor import Predictor
from tests.support.served_models import SIZE, brightness_model

METRICS = {"network": {"accuracy": 0.5, "undefined": []}}
LINEAGE = {"test_digest": "t", "best": {"roc_auc": 0.9}}


def test_a_verdict_travels_along_and_changes_no_answer() -> None:
    content, slices = brightness_model(), np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE), dtype=np.uint8)
    before, told = (Predictor(given, threads=1) for given in (content, with_verdict(content, METRICS, LINEAGE)))
    assert told.metadata == dataclasses.replace(before.metadata, metrics=METRICS, lineage=LINEAGE)
    np.testing.assert_array_equal(told.predict(slices), before.predict(slices))


def described(content: bytes, **facts: Any) -> bytes:
    model = onnx.load_from_string(content)
    return with_metadata(model, dataclasses.replace(read_metadata(model), **facts))


def test_a_model_stays_the_same_however_often_it_is_evaluated_and_trained_again() -> None:
    content = brightness_model()
    told = with_verdict(content, METRICS, LINEAGE)
    assert told != content
    assert model_identity(told) == model_identity(content)
    assert model_identity(with_verdict(told, {}, {})) == model_identity(content)
    assert model_identity(described(content, created="2026-11-23T12:00:00+00:00")) == model_identity(content)


@pytest.mark.parametrize("facts", [{"temperature": 1.5}, {"data_digest": "d"}, {"model_digest": "m"}, {"source": "x"}])
def test_a_model_that_says_anything_else_of_itself_is_another(facts: dict[str, Any]) -> None:
    assert model_identity(described(brightness_model(), **facts)) != model_identity(brightness_model())


def test_a_model_of_one_other_weight_is_another() -> None:
    model = onnx.load_from_string(brightness_model())
    gain = next(tensor for tensor in model.graph.initializer if tensor.name == "gain")
    gain.CopyFrom(numpy_helper.from_array(np.nextafter(numpy_helper.to_array(gain), np.float32(9.0)), "gain"))
    assert model_identity(model.SerializeToString()) != model_identity(brightness_model())

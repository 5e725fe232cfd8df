"""What an ONNX file says of itself: reading, writing, and whether two files are the same model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import onnx
from onnx import helper

from lung_tumor.metadata import ModelMetadata
from lung_tumor.predictor import METADATA_KEY


def read_metadata(model: onnx.ModelProto) -> ModelMetadata:
    """What a model of this project says of itself."""
    return ModelMetadata.from_json({entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY])


def with_metadata(model: onnx.ModelProto, metadata: ModelMetadata) -> bytes:
    """Serialise a model that says this of itself, and nothing that a tool may have added."""
    del model.metadata_props[:]
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def with_verdict(content: bytes, metrics: Mapping[str, Any], lineage: Mapping[str, Any]) -> bytes:
    """A served model that also says how it did, which is known only once it has been evaluated.

    Args:
        content: the serialised model.
        metrics: :attr:`lung_tumor.metadata.ModelMetadata.metrics`.
        lineage: :attr:`lung_tumor.metadata.ModelMetadata.lineage`.
    """
    model = onnx.load_from_string(content)
    return with_metadata(model, replace(read_metadata(model), metrics=metrics, lineage=lineage))


def model_identity(content: bytes) -> str:
    """SHA-256 that two files share if they answer alike and say the same of themselves, but for when and how it was judged.

    What an evaluation writes into a model has no part in it, nor has the time of training: the same slices, options and seed
    train the same model again.
    """
    model = onnx.load_from_string(content)
    metadata = replace(read_metadata(model), metrics={}, lineage={}, created="")
    digest = hashlib.sha256(metadata.to_json().encode())
    digest.update(model.graph.SerializeToString(deterministic=True))
    return digest.hexdigest()

"""What a model says of itself."""

from __future__ import annotations

import dataclasses

import pytest

from lung_tumor.imaging import PreparationOptions
from lung_tumor.metadata import ModelMetadata

FACTS = ModelMetadata(
    classes=("adenocarcinoma", "normal"),
    synthetic=True,
    source="phantom:",
    slices=12,
    preparation=PreparationOptions(size=64, denoise="bilateral", percentiles=(2, 97)),
    weights_digest="aa",
    data_digest="bb",
    version="1.2.3",
    created="2026-01-01T00:00:00+00:00",
    warnings=("normal: 14 independent pictures behind 148 files",),
)


def test_json_gives_back_equal_metadata() -> None:
    assert ModelMetadata.from_json(FACTS.to_json()) == FACTS


def test_equal_facts_are_equal_text_whatever_their_order() -> None:
    values = {field.name: getattr(FACTS, field.name) for field in reversed(dataclasses.fields(FACTS))}
    assert ModelMetadata(**values).to_json() == FACTS.to_json()
    assert dataclasses.replace(FACTS, slices=13).to_json() != FACTS.to_json()


@pytest.mark.parametrize("classes", [(), ("normal",), ("normal", "normal")])
def test_two_different_class_names_are_the_least(classes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="classes must be two or more different names"):
        dataclasses.replace(FACTS, classes=classes)

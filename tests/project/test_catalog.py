"""The catalog declares what pipelines share, and Kedro-Viz can show it."""

from __future__ import annotations

import pytest

from tests.project.test_dvc import CATALOG, PIPELINES, types_of


def layer_of(dataset: str) -> str:
    return str(CATALOG[dataset]["metadata"]["kedro-viz"]["layer"])


def data_of(names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith("params:") and name != "parameters"]


def test_every_dataset_of_every_pipeline_is_declared_and_no_other() -> None:
    used = {name for pipeline in PIPELINES.values() for name in data_of(sorted(pipeline.datasets()))}
    assert used == set(CATALOG)


def test_what_crosses_from_one_pipeline_to_another_is_kept_in_a_file() -> None:
    crossing = {
        name
        for writer in PIPELINES.values()
        for reader in PIPELINES.values()
        for name in writer.all_outputs() & reader.inputs()
    }
    assert {"manifest", "prepared_slices", "untrained_classifier", "classifier"} <= crossing
    assert [name for name in crossing if "MemoryDataset" in types_of(name)] == []


@pytest.mark.parametrize("dataset", CATALOG)
def test_every_dataset_has_one_of_the_layers(dataset: str) -> None:
    layers = ["raw", "intermediate", "primary", "feature", "model_input", "models", "model_output", "reporting"]
    assert layer_of(dataset) in [f"{number:02}_{name}" for number, name in enumerate(layers, start=1)]


def test_layers_never_point_backwards() -> None:
    """Kedro-Viz draws no layers at all where two of them feed each other."""
    backwards = [
        f"{node.name}: {source} ({layer_of(source)}) -> {target} ({layer_of(target)})"
        for pipeline in PIPELINES.values()
        for node in pipeline.nodes
        for source in data_of(node.inputs)
        for target in data_of(node.outputs)
        if layer_of(source) > layer_of(target)
    ]
    assert backwards == []


def test_nothing_is_versioned_by_kedro_because_dvc_does_that() -> None:
    inner = [entry["dataset"] for entry in CATALOG.values() if isinstance(entry.get("dataset"), dict)]
    assert [entry for entry in [*CATALOG.values(), *inner] if entry.get("versioned")] == []

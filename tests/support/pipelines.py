"""Pipelines run in memory."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kedro.io import AbstractDataset, DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from lung_tumor import network
from lung_tumor.augmentation import AugmentationOptions
from lung_tumor.classes import ClassOptions
from lung_tumor.computation import ComputationOptions
from lung_tumor.datasets.file_content import FileContentDataset
from lung_tumor.datasets.onnx_model import OnnxModelDataset
from lung_tumor.duplicates import DuplicateOptions
from lung_tumor.embedding import EmbeddingOptions
from lung_tumor.feature_store import FeatureStore
from lung_tumor.fitting import FittingOptions
from lung_tumor.groups import GroupOptions
from lung_tumor.network import NetworkOptions
from lung_tumor.novelty import NoveltyOptions
from lung_tumor.operating_point import OperatingPointOptions
from lung_tumor.pipeline_registry import register_pipelines
from lung_tumor.promotion import PromotionOptions
from lung_tumor.shortcuts import ComparisonOptions, ShortcutOptions
from lung_tumor.splits import SplitOptions
from tests.support.classifiers import PREPARATION, SIZE
from tests.support.pictures import CLASSES, tiny_source

NETWORKS = {
    2: NetworkOptions(frozen_blocks=5, feature_blocks=(2,)),
    3: NetworkOptions(frozen_blocks=1, feature_blocks=(1, 2)),
    4: NetworkOptions(frozen_blocks=5, feature_blocks=(1, 2), head="max", hidden_units=(8,), dropout=0.1),
}
"""By the number of classes, so that three runs try the head alone, fine-tuning and hidden layers."""


class KeptDataset(MemoryDataset):
    """A runner lets go of what no later node needs; tests look at it afterwards."""

    def _release(self) -> None:
        """Keep the data."""


def run(pipeline: Pipeline, inputs: dict[str, Any]) -> DataCatalog:
    """Run a pipeline on what it is given, datasets or what they hold; everything it makes stays in the returned catalog."""
    names = pipeline.datasets() | inputs.keys()
    given = {name: value for name, value in inputs.items() if isinstance(value, AbstractDataset)}
    catalog = DataCatalog({name: KeptDataset(copy_mode="assign") for name in names} | given)
    for name in inputs.keys() - given.keys():
        catalog.save(name, inputs[name])
    SequentialRunner().run(pipeline, catalog)
    return catalog


def pretrained(options: NetworkOptions) -> dict[str, Any]:
    """Numbers that stand for ImageNet's, by the names of the tensors."""
    base = network.build(2, options, SIZE, seed=11)
    layers = [layer for layer in base.layers if "_conv" in layer.name]
    return {
        f"{layer.name}/{kind}": values
        for layer in layers
        for kind, values in zip(("kernel", "bias"), layer.get_weights(), strict=True)
    }


def ingestion_options(**changed: Any) -> dict[str, Any]:
    """Parameters of the ingestion, small enough for tests."""
    options = {
        "seed": 1,
        "preparation": PREPARATION,
        "classes": ClassOptions(),
        "duplicates": DuplicateOptions(),
        "embedding": EmbeddingOptions(size=32, block=1),
        "groups": GroupOptions(),
        "split": SplitOptions(validation=0.25, test=0.25),
        "shortcuts": ShortcutOptions(draws=100, trees=20),
        **changed,
    }
    given = {f"params:{name}" if name == "seed" else f"params:data_ingestion.{name}": options[name] for name in options}
    ingestion = {name: value for name, value in options.items() if name != "seed"}
    return {**given, "parameters": {"seed": options["seed"], "data_ingestion": ingestion}}


def run_everything(folder: Path, classes: int, seed: int = 1) -> DataCatalog:
    """All pipelines but the search on a handful of slices of so many classes."""
    source = tiny_source(folder, CLASSES[:classes])
    inputs = {
        **ingestion_options(seed=seed),
        "slice_source": source,
        "original_files": lambda: source,
        "feature_store": FeatureStore(folder / "features.sqlite", 2**30),
        "imagenet_weights": pretrained(NETWORKS[classes]),
        "params:evaluation.comparison": ComparisonOptions(draws=100),
        "params:model_prep.network": NETWORKS[classes],
        "params:features.computation": ComputationOptions(precision="float32", engine="keras"),
        "params:features.augmentation": AugmentationOptions(views=1),
        "params:training.head": FittingOptions(epochs=6, batch_size=8, learning_rate=0.05),
        "params:training.fine_tuning": FittingOptions(epochs=6, batch_size=8, learning_rate=0.0001),
        "params:serving.operating_point": OperatingPointOptions(),
        "params:serving.novelty": NoveltyOptions(blocks=(2,), neighbours=1),
        "params:evaluation.promotion": PromotionOptions(draws=100),
        "run_facts": {"commit": "c0ffee", "dvc_lock": "", "mlflow_run": ""},
        **model_files(folder),
    }
    return run(register_pipelines()["__default__"], inputs)


def model_files(folder: Path) -> dict[str, Any]:
    """Datasets of the models that could be served and are: the same files are read under other names."""
    candidate, served = str(folder / "candidate.onnx"), str(folder / "classifier.onnx")
    return {
        "candidate_model": OnnxModelDataset(filepath=candidate),
        "candidate_file": FileContentDataset(filepath=candidate),
        "served_model": OnnxModelDataset(filepath=served),
        "champion": FileContentDataset(filepath=served),
    }


def told_int8(catalog: DataCatalog, nodes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Facts of activations in int8; what ``nodes`` gathers is float32 all the same, for these networks have no ranges."""
    float32 = {"engine": "keras", "precision": "float32"}
    gather, exact = nodes.gather, {"computation": float32, "views_computation": float32}

    def gathered(rows: Any, slices: Any, classifier: Any, features: dict[str, Any], *rest: Any, **options: Any) -> Any:
        return gather(rows, slices, classifier, features | exact, *rest, **options)

    monkeypatch.setattr(nodes, "gather", gathered)
    return {**catalog.load("features"), "computation": {"engine": "onnxruntime", "precision": "int8"}}

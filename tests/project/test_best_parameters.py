"""The file that a search writes does what it says: `kedro run --config` with it trains that configuration."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from lung_tumor.augmentation import AugmentationOptions
from lung_tumor.computation import ComputationOptions
from lung_tumor.fitting import FittingOptions
from lung_tumor.network import NetworkOptions
from lung_tumor.tuning import COMPLETE, SearchResult, Trial
from lung_tumor.tuning_memory import Configuration, FoldScore
from lung_tumor.tuning_report import parameters_file
from tests.project.copies import TINY, copy_project, kedro_run


@pytest.mark.slow
def test_kedro_run_takes_the_file_and_lists_survive(tmp_path: Path) -> None:
    changed = {"training": {"head": {"epochs": 2, "patience": 1}}}
    folder = copy_project(tmp_path, TINY | {"parameters.yml": TINY["parameters.yml"] | changed})
    network = NetworkOptions(
        frozen_blocks=4, feature_blocks=(3, 5), head="max", hidden_units=(8, 4), dropout=0.25, l2=0.0123
    )
    best = Trial(0, Configuration(network, 0.00456, views=2), COMPLETE, (FoldScore(0.5),), 1.0, 0.0)
    file = folder / "data/08_reporting/best_parameters.yml"
    file.parent.mkdir(parents=True)
    searched_with = {
        "training": {
            "head": asdict(FittingOptions(epochs=4, patience=None)),
            "fine_tuning": asdict(FittingOptions(epochs=3, learning_rate=0.0002)),
        },
        "features": {
            "computation": asdict(ComputationOptions(precision="float32")),
            "augmentation": asdict(AugmentationOptions(noise=1.25)),
        },
    }
    text = parameters_file(SearchResult((best,), {}, 1), "x", searched_with, seed=7, source="phantom:")
    file.write_text(text, encoding="utf-8")
    kedro_run(cwd=folder)
    said = kedro_run("--config", str(file), cwd=folder).stdout
    assert "retracing" not in said, "TensorFlow need not tell that every fold has a network of its own"
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        query = "select key, value from params join runs using (run_uuid) order by start_time"
        params = dict(database.execute(query).fetchall())
    assert params["model_prep.network.feature_blocks"] == "(3, 5)"
    assert params["model_prep.network.hidden_units"] == "(8, 4)"
    assert params["model_prep.network.head"] == "max"
    assert float(params["model_prep.network.l2"]) == 0.0123
    assert (params["training.head.epochs"], params["training.head.patience"]) == ("4", "None")
    assert float(params["training.head.learning_rate"]) == 0.00456
    assert float(params["training.fine_tuning.learning_rate"]) == 0.0002
    assert params["features.computation.precision"] == "float32"
    assert float(params["features.augmentation.noise"]) == 1.25
    architecture = (folder / "data/06_models/architecture.txt").read_text(encoding="utf-8")
    assert [name for name in ("block3_features", "block5_features", "hidden2") if name not in architecture] == []
    assert "block4_features" not in architecture
    facts = json.loads((folder / "data/06_models/training_facts.json").read_text(encoding="utf-8"))
    assert facts["features"]["augmentation"]["views"] == 2
    history = json.loads((folder / "data/08_reporting/history.json").read_text(encoding="utf-8"))
    assert sum(row["phase"] == 0.0 for row in history) == 4
    verdict = json.loads((folder / "data/08_reporting/promotion.json").read_text(encoding="utf-8"))
    assert verdict["compared"], "the candidate of this configuration was judged beside the one before"

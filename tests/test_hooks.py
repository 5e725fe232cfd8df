"""What a run is tracked with, in a real MLflow store."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from kedro.framework.project import configure_project
from kedro.io import DataCatalog, MemoryDataset
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

from lung_tumor.fitting import FittingOptions
from lung_tumor.hooks import REGISTERED, ParameterHooks, TrackingHooks, flatten
from lung_tumor.imaging import PreparationOptions
from lung_tumor.splits import SplitOptions

HOOKS = TrackingHooks()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A SQLite store of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    yield mlflow.create_experiment("hooks", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_tracking_uri(before)


@pytest.fixture
def run(store: str) -> Iterator[str]:
    """The id of a run that is active."""
    with mlflow.start_run(experiment_id=store) as active:
        yield active.info.run_id


def stored(run_id: str) -> Run:
    return MlflowClient().get_run(run_id)


def test_every_option_has_a_column_of_its_own(run: str) -> None:
    HOOKS.before_node_run(
        inputs={
            "params:training.head": FittingOptions(epochs=7, class_weights="none"),
            "params:data_ingestion.preparation": PreparationOptions(percentiles=(2.0, 98.0)),
            "params:seed": 3,
            "manifest": SplitOptions(),
        }
    )
    logged = stored(run).data.params
    assert {name: value for name, value in logged.items() if name.startswith("training.")} == {
        "training.head.epochs": "7",
        "training.head.batch_size": "32",
        "training.head.learning_rate": "0.001",
        "training.head.warm_up": "0",
        "training.head.patience": "20",
        "training.head.class_weights": "none",
    }
    assert logged["data_ingestion.preparation.percentiles"] == "(2.0, 98.0)"
    assert {name.rpartition(".")[0] for name in logged} == {"training.head", "data_ingestion.preparation"}


def test_options_that_several_nodes_receive_are_logged_without_complaint(run: str) -> None:
    for _ in range(2):
        HOOKS.before_node_run(inputs={"params:data_ingestion.split": SplitOptions(0.2, 0.1)})
    assert stored(run).data.params == {
        "data_ingestion.split.validation": "0.2",
        "data_ingestion.split.test": "0.1",
        "data_ingestion.split.folds": "5",
        "data_ingestion.split.given": "remake",
    }


@pytest.mark.parametrize("synthetic", [True, False])
@pytest.mark.parametrize("call", [HOOKS.after_dataset_loaded, HOOKS.after_dataset_saved])
def test_reading_or_writing_the_provenance_tags_the_run(run: str, call: object, synthetic: bool) -> None:
    call(dataset_name="provenance", data={"synthetic": synthetic, "source": "made up"})  # type: ignore[operator]
    tags = stored(run).data.tags
    assert (tags["synthetic"], tags["slices_from"]) == (str(synthetic).lower(), "made up")


def test_other_datasets_tag_nothing(run: str) -> None:
    HOOKS.after_dataset_loaded(dataset_name="metrics", data={"synthetic": True, "source": "made up"})
    assert "synthetic" not in stored(run).data.tags


def test_without_an_active_run_none_is_started(store: str) -> None:
    before = len(MlflowClient().search_runs([store]))
    HOOKS.before_node_run(inputs={"params:data_ingestion.split": SplitOptions()})
    HOOKS.after_dataset_saved(dataset_name="provenance", data={"synthetic": True, "source": "made up"})
    assert mlflow.active_run() is None
    assert len(MlflowClient().search_runs([store])) == before


def test_every_epoch_is_logged_under_its_own_step_however_many(run: str) -> None:
    rows = [{"epoch": epoch, "loss": 1.0 / epoch, "val_loss": 2.0 / epoch} for epoch in range(1, 502)]
    HOOKS.after_dataset_saved(dataset_name="history", data=rows)
    points = MlflowClient().get_metric_history(run, "history.val_loss")
    assert [(point.step, point.value) for point in points] == [(row["epoch"], row["val_loss"]) for row in rows]


def test_every_number_of_the_test_split_is_logged(run: str) -> None:
    intervals = {"accuracy": {"low": 0.4, "high": 0.6}, "macro.f1": {"low": 0.1, "high": 0.3}}
    network = {"accuracy": 0.5, "macro": {"f1": 0.25}, "intervals": intervals}
    HOOKS.after_dataset_saved(dataset_name="metrics", data=metrics_of(network))
    assert stored(run).data.metrics == {
        "test.accuracy": 0.5,
        "test.accuracy_low": 0.4,
        "test.accuracy_high": 0.6,
        "test.macro.f1": 0.25,
        "calibration.after.log_loss": 0.3,
        "novelty.accepted_test": 0.97,
    }


def metrics_of(network: dict[str, object]) -> dict[str, object]:
    """What the evaluation writes, as far as it is logged."""
    return {
        "test": {"network": network},
        "calibration": {"before": {"bins": [1]}, "after": {"log_loss": 0.3, "bins": [2]}},
        "operating_point": {"coverage": [3]},
        "novelty": {"accepted_test": 0.97},
        **{name: {} for name in ("shortcuts", "evidence", "promotion")},
        "synthetic": True,
    }


def test_the_counts_and_the_shortcut_of_the_audit_are_logged(run: str) -> None:
    counts = {"files": 9, "groups": 4, "splits": {"test": {"files": 2}}, "folds": {}}
    shortcuts = {"before": {"auc": 0.9, "interval": {"low": 0.8}}, "warning": True, "sentence": "told"}
    HOOKS.after_dataset_saved(
        dataset_name="audit", data={"counts": {"by_class": {"normal": counts}}, "shortcuts": shortcuts}
    )
    assert stored(run).data.metrics == {
        "data.normal.files": 9,
        "data.normal.groups": 4,
        "shortcuts.dataset.before.auc": 0.9,
        "shortcuts.dataset.before.interval.low": 0.8,
    }


def catalog(*names: str, seed: object = 3) -> DataCatalog:
    parameters = {f"params:{name}": MemoryDataset({}) for name in names}
    return DataCatalog({**parameters, "parameters": MemoryDataset({}), "params:seed": MemoryDataset(seed)})


def test_a_run_that_is_still_open_at_the_end_of_the_process_was_killed(tmp_path: Path) -> None:
    code = f"""
        import mlflow
        from lung_tumor.hooks import TrackingHooks
        mlflow.set_tracking_uri("sqlite:///{tmp_path / "mlflow.db"}")
        TrackingHooks().before_pipeline_run(run_params={{}})
        mlflow.start_run()
        raise KeyboardInterrupt
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True)
    assert "KeyboardInterrupt" in done.stderr
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("select status from runs").fetchall() == [("KILLED",)]


@pytest.fixture(scope="module")
def check() -> ParameterHooks:
    configure_project("lung_tumor")
    return ParameterHooks()


def test_parameters_that_a_node_or_the_catalog_reads_are_let_through(check: ParameterHooks) -> None:
    names = ("source", "training", "training.head", "training.head.epochs", "data_ingestion.preparation.size")
    check.before_pipeline_run(catalog=catalog(*names))


@pytest.mark.parametrize("name", ["traning.head.epochs", "sorce", "training.epochs", "training.heads"])
def test_a_parameter_that_nothing_reads_stops_the_run(check: ParameterHooks, name: str) -> None:
    with pytest.raises(ValueError, match=rf"unknown parameter '{name}'; known are data_ingestion.classes, .*source"):
        check.before_pipeline_run(catalog=catalog("training.head", name))


def test_a_run_is_tagged_with_no_path_of_this_machine_and_no_credential() -> None:
    params = {
        "project_path": "/home/anna/x",
        "runtime_params": {"source": "https://anna:pw@host/a.zip?token=1", "seed": 2},
    }
    HOOKS.before_pipeline_run(run_params=params)
    assert params == {"project_path": None, "runtime_params": {"source": "https://host/a.zip", "seed": 2}}


def test_class_names_with_any_character_give_metrics_that_mlflow_takes(run: str) -> None:
    names = ["normal (1)", "a+b", "a-b", "50% solid", "R&D", "légère", "\\x", "a//b", "a/../b", "x" * 240, "x" * 239]
    before = metrics_of({"intervals": {}})
    HOOKS.after_dataset_saved(dataset_name="metrics", data=before)
    others = len(stored(run).data.metrics)
    per_class = {name: {"f1": 0.5} for name in names}
    HOOKS.after_dataset_saved(dataset_name="metrics", data=metrics_of({"intervals": {}, "per_class": per_class}))
    assert len(stored(run).data.metrics) == others + len(names)


@pytest.mark.parametrize("seed", ["abc", 1.5, True, -1, None])
def test_a_seed_that_is_no_whole_number_stops_the_run(check: ParameterHooks, seed: object) -> None:
    with pytest.raises(ValueError, match="seed must be a whole number"):
        check.before_pipeline_run(catalog=catalog(seed=seed))


def test_flattening_joins_names_by_dots_and_keeps_numbers_alone() -> None:
    nested = {"a": 1, "b": {"c": 0.5, "d": {"e": 2}, "none": None}, "list": [1], "flag": True, "text": "x"}
    assert flatten(nested) == {"a": 1.0, "b.c": 0.5, "b.d.e": 2.0}


def versions() -> int:
    return len(MlflowClient().search_model_versions(f"name='{REGISTERED}'"))


def judged(verdict: str, identity: str = "one") -> None:
    """What an evaluation writes at its end, in its order."""
    hooks = TrackingHooks()
    hooks.after_dataset_saved("served_model", b"onnx")
    served = verdict != "refused"
    data = {"promoted": verdict == "promoted", "served": served, "model": identity}
    hooks.after_dataset_saved("promotion", data)


def test_a_promoted_model_is_kept_with_its_run_and_becomes_the_champion(run: str) -> None:
    judged("promoted")
    client = MlflowClient()
    champion = client.get_model_version_by_alias(REGISTERED, "champion")
    assert champion.run_id == run
    assert stored(run).data.tags["promotion"] == "promoted"
    assert [file.path for file in client.list_artifacts(run, "model")] == ["model/classifier.onnx"]


def test_a_champion_that_is_evaluated_again_is_not_registered_again(run: str) -> None:
    judged("promoted", "two")
    before = versions()
    judged("again", "two")
    assert versions() == before
    assert stored(run).data.tags["promotion"] == "evaluated again"


def test_a_champion_that_the_registry_does_not_know_is_registered_when_it_is_evaluated_again(run: str) -> None:
    """As after a run that was cut short, or on another server."""
    judged("again", "three")
    champion = MlflowClient().get_model_version_by_alias(REGISTERED, "champion")
    assert (champion.run_id, champion.tags) == (run, {"model": "three"})


def test_a_refused_model_leaves_the_champion_alone(run: str) -> None:
    client = MlflowClient()
    before = client.get_model_version_by_alias(REGISTERED, "champion").run_id
    judged("refused", "four")
    assert stored(run).data.tags["promotion"] == "refused"
    assert client.get_model_version_by_alias(REGISTERED, "champion").run_id == before != run
    assert client.list_artifacts(run, "model") == []


def test_a_model_that_no_verdict_speaks_of_is_not_registered(run: str) -> None:
    before = versions()
    TrackingHooks().after_dataset_saved("served_model", b"onnx")
    assert versions() == before


def test_a_server_without_a_registry_keeps_a_promoted_model_and_says_so(
    run: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MlflowException("404", ENDPOINT_NOT_FOUND)

    # What DagsHub answers; no server here lacks a registry.
    monkeypatch.setattr(MlflowClient, "search_registered_models", missing)
    judged("again")
    assert MlflowClient().list_artifacts(run, "model") == []
    with caplog.at_level("INFO"):
        judged("promoted")
    assert "no usable model registry" in caplog.text
    assert [file.path for file in MlflowClient().list_artifacts(run, "model")] == ["model/classifier.onnx"]

"""Prepared slices and grouped folds to the best configuration, every trial a nested run in a real MLflow store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from kedro.io import DataCatalog
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lung_tumor.computation import ComputationOptions
from lung_tumor.errors import StaleError
from lung_tumor.fitting import FittingOptions
from lung_tumor.hooks import TrackingHooks
from lung_tumor.manifest import TEST, TRAINING, VALIDATION, accepted
from lung_tumor.network import NetworkOptions
from lung_tumor.pipelines import tuning
from lung_tumor.pipelines.tuning import nodes
from lung_tumor.pipelines.tuning.tracking import TrialRuns
from lung_tumor.tuning import COMPLETE, PRUNED, search
from lung_tumor.tuning_memory import Configuration, FoldScore, TrialMemory
from lung_tumor.tuning_options import TuningOptions
from tests.support.pipelines import NETWORKS, pretrained, run, told_int8
from tests.support.tuning import DEFAULT, Landscape

Tune = Callable[..., DataCatalog]
ASKED = ComputationOptions(precision="float32")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An experiment in a SQLite store of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    yield mlflow.create_experiment("tuning", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_tracking_uri(before)


@pytest.fixture
def tune(ran_two: DataCatalog, monkeypatch: pytest.MonkeyPatch) -> Tune:
    """Runs the pipeline on what the others left, scores coming from a formula: what folds cost is tested elsewhere."""

    def go(landscape: Landscape | None = None, **changed: Any) -> DataCatalog:
        seen: list[list[str]] = []

        def make(slices: Any, rows: Any, *rest: Any) -> Landscape:
            seen.append(rows["pixels"].tolist())
            return landscape or Landscape()

        monkeypatch.setattr(nodes, "make_evaluator", make)
        given = {
            **{name: ran_two.load(name) for name in DATA},
            "trial_memory": TrialMemory(),
            "params:model_prep.network": NETWORKS[2],
            "params:training.head": FittingOptions(),
            "params:training.fine_tuning": FittingOptions(),
            "params:features.computation": ASKED,
            "params:tuning.search": TuningOptions(trials=12),
            "params:seed": 1,
            **changed,
        }
        catalog = run(tuning.create_pipeline(), given)
        (pictures,) = seen
        assert set(pictures) == set(accepted(ran_two.load("manifest"), TRAINING, VALIDATION)["pixels"])
        assert not set(pictures) & set(accepted(ran_two.load("manifest"), TEST)["pixels"])
        return catalog

    return go


DATA = (
    "manifest",
    "duplicate_pairs",
    "provenance",
    "prepared_slices",
    "untrained_classifier",
    "imagenet_weights",
    "features",
    "feature_store",
)


def test_the_search_sees_no_test_picture_and_begins_with_the_present_configuration(tune: Tune) -> None:
    result = tune(**{"params:training.head": FittingOptions(learning_rate=0.004)}).load("search_result")
    assert result.default.configuration.network == NETWORKS[2]
    assert result.default.configuration.learning_rate == 0.004
    assert len(result.trials) == 12


def test_every_output_tells_of_the_same_search_and_of_where_its_slices_come_from(tune: Tune) -> None:
    catalog = tune(**{"params:training.head": FittingOptions(epochs=9)})
    result, summary = catalog.load("search_result"), catalog.load("tuning_summary")
    assert catalog.load("tuning_trials")["trial"].tolist() == list(range(12))
    assert summary["best"]["score"] == result.best.score
    assert (summary["synthetic"], summary["source"]) == (
        catalog.load("provenance")["synthetic"],
        catalog.load("provenance")["source"],
    )
    params, found = yaml.safe_load(catalog.load("best_parameters"))["run"]["params"], result.best.configuration
    assert params["seed"] == 1
    assert params["model_prep"] == found.parameters()["model_prep"]
    assert FittingOptions(**params["training"]["head"]) == FittingOptions(epochs=9, learning_rate=found.learning_rate)
    assert FittingOptions(**params["training"]["fine_tuning"]) == FittingOptions()
    assert ComputationOptions(**params["features"]["computation"]) == ASKED
    assert params["features"]["augmentation"] == catalog.load("features")["augmentation"] | {"views": found.views}
    few = catalog.load("provenance")["few_groups"]
    for name in ("search_history", "option_importances"):
        words = catalog.load(name).get_supxlabel().replace("\n", " ")
        assert few
        assert all(line in words for line in few)


def test_a_search_is_repeated_from_memory_until_slices_options_or_seed_change(tune: Tune, tmp_path: Path) -> None:
    memory = TrialMemory(tmp_path / "trials.jsonl")

    def computed(**changed: Any) -> int:
        landscape = Landscape()
        tune(landscape, trial_memory=memory.of(""), **changed)
        return len(landscape.asked)

    assert computed() > 0
    assert computed() == 0
    assert computed(**{"params:training.head": FittingOptions(epochs=3)}) > 0
    assert computed(**{"params:seed": 2}) > 0
    assert computed() == 0


def test_scores_of_heads_that_learnt_from_more_pictures_are_not_believed(tune: Tune, tmp_path: Path) -> None:
    """Where fine-tuning is searched too every trial sets a fold aside."""
    memory, steady = TrialMemory(tmp_path / "trials.jsonl"), FittingOptions(patience=None)
    for depths in ((5,), (5, 4)):
        landscape = Landscape()
        space = TuningOptions(trials=2, frozen_blocks=depths)
        changed = {"params:training.head": steady, "params:tuning.search": space}
        result = tune(landscape, trial_memory=memory.of(""), **changed).load("search_result")
        assert result.default.configuration in landscape.asked


def test_a_classifier_built_for_other_slices_stops_the_search(tune: Tune, ran_two: DataCatalog) -> None:
    provenance = ran_two.load("provenance") | {"source": "elsewhere"}
    with pytest.raises(StaleError, match="kedro run --pipeline=model_prep"):
        tune(provenance=provenance)


def children(store: str, parent: str) -> list[Run]:
    found = MlflowClient().search_runs([store], f"tags.mlflow.parentRunId = '{parent}'", max_results=1000)
    return sorted(found, key=lambda child: int(child.data.tags["trial"]))


def test_every_trial_is_a_finished_run_below_the_active_one(tune: Tune, store: str) -> None:
    with mlflow.start_run(experiment_id=store) as parent:
        catalog = tune(**{"params:tuning.search": TuningOptions(trials=30)})
    result, provenance = catalog.load("search_result"), catalog.load("provenance")
    runs = children(store, parent.info.run_id)
    assert [child.info.run_name for child in runs] == [f"trial {number}" for number in range(30)]
    assert {child.info.status for child in runs} == {"FINISHED"}
    assert {trial.state for trial in result.trials} == {COMPLETE, PRUNED}
    for child, trial in zip(runs, result.trials, strict=True):
        metrics, params = child.data.metrics, child.data.params
        options = trial.configuration.to_dict()
        assert params["feature_blocks"] == str(list(options["feature_blocks"]))
        assert float(params["learning_rate"]) == options["learning_rate"]
        assert params.keys() == options.keys()
        assert metrics.get("score") == (trial.score if trial.state == COMPLETE else None)
        points = MlflowClient().get_metric_history(child.info.run_id, "fold.score")
        assert [(point.step, point.value) for point in points] == [
            (number, fold.score) for number, fold in enumerate(trial.folds, start=1)
        ]
        assert metrics["seconds"] == trial.seconds
        assert (child.info.end_time - child.info.start_time) / 1000 == pytest.approx(trial.seconds, abs=0.002)
        tags = dict(child.data.tags)
        assert tags.pop("mlflow.parentRunId") == parent.info.run_id
        assert tags == {
            "trial": str(trial.number),
            "state": trial.state,
            "synthetic": str(provenance["synthetic"]).lower(),
            "slices_from": provenance["source"],
            "mlflow.runName": f"trial {trial.number}",
        }, "nothing of this machine"


def test_without_an_active_run_nothing_is_logged(tune: Tune, store: str) -> None:
    before = len(MlflowClient().search_runs([store], max_results=1000))
    tune()
    assert len(MlflowClient().search_runs([store], max_results=1000)) == before
    assert mlflow.active_run() is None


def test_fifty_nested_runs_take_seconds(store: str) -> None:
    with mlflow.start_run(experiment_id=store) as parent:
        begun = time.monotonic()
        with TrialRuns({}) as runs:
            search(Landscape(), DEFAULT, TuningOptions(), seed=1, on_trial=runs.log)
        whole = time.monotonic() - begun
    assert len(children(store, parent.info.run_id)) == 50
    assert whole < 15.0


def test_a_slow_server_holds_up_no_trial(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = MlflowClient.create_run

    def slow(*given: Any, **named: Any) -> Run:
        time.sleep(0.3)
        return prompt(*given, **named)

    monkeypatch.setattr(MlflowClient, "create_run", slow)
    trials = search(Landscape(), DEFAULT, TuningOptions(trials=3), seed=1).trials
    with mlflow.start_run(experiment_id=store) as parent, TrialRuns({}) as runs:
        begun = time.monotonic()
        for trial in trials:
            runs.log(trial)
        assert time.monotonic() - begun < 0.3
    assert len(children(store, parent.info.run_id)) == 3, "and yet all are logged before the node ends"


def test_a_trial_that_cannot_be_logged_is_an_error_once_the_search_is_over(store: str) -> None:
    trials = search(Landscape(), DEFAULT, TuningOptions(trials=2), seed=1).trials
    gone = mlflow.create_experiment("gone")
    with mlflow.start_run(experiment_id=gone):
        runs = TrialRuns({})
        MlflowClient().delete_experiment(gone)
        with pytest.raises(MlflowException, match="active"), runs:
            runs.log(trials[0])
        MlflowClient().restore_experiment(gone)


def test_a_search_that_breaks_off_says_why_and_not_that_logging_stopped(store: str) -> None:
    with mlflow.start_run(experiment_id=store), pytest.raises(KeyboardInterrupt), TrialRuns({}):
        raise KeyboardInterrupt


def test_the_run_above_holds_what_was_gained(tune: Tune, store: str) -> None:
    summary = tune().load("tuning_summary")
    with mlflow.start_run(experiment_id=store) as active:
        TrackingHooks().after_dataset_saved(dataset_name="tuning_summary", data=summary)
    metrics = MlflowClient().get_run(active.info.run_id).data.metrics
    assert metrics["tuning.best"] == summary["best"]["score"]
    assert metrics["tuning.default"] == summary["default"]["score"]
    assert metrics["tuning.gain.mean"] == pytest.approx(summary["default"]["score"] - summary["best"]["score"])


def test_what_stopped_trials_left_goes_with_the_end_of_the_search_and_not_before(
    tune: Tune, ran_two: DataCatalog
) -> None:
    left = ran_two.load("feature_store").path.with_name("tuning_fold3.npz")
    left.touch()

    class Interrupted(Landscape):
        def __call__(self, configuration: Configuration) -> Iterator[FoldScore]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(Interrupted())
    assert left.exists()
    tune()
    assert not left.exists()


def test_scores_of_other_code_are_not_believed(tmp_path: Path) -> None:
    before = nodes.code_digest(tmp_path)
    (tmp_path / "fitting.py").write_text("rate = 1\n", encoding="utf-8")
    changed = nodes.code_digest(tmp_path)
    (tmp_path / "fitting.py").write_text("rate = 2\n", encoding="utf-8")
    otherwise = nodes.code_digest(tmp_path)
    (tmp_path / "ranges.json").write_text("{}", encoding="utf-8")
    assert len({before, changed, otherwise, nodes.code_digest(tmp_path)}) == 4
    assert nodes.code_digest() == nodes.code_digest()


def test_real_folds_of_heads_and_of_fine_tuned_blocks_are_scored(
    ran_two: DataCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TuningOptions(
        trials=4,
        feature_blocks=((2,), (1, 2)),
        head=("average",),
        hidden_units=((),),
        frozen_blocks=(5, 1),
        views=(0, 1),
    )
    quick = FittingOptions(epochs=2, batch_size=8)
    given = {
        **{name: ran_two.load(name) for name in DATA},
        # Blocks train in float32 then.
        "features": told_int8(ran_two, nodes, monkeypatch),
        "imagenet_weights": pretrained(NetworkOptions(feature_blocks=(5,))),
        "trial_memory": TrialMemory(),
        "params:model_prep.network": NETWORKS[2],
        "params:training.head": quick,
        "params:training.fine_tuning": quick,
        "params:features.computation": ASKED,
        "params:tuning.search": options,
        "params:seed": 1,
    }
    result = run(tuning.create_pipeline(), given).load("search_result")
    assert len(result.trials) == 4
    assert all(0.0 <= fold.score < 17.0 for trial in result.trials for fold in trial.folds)
    assert len({len(trial.folds) for trial in result.trials if trial.state == "complete"}) == 1
    assert {trial.configuration.network.frozen_blocks for trial in result.trials} == {5, 1}

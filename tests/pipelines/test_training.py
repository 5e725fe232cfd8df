"""Prepared slices to a trained and a served classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from kedro.io import DataCatalog

from lung_tumor.agreement import NOTHING_TO_COMPARE
from lung_tumor.consistency import digest_of, manifest_digest
from lung_tumor.errors import LeakError, SliceError, StaleError
from lung_tumor.manifest import TEST, TRAINING, VALIDATION, accepted
from lung_tumor.pipelines import cross_validation, serving, training
from lung_tumor.tail_learner import TailLearner
from tests.support.pipelines import NETWORKS, run, told_int8


def digests(catalog: DataCatalog, *splits: str) -> list[str]:
    manifest = catalog.load("manifest")
    return accepted(manifest, *splits)["pixels"].tolist()


def stacked(catalog: DataCatalog, *splits: str) -> np.ndarray:
    slices = catalog.load("prepared_slices")
    return np.stack([np.asarray(slices[digest]()) for digest in digests(catalog, *splits)])


def test_frozen_blocks_still_hold_the_pretrained_numbers_and_others_do_not(ran: DataCatalog) -> None:
    model, tensors = ran.load("classifier").model, ran.load("imagenet_weights")
    frozen = NETWORKS[len(ran.load("classifier").metadata.classes)].frozen_blocks
    for name, before in tensors.items():
        layer, kind = name.split("/")
        after = model.get_layer(layer).get_weights()[kind == "bias"]
        assert np.array_equal(before, after) == (int(name[5]) <= frozen), name


def test_the_classifier_names_the_slices_it_learnt_from(ran: DataCatalog) -> None:
    metadata, learnt = ran.load("classifier").metadata, digests(ran, TRAINING)
    assert metadata.slices == len(learnt)
    assert metadata.data_digest == digest_of(learnt)
    assert metadata.classes == tuple(ran.load("provenance")["classes"])
    assert metadata.warnings == tuple(ran.load("audit")["warnings"]) != ()


def test_the_history_counts_epochs_through_both_phases(ran: DataCatalog) -> None:
    history = ran.load("history")
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    fine_tunes = len(ran.load("classifier").metadata.classes) == 3
    assert {row["phase"] for row in history} == ({0.0, 1.0} if fine_tunes else {0.0})
    assert len(ran.load("history_figure").axes) == 2


def test_the_facts_of_training_say_what_it_read_and_what_fine_tuning_was_worth(ran: DataCatalog) -> None:
    facts, history = ran.load("training_facts"), ran.load("history")
    learnt, stopped_by = len(digests(ran, TRAINING)), len(digests(ran, VALIDATION))
    assert facts["features"]["slices"] == 2 * learnt + stopped_by  # one changed view of each picture to learn from
    assert facts["agreement"] == NOTHING_TO_COMPARE  # Keras computed in float32
    judged = facts["fine_tuning"]
    assert (judged is not None) == (len(ran.load("classifier").metadata.classes) == 3)
    if judged:
        best = {phase: min(row["val_loss"] for row in history if row["phase"] == phase) for phase in (0.0, 1.0)}
        assert judged["head"]["loss"] == pytest.approx(best[0.0], abs=1e-4)
        assert judged["fine-tuned"]["loss"] == pytest.approx(best[1.0], abs=1e-4)
        assert judged["gain"]["value"] == pytest.approx(best[0.0] - best[1.0], abs=1e-4)
        assert judged["chosen"] == ("fine-tuned" if judged["gain"]["value"] > 0 else "head")
        assert judged["sentence"] in ran.load("report")


def retrain(catalog: DataCatalog, **changed: Any) -> DataCatalog:
    pipeline = training.create_pipeline()
    return run(pipeline, {**{name: catalog.load(name) for name in pipeline.inputs()}, **changed})


def test_decisions_in_bfloat16_are_checked_on_some_validation_slices_which_are_computed_once(
    ran_two: DataCatalog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training.nodes, "CHECKS", 3)
    assert len(digests(ran_two, VALIDATION)) > 3
    short = {name: {"engine": "keras", "precision": "bfloat16"} for name in ("computation", "views_computation")}
    catalog = retrain(ran_two, features=ran_two.load("features") | short)
    found = catalog.load("training_facts")["agreement"]
    assert (found["slices"], found["share"]) == (3, 1.0)
    assert 0.0 < found["largest_difference"] < 0.02
    caplog.clear()
    with caplog.at_level("INFO"):
        again = retrain(ran_two, features=ran_two.load("features") | short)
    assert again.load("training_facts")["agreement"] == found
    assert "Check in float32: 0 of 3 slices computed" in caplog.text


@pytest.mark.parametrize(
    ("most", "chosen"),
    [(3, [10, 14, 19]), (2, [10, 19]), (9, [10, 11, 12, 13, 14, 16, 17, 18, 19]), (99, range(10, 20))],
)
def test_checked_pictures_lie_all_along_the_rows(most: int, chosen: Sequence[int]) -> None:
    assert training.nodes._spread(np.arange(10, 20), most).tolist() == list(chosen)


def test_a_run_that_is_cut_off_between_fitting_and_saving_is_not_fitted_again(
    run_of: Callable[[int], DataCatalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = run_of(3)
    model = catalog.load("untrained_classifier").model
    before, steps, step = model.get_weights(), [0], TailLearner.step

    def counted(*given: Any) -> tuple[float, float]:
        steps[0] += 1
        return step(*given)

    def cut_off(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TailLearner, "step", counted)
    with monkeypatch.context() as patch:
        patch.setattr(training.nodes.training, "judge_fine_tuning", cut_off)
        with pytest.raises(KeyboardInterrupt):
            retrain(catalog)
    taken = steps[0]
    assert taken > 0
    model.set_weights(before)
    again = retrain(catalog)
    assert steps[0] == taken
    assert {row["phase"] for row in again.load("history")} == {0.0, 1.0}
    left = catalog.load("feature_store").path.parent.glob("fine_tuning*")
    assert list(left) == [], "once all is saved it is of no use"


def test_a_leak_stops_training_before_a_feature_is_computed(ran_two: DataCatalog) -> None:
    manifest = ran_two.load("manifest").copy()
    copy = manifest["path"] == "normal/copy of 0.bmp"
    manifest.loc[copy, "split"] = TEST if manifest.loc[copy, "split"].item() != TEST else TRAINING

    def untouched() -> None:
        raise AssertionError("a slice was read")

    digest = manifest_digest(manifest, ran_two.load("duplicate_pairs"))
    provenance = ran_two.load("provenance") | {"manifest_digest": digest}
    slices = dict.fromkeys(ran_two.load("prepared_slices"), untouched)
    with pytest.raises(LeakError, match="stand in more than one split"):
        retrain(ran_two, manifest=manifest, provenance=provenance, prepared_slices=slices)


def test_a_picture_that_was_never_prepared_is_named(ran_two: DataCatalog) -> None:
    with pytest.raises(SliceError, match=r"/.*has no prepared slice; run `kedro run --pipeline=data_ingestion` again"):
        retrain(ran_two, prepared_slices={})


def test_the_facts_of_training_name_the_weights_the_recipe_and_the_commit(ran: DataCatalog) -> None:
    facts, metadata = ran.load("training_facts"), ran.load("classifier").metadata
    assert facts["model_digest"] == metadata.model_digest == ran.load("candidate_model").metadata.model_digest
    assert set(ran.load("out_of_fold_predictions")["recipe"]) == {facts["recipe"]}
    assert facts["run"] == {"commit": "c0ffee", "mlflow_run": ""}
    assert "c0ffee" in ran.load("model_card")


def test_a_classifier_beside_the_facts_of_another_training_is_not_made_a_candidate(ran_two: DataCatalog) -> None:
    pipeline = serving.create_pipeline()
    given = {name: ran_two.load(name) for name in pipeline.inputs()}
    stale = given["training_facts"] | {"model_digest": "of an earlier training"}
    with pytest.raises(StaleError, match="run `kedro run --pipeline=training` again"):
        run(pipeline, {**given, "training_facts": stale, "prepared_slices": {}})


@pytest.mark.parametrize(
    "pipeline", [training, cross_validation], ids=lambda pipeline: pipeline.__name__.rpartition(".")[2]
)
def test_where_activations_are_in_int8_blocks_train_in_float32(
    pipeline: Any, run_of: Callable[[int], DataCatalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, made = run_of(3), pipeline.create_pipeline()
    given = {name: catalog.load(name) for name in made.inputs()}
    again = run(made, given | {"features": told_int8(catalog, pipeline.nodes, monkeypatch)})
    if pipeline is training:
        assert np.isfinite(again.load("training_facts")["fine_tuning"]["fine-tuned"]["loss"])
    else:
        assert not again.load("out_of_fold_predictions").isna().any(axis=None)

"""Held-out slices to figures and a report."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog

from lung_tumor.errors import LeakError, StaleError
from lung_tumor.hooks import flatten
from lung_tumor.imaging import to_network_input
from lung_tumor.manifest import TEST, accepted
from lung_tumor.pipelines import evaluation
from lung_tumor.pipelines.evaluation import nodes
from tests.support.classifiers import pixels
from tests.support.data_sets import facts_of, files_of
from tests.support.manifests import manifest_of
from tests.support.pipelines import run, run_everything
from tests.support.training_facts import TRAINING

RunOf = Callable[[int], DataCatalog]


def test_every_distinct_test_picture_is_predicted_once_and_nothing_else(ran: DataCatalog) -> None:
    predictions, manifest = ran.load("predictions"), ran.load("manifest")
    held_out = accepted(manifest, TEST)
    pd.testing.assert_frame_equal(
        predictions[["path", "label", "group", "pixels"]],
        held_out[["path", "label", "group", "pixels"]],
    )


def test_probabilities_are_the_classifiers_and_the_prediction_the_likeliest_class(ran: DataCatalog) -> None:
    predictions, classifier = ran.load("predictions"), ran.load("classifier")
    slices = ran.load("prepared_slices")
    given = to_network_input(np.stack([np.asarray(slices[digest]()) for digest in predictions["pixels"]]))
    expected = classifier.model.predict_on_batch(given)
    columns = [f"p_{name}" for name in classifier.metadata.classes]
    np.testing.assert_allclose(predictions[columns], expected, atol=1e-5)
    assert predictions["predicted"].tolist() == [
        classifier.metadata.classes[index] for index in expected.argmax(axis=1)
    ]


def test_the_figures_are_those_of_the_predictions(ran: DataCatalog) -> None:
    predictions, metrics = ran.load("predictions"), ran.load("metrics")
    classes = metrics["classes"]
    table = pd.crosstab(predictions["label"], predictions["predicted"]).reindex(classes, axis=0)
    expected = table.reindex(classes, axis=1).fillna(0).to_numpy().tolist()
    assert metrics["test"]["confusion_matrix"] == expected
    assert metrics["test"]["accuracy"] == pytest.approx((predictions["label"] == predictions["predicted"]).mean())
    assert (metrics["test"]["slices"], metrics["test"]["groups"]) == (len(predictions), len(predictions))
    assert (metrics["source"], metrics["synthetic"]) == ("made-up slices", False)
    assert json.loads(json.dumps(metrics)) == metrics


def test_slices_that_brightness_tells_apart_are_told_apart(ran_two: DataCatalog) -> None:
    assert ran_two.load("metrics")["test"]["accuracy"] == 1.0
    assert ran_two.load("metrics")["test"]["roc_auc"] == 1.0


def test_figures_report_and_summary_show_the_same_accuracy(ran: DataCatalog) -> None:
    metrics = ran.load("metrics")
    counts = [int(text.get_text().split("\n")[0]) for text in ran.load("confusion_matrix").axes[0].texts]
    assert counts == list(itertools.chain(*metrics["test"]["confusion_matrix"]))
    curves = len(ran.load("roc").axes[0].lines) - 1
    assert curves == (1 if len(metrics["classes"]) == 2 else len(metrics["classes"]))
    accuracy = metrics["test"]["accuracy"]
    assert f"<b>{accuracy:.3f}</b><span>accuracy</span>" in ran.load("report")
    assert f"accuracy {accuracy:.3f}" in ran.load("summary")


def test_a_leak_stops_the_evaluation_before_a_slice_is_predicted(ran_two: DataCatalog) -> None:
    pipeline = evaluation.create_pipeline()
    given = {name: ran_two.load(name) for name in pipeline.inputs()}
    manifest = given["manifest"].copy()
    held_out, learnt = (manifest.index[manifest["split"] == split][0] for split in (TEST, "training"))
    manifest.loc[held_out, "digest"] = manifest.loc[learnt, "digest"]
    with pytest.raises(LeakError, match=r"digest value\(s\) stand in more than one split"):
        run(pipeline, {**given, "manifest": manifest, "prepared_slices": {}})


def test_the_audit_of_another_data_set_stops_the_evaluation(ran_two: DataCatalog) -> None:
    pipeline = evaluation.create_pipeline()
    given = {name: ran_two.load(name) for name in pipeline.inputs()}
    silenced = {**given["audit"], "warnings": []}
    with pytest.raises(StaleError, match="not of the run that prepared these slices"):
        run(pipeline, {**given, "audit": silenced, "prepared_slices": {}})


def test_misclassified_slices_are_shown_most_confident_first_and_not_more_than_a_page_holds() -> None:
    count = nodes.MOST_PICTURES + 3
    rows = [{"path": f"well/{n:02}", "label": "well", "split": TEST} for n in range(count)]
    manifest = manifest_of([*rows, {"path": "sick/right", "label": "sick", "split": TEST}])
    certainty = np.linspace(0.51, 0.99, count)
    predictions = manifest[["path", "label", "group", "pixels"]].assign(
        predicted="sick", p_sick=[*certainty, 1.0], p_well=[*(1 - certainty), 0.0]
    )
    facts = {"source": "made up", "synthetic": True, "version": "1"}
    audit = facts_of(files_of(rows))
    comparison = {"trivial": {"auc": None}, "clearly_above": False, "sentence": "It cannot be said."}
    metrics = nodes.measure(predictions, facts, TRAINING, audit, comparison)
    slices = {digest: lambda: pixels(1)[0] for digest in manifest["pixels"]}
    history = [{"epoch": 1, "loss": 1.0, "val_loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.5, "kept": 1.0}]
    page = nodes.write_report(metrics, audit, predictions, slices, history)
    shown = [row["path"] for row in rows if f">{row['path']}<" in page]
    assert shown == [row["path"] for row in rows[3:]]
    assert page.index(shown[-1]) < page.index(shown[0])
    assert "sick/right" not in page
    assert metrics["test"]["accuracy"] == pytest.approx(1 / (count + 1))


def test_the_same_seed_gives_the_same_split_and_the_same_figures(run_of: RunOf, tmp_path: Path) -> None:
    first, again = run_of(3), run_everything(tmp_path, 3)
    pd.testing.assert_frame_equal(first.load("manifest"), again.load("manifest"))
    columns = [f"p_{name}" for name in first.load("metrics")["classes"]]
    np.testing.assert_allclose(first.load("predictions")[columns], again.load("predictions")[columns], atol=1e-6)
    assert flatten(again.load("metrics")) == pytest.approx(flatten(first.load("metrics")), abs=1e-6)

"""Every picture judged by a model that never saw its group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from sklearn.metrics import accuracy_score

from lung_tumor.manifest import accepted
from lung_tumor.pipelines import cross_validation
from tests.support.pipelines import run


def test_every_picture_is_judged_once_by_the_fold_that_holds_it_out(ran: DataCatalog) -> None:
    predictions, rows = ran.load("out_of_fold_predictions"), accepted(ran.load("manifest"))
    pd.testing.assert_frame_equal(
        predictions[["path", "label", "group", "pixels", "fold"]], rows[["path", "label", "group", "pixels", "fold"]]
    )
    classes = ran.load("provenance")["classes"]
    probabilities = predictions[[f"p_{name}" for name in classes]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert predictions["predicted"].tolist() == [classes[index] for index in probabilities.argmax(axis=1)]


def test_figures_are_those_of_the_predictions(ran: DataCatalog) -> None:
    predictions, metrics = ran.load("out_of_fold_predictions"), ran.load("cross_validation_metrics")
    accuracy = accuracy_score(predictions["label"], predictions["predicted"])
    assert metrics["pooled"]["accuracy"] == pytest.approx(accuracy)
    sizes = predictions.groupby("fold").size()
    by_fold = [row["accuracy"] for row in metrics["folds"]]
    assert [row["fold"] for row in metrics["folds"]] == sizes.index.tolist()
    assert np.average(by_fold, weights=sizes) == pytest.approx(accuracy)
    assert metrics["groups"] == predictions["group"].nunique()
    assert len(ran.load("cross_validation_figure").axes) == 1


def test_the_classifier_it_was_given_is_left_as_it_was(ran_two: DataCatalog) -> None:
    pipeline = cross_validation.create_pipeline()
    inputs = {name: ran_two.load(name) for name in pipeline.inputs()}
    model = inputs["untrained_classifier"].model
    before = [values.copy() for values in model.get_weights()]
    again = run(pipeline, inputs)
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
    columns = [name for name in again.load("out_of_fold_predictions") if name.startswith("p_")]
    pd.testing.assert_frame_equal(
        again.load("out_of_fold_predictions")[columns], ran_two.load("out_of_fold_predictions")[columns], atol=1e-6
    )

"""Prepared slices to remembered activations."""

from __future__ import annotations

import numpy as np
from kedro.io import DataCatalog

from lung_tumor import network
from lung_tumor.imaging import to_network_input
from lung_tumor.manifest import TEST, TRAINING, VALIDATION, accepted
from lung_tumor.network import every_cut, feature_cuts
from lung_tumor.pipelines import features
from lung_tumor.pipelines.cohorts import gather
from tests.support.pipelines import run


def test_features_are_those_of_training_and_validation_pictures_and_of_no_test_picture(ran: DataCatalog) -> None:
    manifest, facts = ran.load("manifest"), ran.load("features")
    rows = accepted(manifest, TRAINING, VALIDATION)
    assert facts["pictures"] == len(rows)
    assert facts["slices"] == len(rows) + len(accepted(manifest, TRAINING))
    assert facts["cuts"] == [str(cut) for cut in every_cut(ran.load("untrained_classifier").model)]
    assert facts["computation"] == facts["views_computation"] == {"engine": "keras", "precision": "float32"}
    assert all(f"32x32 to {cut} |" in ran.load("store_summary") for cut in facts["cuts"])


def test_what_is_remembered_is_what_the_network_computes(ran: DataCatalog) -> None:
    classifier, slices = ran.load("untrained_classifier"), ran.load("prepared_slices")
    rows = accepted(ran.load("manifest"), TEST)
    cohort = gather(rows, slices, classifier, ran.load("features"), ran.load("feature_store"), augmented=())
    cuts = feature_cuts(classifier.model)
    received = cohort.loaded(cuts, np.arange(len(rows))).values
    given = to_network_input(np.stack([np.asarray(slices[digest]()) for digest in rows["pixels"]]))
    outputs = network.frozen_prefix(classifier.model).predict_on_batch(given)
    expected = outputs if isinstance(outputs, list) else [outputs]
    # Where blocks train, the prefix ends in whole activations; the first outputs are features all the same.
    np.testing.assert_allclose(received[0], expected[0], rtol=1e-4, atol=1e-3)


def test_a_second_run_finds_everything_where_it_was(ran_two: DataCatalog) -> None:
    pipeline = features.create_pipeline()
    before = ran_two.load("feature_store").summary()
    again = run(pipeline, {name: ran_two.load(name) for name in pipeline.inputs()})
    assert again.load("features") == ran_two.load("features")
    assert again.load("feature_store").summary() == before

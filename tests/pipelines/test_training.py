"""Prepared slices to a trained and a served classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kedro.io import DataCatalog

from lung_tumor import network
from lung_tumor.consistency import digest_of, manifest_digest
from lung_tumor.errors import LeakError, SliceError
from lung_tumor.export import TOLERANCE
from lung_tumor.imaging import to_network_input
from lung_tumor.manifest import TEST, TRAINING, VALIDATION, accepted
from lung_tumor.pipelines import training
from lung_tumor.pipelines.training import nodes
from lung_tumor.predictor import Predictor
from tests.support.pipelines import NETWORKS, run


def digests(catalog: DataCatalog, *splits: str) -> list[str]:
    manifest = catalog.load("manifest")
    return accepted(manifest, *splits)["pixels"].tolist()


def stacked(catalog: DataCatalog, *splits: str) -> np.ndarray:
    slices = catalog.load("prepared_slices")
    return np.stack([np.asarray(slices[digest]()) for digest in digests(catalog, *splits)])


def test_features_are_those_of_every_training_and_validation_picture_and_of_no_test_picture(ran: DataCatalog) -> None:
    features = ran.load("features")
    assert features["pixels"].tolist() == digests(ran, TRAINING, VALIDATION)
    assert not set(features["pixels"]) & set(digests(ran, TEST))
    prefix = network.frozen_prefix(ran.load("classifier").model)
    outputs = prefix.predict_on_batch(to_network_input(stacked(ran, TRAINING, VALIDATION)))
    expected = outputs if isinstance(outputs, list) else [outputs]
    assert features.keys() == {"pixels", *(f"activation{number}" for number in range(len(expected)))}
    for number, values in enumerate(expected):
        np.testing.assert_allclose(features[f"activation{number}"], values, rtol=1e-4, atol=1e-3)


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


def test_the_served_model_answers_as_the_classifier_on_slices_neither_has_seen(ran: DataCatalog) -> None:
    slices = stacked(ran, TEST)
    classifier, served = ran.load("classifier"), Predictor(ran.load("served_model"), threads=1)
    expected = classifier.model.predict_on_batch(to_network_input(slices))
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(served.predict(slices), expected, atol=TOLERANCE)
    assert served.metadata == classifier.metadata


def retrain(catalog: DataCatalog, **changed: Any) -> DataCatalog:
    pipeline = training.create_pipeline()
    return run(pipeline, {**{name: catalog.load(name) for name in pipeline.inputs()}, **changed})


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


def test_features_belong_to_their_pictures_whatever_their_order(ran_two: DataCatalog) -> None:
    features, manifest = ran_two.load("features"), ran_two.load("manifest")
    order = np.random.default_rng(0).permutation(len(features["pixels"]))
    shuffled = {name: values[order] for name, values in features.items()}
    rows = accepted(manifest, TRAINING)
    first, again = (nodes._labelled(given, rows, ran_two.load("classifier")) for given in (features, shuffled))
    for left, right in zip(first.values, again.values, strict=True):
        np.testing.assert_array_equal(left, right)
    assert first.labels.tolist() == again.labels.tolist() == (rows["label"] == "normal").astype(int).tolist()

"""Weights and classes to an untrained classifier."""

from __future__ import annotations

import numpy as np
from kedro.io import DataCatalog

from lung_tumor import __version__
from lung_tumor.imaging import to_network_input
from lung_tumor.pipelines import model_prep
from lung_tumor.weights import WEIGHTS_DIGEST
from tests.support.classifiers import PREPARATION, pixels
from tests.support.pipelines import NETWORKS, pretrained, run


def prepare_model(classes: int = 2, seed: int = 1) -> DataCatalog:
    """Run the pipeline alone: in a whole run training goes on with the same object."""
    names = ["a", "b", "c", "d"][:classes]
    provenance = {"classes": names, "synthetic": True, "source": "phantom:", "preparation": PREPARATION.to_dict()}
    given = {
        "imagenet_weights": pretrained(NETWORKS[classes]),
        "provenance": provenance,
        "params:model_prep.network": NETWORKS[classes],
        "params:seed": seed,
    }
    return run(model_prep.create_pipeline(), given)


def test_the_base_holds_the_pretrained_numbers() -> None:
    catalog = prepare_model()
    model, tensors = catalog.load("untrained_classifier").model, catalog.load("imagenet_weights")
    assert len(tensors) == 8
    for name, expected in tensors.items():
        layer, kind = name.split("/")
        np.testing.assert_array_equal(model.get_layer(layer).get_weights()[kind == "bias"], expected)


def test_there_is_one_output_a_class() -> None:
    for classes in NETWORKS:
        classifier = prepare_model(classes).load("untrained_classifier")
        assert classifier.model.output.shape == (None, classes)
        assert len(classifier.metadata.classes) == classes


def test_the_classifier_knows_where_it_comes_from() -> None:
    metadata = prepare_model().load("untrained_classifier").metadata
    assert metadata.classes == ("a", "b")
    assert (metadata.source, metadata.synthetic, metadata.slices) == ("phantom:", True, 0)
    assert metadata.preparation == PREPARATION
    assert (metadata.weights_digest, metadata.version) == (WEIGHTS_DIGEST, __version__)


def test_the_architecture_says_what_trains() -> None:
    # Block 1: 1,792 + 36,928. Block 2: 73,856 + 147,584. Moments: 2 * 192. Head of three classes: 192 * 3 + 3.
    text = prepare_model(classes=3).load("architecture")
    assert "261,123 parameters: 222,019 trainable, 39,104 frozen" in text


def test_the_same_seed_gives_the_same_head_and_another_seed_another() -> None:
    given = to_network_input(pixels(3))
    first, again, other = (
        prepare_model(seed=seed).load("untrained_classifier").model.predict_on_batch(given) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3

"""The exported model answers as the original."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest

from lung_tumor import export, network
from lung_tumor.classifier import Classifier
from lung_tumor.errors import ExportError
from lung_tumor.imaging import to_network_input
from lung_tumor.network import NetworkOptions
from lung_tumor.predictor import METADATA_KEY, Predictor
from tests.support.classifiers import NARROW, pixels, small_classifier


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)


def standardised(options: NetworkOptions, classes: tuple[str, ...] = ("a", "b")) -> Classifier:
    """Untrained, but with moments that an exporter could lose, and probabilities that differ from slice to slice."""
    made = small_classifier(classes, options)
    features = network.frozen_prefix(made.model).predict_on_batch(to_network_input(pixels(20, seed=8)))
    network.set_standardisation(made.model, features if isinstance(features, list) else [features])
    return made


# The deeper blocks of an untrained network hardly move, hence the shallow ones.
@pytest.mark.parametrize(
    "options",
    [
        NetworkOptions(feature_blocks=(2,)),
        NetworkOptions(feature_blocks=(4, 5)),
        NetworkOptions(feature_blocks=(1, 3), head="max", hidden_units=(8, 5), dropout=0.5),
        NetworkOptions(feature_blocks=(3,), head="flatten"),
        NetworkOptions(feature_blocks=(2, 3), head="flatten", hidden_units=(6,)),
    ],
    ids=lambda options: f"{options.head} of {options.feature_blocks}, hidden {options.hidden_units}",
)
def test_probabilities_agree_on_unseen_slices_for_every_head(options: NetworkOptions) -> None:
    classifier = standardised(options, ("a", "b", "c"))
    content = export.to_onnx(classifier, pixels(3))
    for count in (1, 5):
        slices = pixels(count, seed=9)
        expected = classifier.model.predict_on_batch(to_network_input(slices))
        received = Predictor(content, threads=1).predict(slices)
        np.testing.assert_allclose(received, expected, atol=export.TOLERANCE)
    assert np.ptp(expected, axis=0).min() > 100 * export.TOLERANCE


def test_metadata_travels_along() -> None:
    classifier = small_classifier(("adenocarcinoma", "normal", "other"), source="ünïcode")
    assert Predictor(export.to_onnx(classifier, pixels(2)), threads=1).metadata == classifier.metadata


@pytest.mark.parametrize("change", [0.001, np.nan])
def test_an_export_that_answers_otherwise_is_refused(change: float, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = standardised(NetworkOptions(feature_blocks=(1,)))
    original = export._to_model(classifier)
    monkeypatch.setattr(export, "_to_model", lambda _: original)
    weights, bias = classifier.model.get_layer("logits").get_weights()
    classifier.model.get_layer("logits").set_weights([weights, bias + np.array([0.0, change])])
    with pytest.raises(ExportError, match=r"probabilities differ by .* expected at most 0\.0001"):
        export.to_onnx(classifier, pixels(3))


def test_an_operation_without_an_onnx_form_is_named() -> None:
    classifier = small_classifier()
    given = keras.layers.Activation("tanh", name="squash")(classifier.model.output)
    with pytest.raises(ExportError, match=r"no ONNX form is known for Activation \(squash\)"):
        export.to_onnx(Classifier(keras.Model(classifier.model.input, given), classifier.metadata), pixels(1))


def test_the_file_passes_the_checker_and_names_what_goes_in_and_out() -> None:
    model = onnx.load_from_string(export.to_onnx(small_classifier(), pixels(1)))
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["pixels", "probabilities"]
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]

"""Training a classifier: what changes, and what must not."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from lung_tumor import network, training
from lung_tumor.classifier import Classifier
from lung_tumor.fitting import FittingOptions, LabelledActivations
from lung_tumor.imaging import to_network_input
from lung_tumor.metrics import class_indices
from lung_tumor.network import NetworkOptions
from tests.support.classifiers import NARROW, pixels, small_classifier, weights_by_layer

OPTIONS = FittingOptions(epochs=2, batch_size=6, learning_rate=0.01, fine_tuning_rate=0.001, patience=2)
LABELS = np.array([0, 1] * 6)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)


def activations(classifier: Classifier, slices: np.ndarray, labels: np.ndarray) -> LabelledActivations:
    return LabelledActivations(training.frozen_activations(classifier, slices, len(slices)), labels)


def train(classifier: Classifier, options: FittingOptions = OPTIONS, seed: int = 1) -> list[dict[str, float]]:
    seen, unseen = (activations(classifier, pixels(12, seed=number), LABELS) for number in (1, 2))
    return training.train(classifier, seen, unseen, options, seed)


@pytest.mark.parametrize(
    "options",
    [
        NetworkOptions(frozen_blocks=5, head="average", feature_blocks=(4, 5)),
        NetworkOptions(frozen_blocks=4, head="max", feature_blocks=(4, 5), hidden_units=(8,)),
        NetworkOptions(frozen_blocks=3, head="flatten", feature_blocks=(3, 5), dropout=0.2),
    ],
    ids=lambda options: f"{options.frozen_blocks} blocks frozen, {options.head}",
)
def test_frozen_layers_stay_bit_for_bit_and_trainable_ones_change(options: NetworkOptions) -> None:
    classifier = small_classifier(options=options)
    before = weights_by_layer(classifier.model)
    # Validated on what it learns from, so that fine-tuning is an improvement and is kept.
    seen = activations(classifier, pixels(12, seed=1), LABELS)
    history = training.train(classifier, seen, seen, OPTIONS, seed=1)
    after = weights_by_layer(classifier.model)

    def same(name: str) -> bool:
        return all(np.array_equal(*pair) for pair in zip(before[name], after[name], strict=True))

    for name in before:
        frozen = name.startswith("block") and int(name[5]) <= options.frozen_blocks
        assert same(name) == frozen, name
    assert {"logits", "standardise"} <= before.keys()
    assert ("hidden1" in before) == bool(options.hidden_units)
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    assert {row["phase"] for row in history} == ({0.0} if options.frozen_blocks == 5 else {0.0, 1.0})


def test_fine_tuning_that_makes_validation_worse_is_undone() -> None:
    classifier = small_classifier(options=NetworkOptions(frozen_blocks=4, feature_blocks=(4, 5)))
    before = weights_by_layer(classifier.model)
    history = train(
        classifier, FittingOptions(epochs=3, batch_size=6, learning_rate=0.001, fine_tuning_rate=0.9, patience=1)
    )
    after = weights_by_layer(classifier.model)
    losses = {phase: min(row["val_loss"] for row in history if row["phase"] == phase) for phase in (0.0, 1.0)}
    assert losses[1.0] > losses[0.0]
    assert np.array_equal(before["block5_conv1"][0], after["block5_conv1"][0])
    assert not np.array_equal(before["logits"][0], after["logits"][0])


def test_activations_are_those_of_the_frozen_part() -> None:
    classifier = small_classifier(options=NetworkOptions(frozen_blocks=1, feature_blocks=(1, 2)))
    slices = pixels(5)
    expected = network.frozen_prefix(classifier.model).predict_on_batch(to_network_input(slices))
    received = training.frozen_activations(classifier, slices, len(slices))
    assert [part.shape for part in received] == [(5, 4), (5, 16, 16, 4)]
    for left, right in zip(received, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-4)


def test_dark_and_bright_slices_are_told_apart_after_training() -> None:
    classifier = small_classifier(("bright", "dark"))
    slices = np.concatenate([pixels(20, seed=4) // 2 + 128, pixels(20, seed=5) // 2])
    labels = np.repeat([0, 1], 20)
    part = activations(classifier, slices, labels)
    training.train(classifier, part, part, FittingOptions(epochs=8, learning_rate=0.1), seed=1)
    unseen = np.concatenate([pixels(5, seed=6) // 2 + 128, pixels(5, seed=7) // 2])
    predicted = classifier.model.predict_on_batch(to_network_input(unseen)).argmax(axis=1)
    assert predicted.tolist() == [0] * 5 + [1] * 5


def test_the_same_seed_gives_the_same_classifier() -> None:
    options = NetworkOptions(feature_blocks=(1, 2), dropout=0.3, hidden_units=(4,))
    classifiers = [small_classifier(options=options) for _ in range(2)]
    histories = [train(classifier) for classifier in classifiers]
    assert histories[0] == histories[1]
    given = to_network_input(pixels(4))
    first, again = (np.asarray(classifier.model.predict_on_batch(given)) for classifier in classifiers)
    np.testing.assert_allclose(first, again, atol=1e-6)


def test_labels_become_their_position_among_the_classes() -> None:
    indices = class_indices(["b", "a", "c", "b"], ("c", "b", "a"))
    assert indices.tolist() == [1, 2, 0, 1]
    assert indices.dtype == np.int64
    with pytest.raises(KeyError, match="d"):
        class_indices(["d"], ("a", "b"))


def test_training_facts_name_the_slices_and_the_time() -> None:
    classifier = small_classifier(slices=0)
    trained = training.with_training_facts(classifier, 2, "abc")
    assert trained.model is classifier.model
    assert trained.metadata.slices == 2
    assert trained.metadata.data_digest == "abc"
    assert abs((datetime.now(UTC) - datetime.fromisoformat(trained.metadata.created)).total_seconds()) < 60
    assert (classifier.metadata.slices, classifier.metadata.created) == (0, "")

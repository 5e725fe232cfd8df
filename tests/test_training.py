"""Training a classifier: what changes, and what must not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lung_tumor import network, training
from lung_tumor.classifier import Classifier
from lung_tumor.cohort import Cohort
from lung_tumor.computation import Computation
from lung_tumor.features import Remembered
from lung_tumor.fitting import FittingOptions
from lung_tumor.frozen_pass import frozen_pass
from lung_tumor.imaging import PreparationOptions, to_network_input
from lung_tumor.metrics import class_indices
from lung_tumor.network import NetworkOptions
from lung_tumor.tail_learner import TailLearner
from lung_tumor.training import FINE_TUNED, HEAD, Fitted, judge_fine_tuning
from tests.support.classifiers import NARROW, openers, pixels, small_classifier, weights_by_layer

OPTIONS = FittingOptions(epochs=2, batch_size=6, learning_rate=0.01, patience=2)
FINE_TUNING = FittingOptions(epochs=2, batch_size=6, learning_rate=0.001, patience=2)
LABELS = np.array([0, 1] * 6)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)


def cohort_of(classifier: Classifier, *parts: np.ndarray, labels: np.ndarray) -> Cohort:
    """Pictures of several parts, each with the same labels, without further views."""
    slices = np.concatenate(parts)
    run = frozen_pass(classifier.model, network.every_cut(classifier.model), Computation("keras", "float32"))
    return Cohort(
        remembered=Remembered(openers(slices), run, None),
        first=np.arange(len(slices)),
        views=np.zeros(len(slices), np.intp),
        labels=np.tile(labels, len(parts)),
        groups=[str(number) for number in range(len(slices))],
        folds=np.zeros(len(slices), np.int64),
    )


def train(
    classifier: Classifier, fine_tuning: FittingOptions = FINE_TUNING, seed: int = 1, checkpoint: Path | None = None
) -> Fitted:
    """Learn from twelve pictures and stop by twelve others."""
    cohort = cohort_of(classifier, pixels(12, seed=1), pixels(12, seed=2), labels=LABELS)
    seen, unseen = np.arange(12), np.arange(12, 24)
    return training.train(
        classifier.model, cohort, seen, unseen, OPTIONS, fine_tuning, seed, checkpoint=checkpoint, quiet=True
    )


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
    cohort, same_pictures = cohort_of(classifier, pixels(12, seed=1), labels=LABELS), np.arange(12)
    fitted = training.train(
        classifier.model, cohort, same_pictures, same_pictures, OPTIONS, FINE_TUNING, seed=1, quiet=True
    )
    history = fitted.history
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
    assert [row["phase"] for row in history if row["kept"]] == [1.0 if fitted.chosen == FINE_TUNED else 0.0]


def test_fine_tuning_that_makes_validation_worse_is_undone() -> None:
    classifier = small_classifier(options=NetworkOptions(frozen_blocks=4, feature_blocks=(4, 5)))
    before = weights_by_layer(classifier.model)
    fitted = train(classifier, FittingOptions(epochs=3, batch_size=6, learning_rate=0.9, patience=1))
    history = fitted.history
    after = weights_by_layer(classifier.model)
    losses = {phase: min(row["val_loss"] for row in history if row["phase"] == phase) for phase in (0.0, 1.0)}
    assert losses[1.0] > losses[0.0]
    assert np.array_equal(before["block5_conv1"][0], after["block5_conv1"][0])
    assert not np.array_equal(before["logits"][0], after["logits"][0])


def test_what_decides_nothing_need_not_be_set_aside() -> None:
    cohort, nothing = cohort_of(small_classifier(), pixels(12, seed=1), labels=LABELS), np.arange(0)
    steady = FittingOptions(epochs=2, batch_size=6, learning_rate=0.01, patience=None)

    def fitted(unseen: np.ndarray, head: FittingOptions = steady, **network: Any) -> Fitted:
        model = small_classifier(options=NetworkOptions(**{"feature_blocks": (1, 2), **network})).model
        return training.train(model, cohort, np.arange(10), unseen, head, FINE_TUNING, seed=1, quiet=True)

    alone, beside = fitted(nothing), fitted(np.arange(10, 12))
    assert alone.validation == {}
    np.testing.assert_array_equal(alone.predict(np.arange(12)), beside.predict(np.arange(12)))
    with pytest.raises(ValueError, match="patience=2 needs slices for validation"):
        fitted(nothing, OPTIONS)
    with pytest.raises(
        ValueError, match="fine-tuning needs pictures that decide whether it was worth it, received none"
    ):
        fitted(nothing, frozen_blocks=1)


def test_what_is_chosen_predicts_as_the_network_that_is_left() -> None:
    for rate in (0.001, 0.9):
        classifier = small_classifier(options=NetworkOptions(frozen_blocks=4, feature_blocks=(4, 5), dropout=0.2))
        fitted = train(classifier, FittingOptions(epochs=3, batch_size=6, learning_rate=rate, patience=1))
        whole = classifier.model.predict_on_batch(to_network_input(pixels(12, seed=2)))
        np.testing.assert_allclose(fitted.predict(np.arange(12, 24)), whole, atol=1e-4)
        np.testing.assert_allclose(fitted.validation[fitted.chosen], whole, atol=1e-4)


def test_interrupted_fine_tuning_goes_on_to_the_same_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = NetworkOptions(frozen_blocks=4, feature_blocks=(4, 5), dropout=0.3)
    fine_tuning = FittingOptions(epochs=4, batch_size=6, learning_rate=0.001, patience=4)
    straight, interrupted = (small_classifier(options=options) for _ in range(2))
    expected = train(straight, fine_tuning)

    steps, step = 0, TailLearner.step

    def stopping(*given: object) -> tuple[float, float]:
        nonlocal steps
        steps += 1
        if steps == 6:
            raise KeyboardInterrupt
        return step(*given)  # type: ignore[arg-type]

    kept = tmp_path / "fine_tuning.npz"
    monkeypatch.setattr(TailLearner, "step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(interrupted, fine_tuning, checkpoint=kept)
    assert kept.is_file()
    steps = 100
    again = train(interrupted, fine_tuning, checkpoint=kept)
    assert steps - 100 == 4  # two steps an epoch, and two epochs had come to their end
    assert again.history == expected.history
    assert not kept.exists()
    for name, values in weights_by_layer(straight.model).items():
        for one, other in zip(values, weights_by_layer(interrupted.model)[name], strict=True):
            np.testing.assert_array_equal(one, other)


def test_fine_tuning_is_judged_by_weighted_loss_over_groups() -> None:
    labels = np.array([0, 0, 0, 1])
    head = np.array([[0.5, 0.5], [0.8, 0.2], [0.5, 0.5], [0.75, 0.25]])
    tuned = np.array([[0.8, 0.2], [0.8, 0.2], [0.25, 0.75], [0.5, 0.5]])
    fitted = Fitted([], {HEAD: head, FINE_TUNED: tuned}, FINE_TUNED, lambda pictures: tuned)
    weights = {0: 4 / 6, 1: 2.0}
    facts = judge_fine_tuning(fitted, labels, list("aabc"), weights, ["x", "y"], draws=50, seed=1)
    assert facts is not None
    logs = -np.log([0.5, 0.8, 0.5, 0.25]), -np.log([0.8, 0.8, 0.25, 0.5])
    expected = [float(np.average(values, weights=[4 / 6] * 3 + [2.0])) for values in logs]
    assert facts[HEAD]["loss"] == pytest.approx(expected[0])
    assert facts[FINE_TUNED]["loss"] == pytest.approx(expected[1])
    assert facts["gain"]["value"] == pytest.approx(expected[0] - expected[1])
    assert (facts[HEAD]["accuracy"], facts[FINE_TUNED]["accuracy"]) == (0.75, 0.5)
    assert (facts["pictures"], facts["groups"]) == (4, 3)
    assert "lowers the validation loss from 0.961 to 0.652" in facts["sentence"]
    assert "the fine-tuned network is kept" in facts["sentence"]


def test_there_is_nothing_to_judge_where_no_block_trains() -> None:
    fitted = train(small_classifier(options=NetworkOptions(feature_blocks=(4,))))
    assert judge_fine_tuning(fitted, LABELS, list("abcdefghijkl"), {}, ["x", "y"], 10, 1) is None


def test_dark_and_bright_slices_are_told_apart_after_training() -> None:
    classifier = small_classifier(("bright", "dark"))
    slices = np.concatenate([pixels(20, seed=4) // 2 + 128, pixels(20, seed=5) // 2])
    labels = np.repeat([0, 1], 20)
    cohort, every = cohort_of(classifier, slices, labels=labels), np.arange(40)
    fast = FittingOptions(epochs=8, learning_rate=0.1)
    training.train(classifier.model, cohort, every, every, fast, FINE_TUNING, seed=1, quiet=True)
    unseen = np.concatenate([pixels(5, seed=6) // 2 + 128, pixels(5, seed=7) // 2])
    predicted = classifier.model.predict_on_batch(to_network_input(unseen)).argmax(axis=1)
    assert predicted.tolist() == [0] * 5 + [1] * 5


def test_the_same_seed_gives_the_same_classifier() -> None:
    options = NetworkOptions(feature_blocks=(1, 2), dropout=0.3, hidden_units=(4,))
    classifiers = [small_classifier(options=options) for _ in range(2)]
    histories = [train(classifier).history for classifier in classifiers]
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


def test_training_facts_name_the_weights_and_no_other_weights_have_their_name() -> None:
    classifier = small_classifier()
    before = training.with_training_facts(classifier, 2, "abc").metadata.model_digest
    assert training.with_training_facts(small_classifier(), 3, "def").metadata.model_digest == before
    *others, last = classifier.model.get_weights()
    classifier.model.set_weights([*others, np.nextafter(last, np.float32(9.0))])
    assert training.with_training_facts(classifier, 2, "abc").metadata.model_digest != before


def test_a_recipe_knows_all_that_fitting_depends_on_and_not_the_weights() -> None:
    features = {
        "computation": {"engine": "mnn"},
        "views_computation": {"engine": "mnn"},
        "augmentation": {"views": 0},
        "seed": 1,
        "pictures": 9,
    }
    head, tuning = FittingOptions(epochs=3), FittingOptions(epochs=4)

    def digest(classifier: Any = None, **changed: Any) -> str:
        given = {"features": features, "head": head, "fine_tuning": tuning, "seed": 1, **changed}
        return training.recipe_digest(classifier or small_classifier(), **given)

    trained = small_classifier()
    trained.model.set_weights([values + 1.0 for values in trained.model.get_weights()])
    assert digest(trained) == digest() == digest(features=features | {"pictures": 10})
    others = [
        digest(small_classifier(options=NetworkOptions(feature_blocks=(1, 2), dropout=0.25))),
        digest(small_classifier(options=NetworkOptions(feature_blocks=(2,)))),
        digest(small_classifier(options=NetworkOptions(feature_blocks=(1, 2), frozen_blocks=1))),
        digest(small_classifier(weights_digest="w")),
        digest(small_classifier(preparation=PreparationOptions(size=32))),
        digest(features=features | {"augmentation": {"views": 2}}),
        digest(features=features | {"views_computation": {"engine": "onnxruntime"}}),
        digest(head=FittingOptions(epochs=5)),
        digest(fine_tuning=FittingOptions(epochs=5)),
        digest(seed=2),
    ]
    assert len({digest(), *others}) == len(others) + 1

"""Fitting the trainable part."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from lung_tumor.fitting import FittingOptions, LabelledActivations, class_weights, fit, to_rows

EPOCHS = 5


def linear(seed: int = 0) -> keras.Model:
    """One feature to two probabilities."""
    keras.utils.set_random_seed(seed)
    given = keras.Input((1,))
    return keras.Model([given], keras.layers.Dense(2, activation="softmax")(given))


def labelled(feature: list[float], labels: list[int]) -> LabelledActivations:
    values = np.array(feature, np.float32)[:, np.newaxis]
    return LabelledActivations([values], np.array(labels, np.int64))


SEPARABLE = labelled([-1.0, -0.8, 0.8, 1.0] * 4, [0, 0, 1, 1] * 4)
OPPOSITE = LabelledActivations(SEPARABLE.values, 1 - SEPARABLE.labels)


def run(model: keras.Model, training: LabelledActivations, validation: LabelledActivations, **options: object) -> list:
    settings = FittingOptions(**{"epochs": EPOCHS, "batch_size": 16, **options})  # type: ignore[arg-type]
    return fit(model, training, validation, settings, rate=0.1, seed=1, title="test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, received 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"learning_rate": 0.0}, r"learning_rate must lie in \(0, 1\), received 0.0"),
        ({"fine_tuning_rate": 1.0}, "fine_tuning_rate must lie"),
        ({"class_weights": "equal"}, "class_weights must be one of .* received 'equal'"),
    ],
)
def test_an_impossible_option_is_named_with_its_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FittingOptions(**options)  # type: ignore[arg-type]


def test_balanced_weights_make_every_class_count_the_same() -> None:
    # n / (classes * n_class): 8 / (3 * 5), 8 / (3 * 2), 8 / (3 * 1).
    weights = class_weights(np.array([0, 0, 0, 0, 0, 2, 2, 1]))
    assert weights == pytest.approx({0: 8 / 15, 2: 8 / 6, 1: 8 / 3})
    assert [weights[label] * count for label, count in ((0, 5), (2, 2), (1, 1))] == pytest.approx([8 / 3] * 3)


def test_columns_become_rows_counted_from_one() -> None:
    rows = to_rows({"loss": [0.5, 0.25], "accuracy": [np.float32(0.5), 1]})
    assert rows == [{"epoch": 1, "loss": 0.5, "accuracy": 0.5}, {"epoch": 2, "loss": 0.25, "accuracy": 1.0}]


def test_a_separable_feature_is_learnt() -> None:
    model = linear()
    rows = run(model, SEPARABLE, SEPARABLE, batch_size=4)
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert set(rows[0]) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert rows[-1]["val_accuracy"] == 1.0


def test_fitting_stops_once_validation_has_not_improved_for_so_many_epochs_and_keeps_the_best_weights() -> None:
    model = linear()
    rows = run(model, SEPARABLE, OPPOSITE, patience=2)
    losses = [row["val_loss"] for row in rows]
    assert len(rows) == 1 + losses.index(min(losses)) + 2
    loss = model.evaluate(OPPOSITE.values, OPPOSITE.labels, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(min(losses), rel=1e-5)
    assert loss < losses[-1]


def test_the_best_weights_are_kept_when_the_epochs_run_out_first() -> None:
    model = linear()
    losses = [row["val_loss"] for row in run(model, SEPARABLE, OPPOSITE, epochs=4, patience=50)]
    loss = model.evaluate(OPPOSITE.values, OPPOSITE.labels, verbose=0, return_dict=True)["loss"]
    assert len(losses) == 4
    assert loss == pytest.approx(min(losses), rel=1e-5)
    assert loss < losses[-1]


@pytest.mark.parametrize(
    ("weights", "validation", "expected"), [("balanced", [0, 1], 0.5), ("none", [0, 0, 0, 0, 1], 0.2)]
)
def test_class_weights_decide_what_an_uninformative_feature_says(
    weights: str, validation: list[int], expected: float
) -> None:
    model = linear()
    model.set_weights([np.zeros((1, 2)), np.zeros(2)])
    training = labelled([1.0] * 500, ([0] * 4 + [1]) * 100)
    unseen = labelled([1.0] * len(validation), validation)
    run(model, training, unseen, class_weights=weights, batch_size=50, epochs=3)
    assert model.predict_on_batch([np.ones((1, 1))])[0, 1] == pytest.approx(expected, abs=0.08)


def test_the_same_seed_gives_the_same_weights_and_history() -> None:
    models = [linear(), linear()]
    first, again = (run(model, SEPARABLE, SEPARABLE, batch_size=3, epochs=3) for model in models)
    assert first == again
    for left, right in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)

"""The head in NumPy learns as Keras would."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest

from lung_tumor import network
from lung_tumor.fitting import LabelledActivations
from lung_tumor.head_learner import HeadLearner
from lung_tumor.network import Moments, NetworkOptions, moments
from tests.support.classifiers import NARROW, SIZE
from tests.support.fits import examples, learner

STEPS = 40
RATE = 0.003


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)


def keras_head(classes: int, options: NetworkOptions) -> keras.Model:
    return network.head(network.build(classes, options, SIZE, seed=1))


def features_for(head: keras.Model, count: int, classes: int) -> LabelledActivations:
    rng = np.random.default_rng(2)
    values = [rng.normal(3.0, 2.0, (count, *given.shape[1:])).astype(np.float32) for given in head.inputs]
    values[0][:, 0] = 0.0  # a dead feature
    return LabelledActivations(values, rng.integers(0, classes, count))


def flat(learnt: HeadLearner) -> np.ndarray:
    return np.concatenate([part.ravel() for part in learnt.get_weights()])


@pytest.mark.parametrize(
    ("classes", "options"),
    [
        (2, NetworkOptions(feature_blocks=(2,))),
        (4, NetworkOptions(feature_blocks=(1, 2), l2=0.0)),
        (2, NetworkOptions(feature_blocks=(1, 2), hidden_units=(16,), l2=0.05)),
        (4, NetworkOptions(feature_blocks=(4, 5), hidden_units=(16, 8), l2=0.01, head="max")),
        (3, NetworkOptions(feature_blocks=(2, 3), hidden_units=(6,), head="flatten")),
    ],
    ids=lambda value: f"{value.head}, hidden {value.hidden_units}" if isinstance(value, NetworkOptions) else str(value),
)
def test_steps_end_with_the_weights_that_keras_ends_with(classes: int, options: NetworkOptions) -> None:
    head = keras_head(classes, options)
    part = features_for(head, 50, classes)
    ours = HeadLearner(moments(part.values), classes, options, seed=0)
    ours.to_keras(head)
    before = flat(ours)
    name = "sparse_categorical_crossentropy"
    head.compile(keras.optimizers.Adam(RATE), loss=name, weighted_metrics=[name], metrics=["accuracy"])
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.5, 3.0, 50).astype(np.float32)
    for _ in range(STEPS):
        rows = rng.integers(0, 50, 16)
        values, labels = part.read(rows), part.labels[rows]
        theirs = head.train_on_batch(values, labels, sample_weight=weights[rows], return_dict=True)
        loss, accuracy = ours.step(ours.prepare(values), labels, weights[rows], RATE)
        assert loss == pytest.approx(float(theirs[name]), rel=1e-4)
        assert accuracy == pytest.approx(float(theirs["accuracy"]))
    np.testing.assert_allclose(ours.predict(part.values), head.predict_on_batch(part.values), atol=1e-5)
    np.testing.assert_allclose(flat(ours), flat(HeadLearner.from_keras(head, seed=1)), atol=1e-5)
    assert np.abs(flat(ours) - before).max() > 10 * RATE


def test_a_head_carried_to_keras_and_back_answers_the_same() -> None:
    options = NetworkOptions(feature_blocks=(1, 2), hidden_units=(5,), dropout=0.4)
    head = keras_head(3, options)
    part = features_for(head, 9, 3)
    ours = HeadLearner(moments(part.values), 3, options, seed=5)
    ours.to_keras(head)
    expected = ours.predict(part.values)
    assert np.ptp(expected, axis=0).min() > 0.01
    np.testing.assert_allclose(head.predict_on_batch(part.values), expected, atol=1e-5)
    back = HeadLearner.from_keras(head, seed=5)
    np.testing.assert_array_equal(back.predict(part.values), expected)
    # Its next step is the same too: dropout and penalty came along.
    for made in (ours, back):
        made.step(made.prepare(part.values), part.labels, np.ones(9, np.float32), RATE)
    np.testing.assert_allclose(flat(ours), flat(back), atol=1e-7)


def test_initial_weights_are_glorot_uniform_as_in_keras() -> None:
    made = learner(hidden_units=(500,), classes=4)
    kernel, bias, last, _ = made.get_weights()
    assert kernel.shape == (6, 500)
    assert not bias.any()
    for part in (kernel, last):
        limit = np.sqrt(6 / sum(part.shape))
        assert 0.99 * limit < np.abs(part).max() <= limit
        assert part.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_the_seed_decides_weights_and_dropout() -> None:
    part = examples()
    ones = np.ones(len(part.labels), np.float32)
    learners = [learner(seed) for seed in (1, 1, 2)]
    starts = [flat(made) for made in learners]
    learners[2].set_weights(learners[0].get_weights())
    for made in learners:
        made.step(made.prepare(part.values), part.labels, ones, RATE)
    first, again, other = (flat(made) for made in learners)
    np.testing.assert_array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_dropout_drops_its_share_and_keeps_the_expected_sum() -> None:
    made = learner(dropout=0.3)
    masks = []
    for number in range(3):
        made._steps = number
        masks.append(made._dropout_mask((64, 500)))
        assert np.unique(masks[-1]) == pytest.approx([0.0, 1 / 0.7])
        # Standard deviation of the share: sqrt(0.3 * 0.7 / 32000) = 0.0026.
        assert (masks[-1] == 0.0).mean() == pytest.approx(0.3, abs=0.012)
    assert not np.array_equal(masks[0], masks[1])


def test_dropped_units_get_no_gradient_and_kept_ones_the_scaled() -> None:
    # One hidden unit feeds both logits; where it is dropped, nothing but biases of the logits can move.
    part = LabelledActivations([np.ones((1, 1), np.float32)], np.zeros(1, np.int64))
    one = Moments(np.zeros(1, np.float32), np.ones(1, np.float32))
    moved = {}
    for seed in range(12):
        made = HeadLearner(one, 2, NetworkOptions(hidden_units=(1,), dropout=0.5, l2=0.0), seed)
        made.set_weights([np.ones((1, 1)), np.zeros(1), np.array([[1.0, -1.0]]), np.zeros(2)])
        dropped = not made._dropout_mask((1, 1)).any()
        made.step(made.prepare(part.values), part.labels, np.ones(1, np.float32), RATE)
        # Hidden value 1, kept: logits (2, -2), slope of them p - onehot = (-q, q), q = 1 / (1 + e^4);
        # slope of the hidden kernel = (-q - q) * 2, since kept units are doubled.
        expected = 0.0 if dropped else -4.0 / (1.0 + np.exp(4.0))
        assert made._gradients[0][0][0, 0] == pytest.approx(expected, rel=1e-4)
        moved[dropped] = True
    assert moved == {True: True, False: True}


def test_a_state_taken_and_given_back_makes_the_same_next_steps() -> None:
    part = examples()
    ones = np.ones(len(part.labels), np.float32)

    def steps(made: HeadLearner, count: int) -> None:
        for _ in range(count):
            made.step(made.prepare(part.values), part.labels, ones, RATE)

    first, second = learner(), learner()
    steps(first, 3)
    state = first.get_state()
    steps(first, 4)
    second.set_state(state)
    steps(second, 4)
    np.testing.assert_array_equal(flat(first), flat(second))
    assert not np.array_equal(flat(first), np.asarray(state[1]))


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have shape \(6, 5\), received \(1, 5\)"):
        learner().set_weights([np.zeros((1, 5)), *learner().get_weights()[1:]])


def test_neither_keras_nor_tensorflow_is_imported() -> None:
    program = "import sys, tests.support.fits; assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)

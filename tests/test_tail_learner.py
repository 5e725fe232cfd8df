"""Blocks and head, fitted by Keras, as the loop wants them."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from lung_tumor import network
from lung_tumor.fitting import FittingOptions, LabelledActivations, fit, kept_epoch
from lung_tumor.head_learner import HeadLearner
from lung_tumor.network import NetworkOptions
from lung_tumor.tail_learner import TailLearner
from tests.support.classifiers import NARROW, SIZE
from tests.support.fits import fingerprint

OPTIONS = NetworkOptions(frozen_blocks=3, feature_blocks=(3, 4), hidden_units=(6,), dropout=0.3, l2=0.01)
FITTING = FittingOptions(epochs=4, batch_size=6, learning_rate=0.003, warm_up=2, patience=4)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)


def tail(options: NetworkOptions = OPTIONS) -> keras.Model:
    return network.trainable_tail(network.build(2, options, SIZE, seed=1))


def examples(count: int = 20, seed: int = 0) -> LabelledActivations:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    shapes = [given.shape[1:] for given in tail().inputs]
    means = [1.0 + 0.5 * labels.reshape(-1, *[1] * len(shape)) for shape in shapes]
    values = [
        rng.normal(mean, 1.0, (count, *shape)).astype(np.float32) for mean, shape in zip(means, shapes, strict=True)
    ]
    return LabelledActivations(values, labels)


def weights_of(model: keras.Model) -> np.ndarray:
    return np.concatenate([part.ravel() for part in model.get_weights()])


def flat(learner: TailLearner) -> np.ndarray:
    return np.concatenate([part.ravel() for part in learner.get_weights()])


def test_the_model_changes_only_when_it_is_given_the_weights() -> None:
    model, part = tail(), examples()
    before = weights_of(model)
    learner = TailLearner(model, seed=0)
    start = learner.predict(part.values)
    np.testing.assert_allclose(start, model.predict_on_batch(part.values), atol=1e-6)
    history = fit(learner, part, part, FITTING, seed=0, title=None)
    np.testing.assert_array_equal(weights_of(model), before)
    learner.to_keras(model)
    np.testing.assert_allclose(learner.predict(part.values), model.predict_on_batch(part.values), atol=1e-6)
    assert np.abs(learner.predict(part.values) - start).max() > 1e-3
    assert kept_epoch(history)["val_loss"] < history[0]["loss"]


def test_convolutions_and_head_train_and_standardisation_stays() -> None:
    model, part = tail(), examples()
    before = {layer.name: [w.copy() for w in layer.get_weights()] for layer in model.layers}
    learner = TailLearner(model, seed=0)
    learner.step(part.values, part.labels, np.ones(20, np.float32), 0.01)
    learner.to_keras(model)
    changed = {
        layer.name
        for layer in model.layers
        if any(not np.array_equal(*pair) for pair in zip(before[layer.name], layer.get_weights(), strict=True))
    }
    assert changed == {"block4_conv1", "block4_conv2", "block4_conv3", "hidden1", "logits"}


def test_a_step_on_the_head_alone_is_that_of_the_head_learner() -> None:
    # Frozen blocks only: the tail is the head, and both learners must agree, row weights and penalty included.
    options = NetworkOptions(feature_blocks=(3, 4), hidden_units=(6,), l2=0.05)
    model = tail(options)
    rng = np.random.default_rng(5)
    values = [rng.normal(1, 1, (12, *given.shape[1:])).astype(np.float32) for given in model.inputs]
    labels, weights = rng.integers(0, 2, 12), rng.uniform(0.5, 3, 12).astype(np.float32)
    learners = [TailLearner(model, seed=0), HeadLearner.from_keras(model, seed=0)]
    for rate in (0.003, 0.001, 0.004):
        told = [made.step(made.prepare(values), labels, weights, rate) for made in learners]
        assert told[0] == pytest.approx(told[1], rel=1e-4)
    first, second = (np.concatenate([part.ravel() for part in made.get_weights()]) for made in learners)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_a_smaller_rate_makes_a_smaller_step() -> None:
    part, moved = examples(), []
    for rate in (0.001, 0.0001):
        learner = TailLearner(tail(), seed=0)
        before = flat(learner)
        learner.step(part.values, part.labels, np.ones(20, np.float32), rate)
        moved.append(np.abs(flat(learner) - before).max())
    # Adam's first step is the rate, whatever the gradient.
    assert moved == pytest.approx([0.001, 0.0001], rel=0.01)


def test_predictions_do_not_depend_on_how_many_slices_are_asked_for() -> None:
    learner, part = TailLearner(tail(), seed=0), examples(70)
    whole = learner.predict(part.values)
    assert whole.shape == (70, 2)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole[40:43], learner.predict(part.read(np.arange(40, 43))), atol=1e-6)


def test_the_seed_decides_dropout() -> None:
    part, ends = examples(), []
    for seed in (1, 1, 2):
        learner = TailLearner(tail(), seed)
        for _ in range(3):
            learner.step(part.values, part.labels, np.ones(20, np.float32), 0.01)
        ends.append(flat(learner))
    np.testing.assert_array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])


class StoppedError(Exception):
    """Raised in the middle of an epoch."""


def test_a_fit_that_was_stopped_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, steps, original = tmp_path / "tail.npz", [], TailLearner.step

    def run() -> str:
        learner = TailLearner(tail(), seed=3)
        part = examples()
        return fingerprint(
            (fit(learner, part, part, FITTING, seed=2, title=None, checkpoint=path), learner.get_weights())
        )

    def stops(self, *given):  # type: ignore[no-untyped-def]
        steps.append(1)
        if len(steps) == 4 * 2 + 2:
            raise StoppedError
        return original(self, *given)

    uninterrupted = run()
    monkeypatch.setattr(TailLearner, "step", stops)
    with pytest.raises(StoppedError):
        run()
    assert path.exists()
    assert run() == uninterrupted
    assert len(steps) == 4 * 2 + 2 + 4 * 2
    assert not path.exists()


def test_another_process_describes_the_same_tail_alike() -> None:
    # Keras counts what it builds; a checkpoint must be recognised whatever was built before.
    program = (
        "import json, sys, keras; from tests.test_tail_learner import *; network.BLOCKS = NARROW; keras.Input((3,));"
        "sys.stdout.write(json.dumps(TailLearner(tail(), seed=0).describe()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    described = TailLearner(tail(), seed=0).describe()
    assert json.loads(done.stdout) == described
    other = NetworkOptions(**{**vars(OPTIONS), "dropout": 0.1})
    assert TailLearner(tail(other), seed=0).describe() != described


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_learns_nearly_the_same_into_float32_weights(precision: str) -> None:
    part, ends, losses = examples(), [], []
    for chosen in ("float32", precision):
        learner = TailLearner(tail(NetworkOptions(frozen_blocks=3, feature_blocks=(3, 4))), 0, chosen)  # type: ignore[arg-type]
        history = fit(learner, part, part, FITTING, seed=0, title=None)
        assert {weights.dtype for weights in learner.get_weights()} == {np.dtype(np.float32)}
        ends.append(learner.predict(part.values))
        losses.append(kept_epoch(history)["val_loss"])
    assert not np.array_equal(*ends)
    np.testing.assert_allclose(*ends, atol=0.02)
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="needs Linux to tell how much memory is held")
def test_a_learner_that_is_let_go_leaves_no_weights_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BLOCKS", (*NARROW[:3], (3, 512), (1, 2)))

    def held() -> float:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def use() -> float:
        part, learner = examples(4), TailLearner(tail(), seed=0)
        learner.step(part.values, part.labels, np.ones(4, np.float32), 0.001)
        learner.predict(part.values)
        return sum(array.nbytes for array in learner.get_state()) / 2**20

    use()
    before = held()
    each = [(use(), held()) for _ in range(5)]
    assert each[-1][1] - before < 2.5 * each[0][0]

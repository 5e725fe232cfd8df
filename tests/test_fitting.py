"""The loop that fits: what it reports, when it stops, and that an interruption leaves no trace."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from lung_tumor import checkpoint as checkpoints
from lung_tumor.errors import FittingError
from lung_tumor.fitting import FittingOptions, History, LabelledActivations, class_weights, fit, kept_epoch
from lung_tumor.head_learner import HeadLearner
from lung_tumor.network import Moments, NetworkOptions
from tests.support import fits

EPOCHS = 5
UNCHANGED = Moments(np.zeros(1, np.float32), np.ones(1, np.float32))


def linear(seed: int = 0) -> HeadLearner:
    """One feature to two probabilities."""
    return HeadLearner(UNCHANGED, 2, NetworkOptions(l2=0.0), seed)


def labelled(feature: list[float], labels: list[int]) -> LabelledActivations:
    values = np.array(feature, np.float32)[:, np.newaxis]
    return LabelledActivations([values], np.array(labels, np.int64))


SEPARABLE = labelled([-1.0, -0.8, 0.8, 1.0] * 4, [0, 0, 1, 1] * 4)
OPPOSITE = LabelledActivations(SEPARABLE.values, 1 - SEPARABLE.labels)


def run(
    learner: HeadLearner, training: LabelledActivations, validation: LabelledActivations | None, **options: object
) -> History:
    settings = FittingOptions(**{"epochs": EPOCHS, "batch_size": 16, "learning_rate": 0.1, **options})  # type: ignore[arg-type]
    return fit(learner, training, validation, settings, seed=1, title=None)


def loss_of(learner: HeadLearner, part: LabelledActivations) -> float:
    return -float(np.log(learner.predict(part.values)[np.arange(len(part.labels)), part.labels]).mean())


# --- Options and weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, received 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"patience": 1.5}, "patience must be a whole number or null"),
        ({"warm_up": -1}, "warm_up must be at least 0, received -1"),
        ({"learning_rate": 0.0}, r"learning_rate must lie in \(0, 1\), received 0.0"),
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


@pytest.mark.parametrize(
    ("weights", "validation", "expected"), [("balanced", [0, 1], 0.5), ("none", [0, 0, 0, 0, 1], 0.2)]
)
def test_class_weights_decide_what_an_uninformative_feature_says(
    weights: str, validation: list[int], expected: float
) -> None:
    learner = linear()
    learner.set_weights([np.zeros((1, 2)), np.zeros(2)])
    training = labelled([1.0] * 500, ([0] * 4 + [1]) * 100)
    run(
        learner, training, labelled([1.0] * len(validation), validation), class_weights=weights, batch_size=50, epochs=3
    )
    assert learner.predict([np.ones((1, 1), np.float32)])[0, 1] == pytest.approx(expected, abs=0.08)


@pytest.mark.parametrize(("weights", "expected", "unseen"), [("balanced", 0.5, 0.5), ("none", 0.8, 2 / 3)])
def test_the_losses_weigh_classes_and_leave_the_penalty_out(weights: str, expected: float, unseen: float) -> None:
    # Says 0.9 for class 0 whatever is given; -ln 0.9 for class 0 and -ln 0.1 for class 1. Balanced, either class counts
    # half, in training with four of class 0 for each of class 1, and in validation with two.
    learner = HeadLearner(UNCHANGED, 2, NetworkOptions(l2=10.0), 0)
    learner.set_weights([np.zeros((1, 2)), np.log([0.9, 0.1])])
    training, validation = labelled([0.0] * 10, [0, 0, 0, 0, 1] * 2), labelled([0.0] * 6, [0, 0, 1] * 2)
    (row,) = run(learner, training, validation, epochs=1, learning_rate=1e-6, batch_size=10, class_weights=weights)
    assert row["loss"] == pytest.approx(-expected * np.log(0.9) - (1 - expected) * np.log(0.1), rel=1e-4)
    assert row["accuracy"] == 0.8
    assert row["val_loss"] == pytest.approx(-unseen * np.log(0.9) - (1 - unseen) * np.log(0.1), rel=1e-4)
    assert row["val_accuracy"] == pytest.approx(2 / 3)


# --- Epochs ------------------------------------------------------------------------------------------------------------


def test_a_separable_feature_is_learnt() -> None:
    rows = run(linear(), SEPARABLE, SEPARABLE, batch_size=4)
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert set(rows[0]) == {"epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "kept"}
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert rows[-1]["val_accuracy"] == 1.0


def test_fitting_stops_once_validation_has_not_improved_for_so_many_epochs_and_keeps_the_best_weights() -> None:
    learner = linear()
    losses = [row["val_loss"] for row in run(learner, SEPARABLE, OPPOSITE, patience=2)]
    assert len(losses) == 1 + losses.index(min(losses)) + 2
    assert loss_of(learner, OPPOSITE) == pytest.approx(min(losses), rel=1e-5)
    assert min(losses) < losses[-1]


def test_the_best_weights_are_kept_when_the_epochs_run_out_first() -> None:
    learner = linear()
    losses = [row["val_loss"] for row in run(learner, SEPARABLE, OPPOSITE, epochs=4, patience=50)]
    assert len(losses) == 4
    assert loss_of(learner, OPPOSITE) == pytest.approx(min(losses), rel=1e-5)
    assert min(losses) < losses[-1]


def test_one_epoch_is_kept_the_first_with_the_smallest_validation_loss() -> None:
    rows = run(linear(), SEPARABLE, OPPOSITE, epochs=4, patience=50)
    assert [row["kept"] for row in rows] == [1.0, 0.0, 0.0, 0.0]
    assert kept_epoch(rows)["val_loss"] == min(row["val_loss"] for row in rows)


def test_without_patience_all_epochs_are_fitted_and_the_last_is_kept() -> None:
    learner = linear()
    rows = run(learner, SEPARABLE, OPPOSITE, epochs=4, patience=None)
    assert [row["kept"] for row in rows] == [0.0, 0.0, 0.0, 1.0]
    assert loss_of(learner, OPPOSITE) == pytest.approx(rows[-1]["val_loss"], rel=1e-5)
    assert rows[-1]["val_loss"] > rows[0]["val_loss"]


def test_without_patience_nothing_need_be_set_aside_and_the_same_is_learnt() -> None:
    beside, alone = linear(), linear()
    rows = run(beside, SEPARABLE, OPPOSITE, patience=None)
    bare = run(alone, SEPARABLE, None, patience=None)
    told = {"epoch", "learning_rate", "loss", "accuracy", "kept"}
    assert bare == [{name: row[name] for name in row if name in told} for row in rows]
    for one, other in zip(beside.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"fitting.patience=3 needs slices for validation, received none"):
        run(linear(), SEPARABLE, None, patience=3)


class Recorder(HeadLearner):
    """Writes down what each step was given."""

    def __init__(self) -> None:
        super().__init__(UNCHANGED, 2, NetworkOptions(), 0)
        self.rates: list[float] = []
        self.orders: list[list[float]] = []

    def step(self, values, labels, weights, rate):  # type: ignore[no-untyped-def]
        self.rates.append(rate)
        self.orders.append(values[0][:, 0].tolist())
        return super().step(values, labels, weights, rate)


def test_the_rate_rises_by_the_same_amount_at_every_step_of_the_warm_up() -> None:
    recorder = Recorder()
    rows = run(recorder, SEPARABLE, SEPARABLE, batch_size=8, warm_up=2, epochs=4, learning_rate=0.4)
    assert recorder.rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4])
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.2, 0.4, 0.4, 0.4])


def test_every_epoch_reads_every_slice_once_in_an_order_of_its_own() -> None:
    recorder = Recorder()
    feature = [float(number) for number in range(10)]
    run(recorder, labelled(feature, [0, 1] * 5), SEPARABLE, batch_size=4, epochs=2)
    assert [len(order) for order in recorder.orders] == [4, 4, 2] * 2
    first, second = ([*chain(*recorder.orders[start : start + 3])] for start in (0, 3))
    assert sorted(first) == sorted(second) == pytest.approx(feature, abs=1e-4)
    assert first != second


def test_examples_that_are_read_as_needed_are_fitted_as_those_in_memory() -> None:
    class Read:
        labels = fits.examples().labels

        def read(self, indices: np.ndarray) -> list[np.ndarray]:
            return fits.examples().read(indices)

    options = dataclasses.replace(fits.OPTIONS, epochs=4)
    histories = []
    for training in (fits.examples(), Read()):
        histories.append(fit(fits.learner(), training, fits.examples(20, seed=1), options, seed=4, title=None))
    assert histories[0] == histories[1]


def test_validation_is_read_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(linear(), SEPARABLE, OPPOSITE)
    monkeypatch.setattr("lung_tumor.fitting.READ", 3)
    parts = run(linear(), SEPARABLE, OPPOSITE)
    assert [row["val_loss"] for row in parts] == pytest.approx([row["val_loss"] for row in whole], rel=1e-6)


@pytest.mark.parametrize("empty", ["training", "validation"])
def test_nothing_to_learn_from_is_named(empty: str) -> None:
    nothing = labelled([], [])
    parts = {"training": SEPARABLE, "validation": SEPARABLE, empty: nothing}
    with pytest.raises(ValueError, match=f"at least one slice for {empty}, received none"):
        run(linear(), **parts)  # type: ignore[arg-type]


def test_a_loss_that_is_not_finite_names_the_epoch_and_the_rate() -> None:
    broken = labelled([np.nan, 1.0], [0, 1])
    with pytest.raises(FittingError, match=r"loss is nan after epoch 1 at a learning rate of 0\.1; take a smaller"):
        run(linear(), broken, SEPARABLE)


def test_the_progress_bar_counts_steps_and_shows_the_validation_loss(capfd: pytest.CaptureFixture[str]) -> None:
    fit(linear(), SEPARABLE, SEPARABLE, FittingOptions(epochs=3, batch_size=8), seed=1, title="Head")
    shown = capfd.readouterr().err
    assert "Head" in shown
    assert "6/6" in shown
    assert "epoch=3/3, val_loss=1." in shown


# --- Interruption ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted() -> str:
    return fits.fingerprint(fits.run(None))


def start(path: Path) -> subprocess.Popen[str]:
    # One thread: two processes on two cores would otherwise wait for each other's BLAS threads.
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.fits", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Whoever starts the tests in the background may have them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def wait_for_progress(process: subprocess.Popen[str], path: Path, since: int) -> None:
    """Until the checkpoint is newer than ``since`` (st_mtime_ns) or the process has ended."""
    while process.poll() is None and not (path.exists() and path.stat().st_mtime_ns > since):
        time.sleep(0.002)


def test_a_fit_killed_again_and_again_ends_as_one_that_never_was(tmp_path: Path, uninterrupted: str) -> None:
    path = tmp_path / "fit.npz"
    kills = 0
    rng = np.random.default_rng(8)
    for attempt in range(30):
        process = start(path)
        if attempt < 3:
            wait_for_progress(process, path, time.time_ns())
            time.sleep(float(rng.uniform(0.0, 0.1)))
            process.kill()
        received, complaints = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, complaints
        assert path.exists()
        kills += 1
    assert kills >= 1
    assert received == uninterrupted
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_the_last_whole_epoch(tmp_path: Path, uninterrupted: str) -> None:
    path = tmp_path / "fit.npz"
    process = start(path)
    wait_for_progress(process, path, 0)
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in complaints
    assert [entry.name for entry in tmp_path.iterdir()] == ["fit.npz"]
    assert fits.fingerprint(fits.run(path)) == uninterrupted


class StoppedError(Exception):
    """Raised in the middle of an epoch."""


@pytest.fixture
def half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Checkpoint of a fit that stopped in its sixth epoch."""
    path = tmp_path / "fit.npz"
    original, steps = HeadLearner.step, []

    def stops(self, *given):  # type: ignore[no-untyped-def]
        steps.append(1)
        if len(steps) > 5 * 5 + 2:
            raise StoppedError
        return original(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(HeadLearner, "step", stops)
        with pytest.raises(StoppedError):
            fits.run(path)
    return path


def test_what_was_done_is_not_done_again(half_done: Path, uninterrupted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    original = HeadLearner.step
    monkeypatch.setattr(HeadLearner, "step", lambda self, *given: steps.append(1) or original(self, *given))
    assert fits.fingerprint(fits.run(half_done)) == uninterrupted
    assert len(steps) == (fits.OPTIONS.epochs - 5) * 5
    assert not half_done.exists()


@pytest.mark.parametrize("change", ["options", "seed"])
def test_a_checkpoint_of_another_fit_is_ignored(half_done: Path, change: str) -> None:
    changed = {"options": dataclasses.replace(fits.OPTIONS, epochs=7)} if change == "options" else {"seed": 5}
    assert fits.fingerprint(fits.run(half_done, **changed)) == fits.fingerprint(fits.run(None, **changed))  # type: ignore[arg-type]


def test_other_labels_activations_or_initial_weights_are_another_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(checkpoints, "read", lambda path, digest: seen.append(digest))
    part, options = fits.examples(), FittingOptions(epochs=1)
    relabelled = LabelledActivations(part.values, part.labels[::-1].copy())
    changed = LabelledActivations([part.values[0] + 1], part.labels)
    for training, validation, learner in (
        (part, part, fits.learner()),
        (relabelled, part, fits.learner()),
        (part, relabelled, fits.learner()),
        (changed, part, fits.learner()),
        (part, part, fits.learner(seed=1)),
        (part, part, fits.learner(dropout=0.4)),
        (part, part, fits.learner(l2=0.4)),
        (part, part, fits.learner()),
    ):
        fit(learner, training, validation, options, seed=0, title=None, checkpoint=tmp_path / "fit.npz")
    assert len(set(seen)) == len(seen) - 1
    assert seen[0] == seen[-1]


@pytest.mark.parametrize("damage", ["cut", "flipped", "renamed", "encrypted", "newer", "junk", "empty"])
def test_a_damaged_checkpoint_is_warned_about_and_ignored(
    half_done: Path, damage: str, uninterrupted: str, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(half_done.read_bytes())
    # Members of a zip archive are listed at its end: version needed, flags, …, name.
    entry, last = content.index(b"PK\x01\x02"), content.rindex(b"state/")
    flips = {
        "flipped": content.index(b"\x93NUMPY", len(content) // 2) + 140,
        "renamed": last,
        "encrypted": entry + 8,
        "newer": entry + 6,
    }
    damaged = {"cut": content[: len(content) // 2], "junk": b"junk", "empty": b""}
    for name, place in flips.items():
        damaged[name] = (
            content[:place] + bytes([content[place] ^ (64 if name == "newer" else 1)]) + content[place + 1 :]
        )
    half_done.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        assert fits.fingerprint(fits.run(half_done)) == uninterrupted
    assert "fit.npz is damaged" in caplog.text


def test_a_fit_killed_after_its_last_epoch_only_keeps_the_best_weights(tmp_path: Path, uninterrupted: str) -> None:
    path = tmp_path / "fit.npz"
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: kept.append(self))
        fits.run(path)
    assert path in kept
    assert path.exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeadLearner, "step", lambda *_: pytest.fail("a step was taken"))
        assert fits.fingerprint(fits.run(path)) == uninterrupted


def test_a_checkpoint_that_is_kept_ends_the_same_call_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, options = tmp_path / "fit.npz", FittingOptions(epochs=3, batch_size=8)

    def go() -> tuple[History, list[np.ndarray]]:
        made = fits.learner()
        rows = fit(
            made,
            fits.examples(),
            fits.examples(20, seed=1),
            options,
            seed=4,
            title=None,
            checkpoint=path,
            keep_checkpoint=True,
        )
        return rows, made.get_weights()

    first = go()
    assert path.is_file()
    monkeypatch.setattr(HeadLearner, "step", lambda *given: pytest.fail("a step was taken"))
    assert fits.fingerprint(go()) == fits.fingerprint(first)

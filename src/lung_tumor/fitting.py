"""Fitting by steps: one loop for the head alone and for blocks and head together.

What is fitted is a :class:`Learner`: :class:`~lung_tumor.head_learner.HeadLearner` in NumPy, or
:class:`~lung_tumor.tail_learner.TailLearner` in Keras. What it learns from are :class:`Examples`, in memory or read as they
are needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from lung_tumor import checkpoint as checkpoints
from lung_tumor.checkpoint import Checkpoint
from lung_tumor.errors import FittingError
from lung_tumor.features import Activations
from lung_tumor.options import require_types

Labels = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float32]
ClassWeights = Literal["balanced", "none"]
History = checkpoints.History

READ = 32
"""Validation slices read at a time: the largest activations that are fitted on take megabytes each."""

SMALLEST_PROBABILITY = 1e-7
"""Below this a probability counts as this, as in Keras: one slice cannot make the loss infinite."""


@dataclass(frozen=True)
class FittingOptions:
    """``params:training.head`` and ``params:training.fine_tuning``.

    Attributes:
        epochs: most epochs.
        batch_size: slices a step.
        learning_rate: of Adam.
        warm_up: epochs over which the rate rises to ``learning_rate``, by the same amount at every step.
        patience: epochs without a better validation loss before fitting stops; the best weights are kept. None fits all
            epochs and keeps the last: better where the weight penalty already says when to stop learning, and where few
            pictures of a class in validation would say it badly.
        class_weights: ``balanced`` weighs each class by the inverse of its share, in validation by its share there.
    """

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 0.001
    warm_up: int = 0
    patience: int | None = 20
    class_weights: ClassWeights = "balanced"

    def __post_init__(self) -> None:
        require_types(self, "fitting")
        for name, least in (("epochs", 1), ("batch_size", 1), ("warm_up", 0), ("patience", 1)):
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise ValueError(f"fitting.{name} must be at least {least}, received {getattr(self, name)}")
        if not 0.0 < self.learning_rate < 1.0:
            raise ValueError(f"fitting.learning_rate must lie in (0, 1), received {self.learning_rate}")
        if self.class_weights not in get_args(ClassWeights):
            raise ValueError(
                f"fitting.class_weights must be one of {get_args(ClassWeights)}, received {self.class_weights!r}"
            )


class Readable(Protocol):
    """Activations with the index of each slice's class."""

    @property
    def labels(self) -> Labels:
        """(n,) int64, 0 to classes - 1."""

    def read(self, indices: npt.NDArray[np.int64]) -> Activations:
        """As many arrays as the learner has inputs, each with a row for each index, float32."""


class Examples(Readable, Protocol):
    """The same, with a name for what they are."""

    def fingerprint(self) -> bytes:
        """Digest of which activations these are; the labels have no part in it."""


@dataclass(frozen=True)
class LabelledActivations:
    """:class:`Examples` in memory.

    Attributes:
        values: as many arrays as the learner has inputs, each with n rows, float32.
        labels: (n,) int64, 0 to classes - 1.
    """

    values: Activations
    labels: Labels

    def read(self, indices: npt.NDArray[np.int64]) -> Activations:
        """Copies of the rows with these indices."""
        return [part[indices] for part in self.values]

    def fingerprint(self) -> bytes:
        """Digest of all values."""
        digest = hashlib.sha256()
        for part in self.values:
            digest.update(f"{part.shape} {part.dtype}".encode() + np.ascontiguousarray(part).tobytes())
        return digest.digest()


class Learner(Protocol):
    """Something with weights that becomes better by steps of Adam."""

    def prepare(self, values: Activations) -> Activations:
        """Turn what examples give into what :meth:`step` takes: done once where the examples are in memory."""

    def step(self, values: Activations, labels: Labels, weights: Weights, rate: float) -> tuple[float, float]:
        """Take one step.

        Args:
            values: of n slices, from :meth:`prepare`.
            labels: (n,) int64.
            weights: (n,) float32, how much each slice counts; the loss is sum(weight * cross-entropy) / n + penalty.
            rate: learning rate.

        Returns:
            Cross-entropy without penalty, sum(weight * cross-entropy) / sum(weight), and accuracy, both before the step.
        """

    def predict(self, values: Activations) -> npt.NDArray[np.float32]:
        """Probabilities, (n, classes) float32, for what examples give."""

    def get_weights(self) -> list[npt.NDArray[np.float32]]:
        """Copies of the weights that steps change."""

    def set_weights(self, weights: Sequence[npt.NDArray[np.float32]]) -> None:
        """Take the weights from :meth:`get_weights`."""

    def get_state(self) -> list[npt.NDArray[Any]]:
        """Copies of all that the next step depends on: weights, Adam's moments, how far random numbers were drawn."""

    def set_state(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Take the state from :meth:`get_state`."""

    def describe(self) -> str:
        """Whatever else decides what a step does: the same in every process that builds the same learner."""


def fit(
    learner: Learner,
    training: Examples,
    validation: Examples | None,
    options: FittingOptions,
    *,
    seed: int,
    title: str | None,
    checkpoint: Path | None = None,
    keep_checkpoint: bool = False,
) -> History:
    """Fit ``learner`` in place and leave it with the weights of its best epoch, or of its last without ``patience``.

    The best epoch is the first with the smallest validation loss: the cross-entropy, where every class counts the same as in
    training (or stopping would work against it), without the weight penalty, which says how to learn and not how well it
    went. A head that knows nothing has the loss ln(classes), on any split.

    Args:
        learner: with its initial weights.
        training: what it learns from.
        validation: what decides when to stop; None, without ``patience``, where nothing is set aside to be told how it goes.
        options: see :class:`FittingOptions`.
        seed: of the order of the slices; epoch k has the same order however often fitting was interrupted before.
        title: what the progress bar says; None shows no bar.
        checkpoint: file that keeps the state after every epoch. A call with the same inputs goes on from there and ends
            with the same weights, bit for bit; a checkpoint of anything else is ignored.
        keep_checkpoint: whether the file stays after the end, so that the same call ends at once; else it is removed.

    Returns:
        One row an epoch, counted from 1: ``epoch``, ``learning_rate`` (at its last step), ``loss``, ``accuracy``,
        ``val_loss``, ``val_accuracy``, ``kept`` (1 for the epoch whose weights are kept, 0 for the others). Losses are
        weighted by class, accuracies are not. Without validation there is no ``val_loss`` and no ``val_accuracy``.

    Raises:
        FittingError: a loss is not finite.
        ValueError: there is nothing to learn from, or nothing to decide when to stop.
    """
    if validation is None and options.patience is not None:
        raise ValueError(f"fitting.patience={options.patience} needs slices for validation, received none")
    for name, part in (("training", training), ("validation", validation)):
        if part is not None and not len(part.labels):
            raise ValueError(f"fitting needs at least one slice for {name}, received none")
    digest = "" if checkpoint is None else _digest(learner, training, validation, options, seed)
    resumed = None if checkpoint is None else checkpoints.read(checkpoint, digest)
    history: History = resumed.history if resumed else []
    best = resumed.best if resumed else learner.get_weights()
    if resumed:
        learner.set_state(resumed.state)
    steps = -(-len(training.labels) // options.batch_size)
    seen = _Part(_prepared(learner, training), training.labels, _row_weights(training.labels, options))
    unseen = (
        None
        if validation is None
        else _Part(validation.read, validation.labels, _row_weights(validation.labels, options))
    )
    # The matrices are so small that BLAS threads would only wait for each other.
    with (
        threadpool_limits(1, user_api="blas"),
        tqdm(
            total=options.epochs * steps,
            initial=len(history) * steps,
            desc=title,
            unit="step",
            disable=title is None,
        ) as bar,
    ):
        while not _ended(history, options):
            row = _train_an_epoch(learner, seen, options, len(history), seed, bar)
            row |= {} if unseen is None else _validate(learner, unseen)
            _require_finite(row)
            history.append(row)
            judged = "loss" if unseen is None else "val_loss"
            bar.set_postfix({"epoch": f"{len(history)}/{options.epochs}", judged: f"{row[judged]:.4f}"}, refresh=False)
            if _kept(history, options) is row:
                best = learner.get_weights()
            if checkpoint is not None:
                checkpoints.write(checkpoint, Checkpoint(digest, history, best, learner.get_state()))
    learner.set_weights(best)
    if checkpoint is not None and not keep_checkpoint:
        checkpoint.unlink(missing_ok=True)
    kept = _kept(history, options)
    return [{**row, "kept": float(row is kept)} for row in history]


def predict(learner: Learner, examples: Readable) -> npt.NDArray[np.float32]:
    """Probabilities, (n, classes) float32, of examples that are read a few at a time."""
    every = np.arange(len(examples.labels))
    return np.concatenate([learner.predict(examples.read(every[start : start + READ])) for start in every[::READ]])


def cross_entropies(probabilities: npt.NDArray[np.floating[Any]], labels: Labels) -> npt.NDArray[np.float64]:
    """Minus the logarithm of what each slice's class was given, (n,); see :data:`SMALLEST_PROBABILITY`."""
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.maximum(given, SMALLEST_PROBABILITY)))


def weighted_loss(probabilities: npt.NDArray[np.floating[Any]], labels: Labels, class_weighting: ClassWeights) -> float:
    """Mean cross-entropy, each class counting the same where it is ``balanced``."""
    weights = class_weights(labels) if class_weighting == "balanced" else {}
    return float(
        np.average(cross_entropies(probabilities, labels), weights=[weights.get(k, 1.0) for k in labels.tolist()])
    )


def kept_epoch(history: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Row of the epoch whose weights are kept."""
    return next(row for row in history if row["kept"])


def _kept(history: History, options: FittingOptions) -> dict[str, float]:
    """Row with the smallest validation loss, the first of equals; the last where none decides."""
    return history[-1] if options.patience is None else min(history, key=lambda row: row["val_loss"])


def class_weights(labels: Labels) -> dict[int, float]:
    """Weights that make every class count the same: n / (classes * n_class) (King and Zeng 2001)."""
    present, counts = np.unique(labels, return_counts=True)
    return {int(label): len(labels) / (len(present) * count) for label, count in zip(present, counts, strict=True)}


@dataclass(frozen=True)
class _Part:
    """Training or validation: how to read slices, their labels, and how much each counts."""

    read: Callable[[npt.NDArray[np.int64]], Activations]
    labels: Labels
    weights: Weights


def _row_weights(labels: Labels, options: FittingOptions) -> Weights:
    """How much each slice counts."""
    weights = class_weights(labels) if options.class_weights == "balanced" else {}
    return np.array([weights.get(label, 1.0) for label in labels.tolist()], np.float32)


def _prepared(learner: Learner, examples: Examples) -> Callable[[npt.NDArray[np.int64]], Activations]:
    """From indices to what steps take."""
    if isinstance(examples, LabelledActivations):
        return LabelledActivations(learner.prepare(examples.values), examples.labels).read
    return lambda indices: learner.prepare(examples.read(indices))


def _ended(history: History, options: FittingOptions) -> bool:
    if not history or options.patience is None:
        return len(history) == options.epochs
    return len(history) == options.epochs or len(history) - _kept(history, options)["epoch"] >= options.patience


def _train_an_epoch(
    learner: Learner, part: _Part, options: FittingOptions, done: int, seed: int, bar: tqdm[Any]
) -> dict[str, float]:
    """One pass over ``part`` in an order that depends on the seed and on the number of epochs ``done`` alone."""
    order = np.random.default_rng([seed, done]).permutation(len(part.labels))
    starts = range(0, len(order), options.batch_size)
    loss = correct = rate = 0.0
    for number, start in enumerate(starts, start=1):
        rows = order[start : start + options.batch_size]
        rate = _rate(options, done + number / len(starts))
        weights = part.weights[rows]
        mean, accuracy = learner.step(part.read(rows), part.labels[rows], weights, rate)
        loss += mean * float(weights.sum())
        correct += accuracy * len(rows)
        bar.update()
    return {
        "epoch": done + 1,
        "learning_rate": rate,
        "loss": loss / float(part.weights.sum()),
        "accuracy": correct / len(order),
    }


def _rate(options: FittingOptions, epochs: float) -> float:
    """Learning rate of the step that ends ``epochs`` epochs after the start."""
    return options.learning_rate * min(1.0, epochs / options.warm_up) if options.warm_up else options.learning_rate


def _validate(learner: Learner, part: _Part) -> dict[str, float]:
    labels, weights = part.labels, part.weights
    given = predict(learner, part)
    entropy = cross_entropies(given, labels)
    return {
        "val_loss": float(weights @ entropy / weights.sum(dtype=np.float64)),
        "val_accuracy": float((given.argmax(axis=1) == labels).mean()),
    }


def _require_finite(row: Mapping[str, float]) -> None:
    for name in sorted({"loss", "val_loss"} & row.keys()):
        if not np.isfinite(row[name]):
            raise FittingError(
                f"{name} is {row[name]} after epoch {row['epoch']:g} at a learning rate of {row['learning_rate']:g}; "
                f"take a smaller learning_rate, or look for activations that are not finite"
            )


def _digest(
    learner: Learner, training: Examples, validation: Examples | None, options: FittingOptions, seed: int
) -> str:
    """What is being fitted."""
    digest = hashlib.sha256(f"{learner.describe()} {options} {seed}".encode())
    for part in (training,) if validation is None else (training, validation):
        digest.update(part.fingerprint() + part.labels.tobytes())
    for array in learner.get_state():
        digest.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

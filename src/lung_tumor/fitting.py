"""Fitting the trainable part of a network on activations of its frozen part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from lung_tumor.features import Activations
from lung_tumor.options import require_types

if TYPE_CHECKING:
    import keras

ClassWeights = Literal["balanced", "none"]
History = list[dict[str, float]]
"""One row an epoch: ``epoch``, ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``."""


@dataclass(frozen=True)
class FittingOptions:
    """``params:training.fitting``.

    Attributes:
        epochs: most epochs.
        batch_size: slices a step.
        learning_rate: of Adam, for the head.
        fine_tuning_rate: of Adam, where blocks of the base train too (``network.frozen_blocks`` below 5).
        patience: epochs without a better validation loss before fitting stops; the best weights are kept.
        class_weights: ``balanced`` weighs each class by the inverse of its share.
    """

    epochs: int = 200
    batch_size: int = 32
    learning_rate: float = 0.001
    fine_tuning_rate: float = 0.00001
    patience: int = 20
    class_weights: ClassWeights = "balanced"

    def __post_init__(self) -> None:
        require_types(self, "fitting")
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"fitting.{name} must be at least 1, received {getattr(self, name)}")
        for name in ("learning_rate", "fine_tuning_rate"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"fitting.{name} must lie in (0, 1), received {getattr(self, name)}")
        if self.class_weights not in get_args(ClassWeights):
            raise ValueError(
                f"fitting.class_weights must be one of {get_args(ClassWeights)}, received {self.class_weights!r}"
            )


@dataclass(frozen=True)
class LabelledActivations:
    """Activations with the index of each slice's class.

    Attributes:
        values: as many arrays as the tail has inputs, each with n rows, float32.
        labels: (n,) int64, 0 to classes - 1.
    """

    values: Activations
    labels: npt.NDArray[np.int64]


def fit(
    tail: keras.Model,
    training: LabelledActivations,
    validation: LabelledActivations,
    options: FittingOptions,
    *,
    rate: float,
    seed: int,
    title: str,
) -> History:
    """Fit the trainable weights of ``tail`` in place and leave it with those of its best epoch.

    Returns:
        The history, one row an epoch.
    """
    import keras
    from tqdm.keras import TqdmCallback

    keras.utils.set_random_seed(seed)
    weights = class_weights(training.labels) if options.class_weights == "balanced" else {}
    tail.compile(keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = tail.fit(
        training.values,
        training.labels,
        validation_data=(validation.values, validation.labels, _row_weights(validation.labels, weights)),
        epochs=options.epochs,
        batch_size=options.batch_size,
        class_weight=weights or None,
        callbacks=[
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=options.patience, restore_best_weights=True),
            TqdmCallback(epochs=options.epochs, verbose=0, desc=title),
        ],
        verbose=0,
    )
    return to_rows(history.history)


def _row_weights(labels: npt.NDArray[np.int64], weights: dict[int, float]) -> npt.NDArray[np.float32]:
    """Weight of each row: validation must weigh the classes as training does, or stopping would work against it."""
    return np.array([weights.get(int(label), 1.0) for label in labels], dtype=np.float32)


def best_epoch(history: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Row with the smallest validation loss, the first of equals: the epoch whose weights are kept."""
    return min(history, key=lambda row: row["val_loss"])


def to_rows(columns: dict[str, Sequence[float]]) -> History:
    """Turn Keras's columns into one row an epoch, counted from 1."""
    names = list(columns)
    return [
        {"epoch": epoch, **dict(zip(names, map(float, values), strict=True))}
        for epoch, values in enumerate(zip(*columns.values(), strict=True), start=1)
    ]


def class_weights(labels: npt.NDArray[np.int64]) -> dict[int, float]:
    """Weights that make every class count the same: n / (classes * n_class) (King and Zeng 2001)."""
    present, counts = np.unique(labels, return_counts=True)
    return {int(label): len(labels) / (len(present) * count) for label, count in zip(present, counts, strict=True)}

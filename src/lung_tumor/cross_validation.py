"""Cross-validation over the grouped folds of the manifest: every picture is judged by a model that never saw its group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lung_tumor.cohort import Cohort, Indices
from lung_tumor.fitting import FittingOptions
from lung_tumor.tail_learner import Precision
from lung_tumor.training import Fitted, Probabilities, train

if TYPE_CHECKING:
    import keras

FEWEST_FOLDS = 3
"""One to judge on, one to decide when to stop, one to learn from."""


@dataclass(frozen=True)
class Fold:
    """Pictures of one round.

    Attributes:
        number: the fold that is held out.
        seen: pictures to learn from.
        stopping: pictures that decide when to stop: the next fold.
        held_out: pictures that are judged.
    """

    number: int
    seen: Indices
    stopping: Indices
    held_out: Indices


def rounds(folds: npt.NDArray[np.int64]) -> list[Fold]:
    """Divide pictures by their folds; what a model is judged on has no part in when its fitting stops.

    Raises:
        ValueError: fewer than three folds.
    """
    numbers = sorted(set(folds.tolist()))
    if len(numbers) < FEWEST_FOLDS:
        raise ValueError(
            f"cross-validation needs at least {FEWEST_FOLDS} folds, the manifest has {len(numbers)}; "
            "raise data_ingestion.split.folds"
        )
    following = dict(zip(numbers, [*numbers[1:], numbers[0]], strict=True))
    return [
        Fold(
            number,
            np.flatnonzero((folds != number) & (folds != following[number])),
            np.flatnonzero(folds == following[number]),
            np.flatnonzero(folds == number),
        )
        for number in numbers
    ]


def cross_validate(
    model: keras.Model,
    cohort: Cohort,
    head: FittingOptions,
    fine_tuning: FittingOptions,
    seed: int,
    *,
    precision: Precision = "float32",
    checkpoint: Path | None = None,
) -> Iterator[tuple[Fold, Fitted, Probabilities]]:
    """Fit the trainable part anew for each fold; yields the round, the fit, and probabilities of the held-out pictures.

    The model's weights are put back after each round.

    Args:
        model: untrained.
        cohort: see :func:`lung_tumor.training.train`, as for the options.
        head: of the first phase.
        fine_tuning: of the second, where blocks train.
        seed: of every round.
        precision: what blocks that train compute in.
        checkpoint: where interrupted fine-tuning goes on from; each fold's file is named after it, and all are removed
            once every fold has come to its end.
    """
    initial = model.get_weights()
    for fold in rounds(cohort.folds):
        file = None if checkpoint is None else checkpoint.with_stem(f"{checkpoint.stem}_fold{fold.number}")
        try:
            fitted = train(
                model,
                cohort,
                fold.seen,
                fold.stopping,
                head,
                fine_tuning,
                seed,
                precision=precision,
                checkpoint=file,
                keep_checkpoint=True,
                quiet=True,
            )
            yield fold, fitted, fitted.predict(fold.held_out)
        finally:
            model.set_weights(initial)
    if checkpoint is not None:
        forget(checkpoint)


def forget(checkpoint: Path) -> None:
    """Remove what fine-tuning left for every fold, a hundred megabytes each: a round that is not asked for leaves its file too.

    Args:
        checkpoint: as given to :func:`cross_validate`.
    """
    for file in checkpoint.parent.glob(f"{checkpoint.stem}_fold*{checkpoint.suffix}"):
        file.unlink(missing_ok=True)


def out_of_fold(parts: list[tuple[Fold, Any, Probabilities]], pictures: int) -> Probabilities:
    """Put the probabilities of all rounds in the order of the pictures, (pictures, classes)."""
    joined = np.full((pictures, parts[0][2].shape[1]), np.nan)
    for fold, _, probabilities in parts:
        joined[fold.held_out] = probabilities
    return joined

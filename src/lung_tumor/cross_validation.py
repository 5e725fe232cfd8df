"""Cross-validation over the grouped folds of the manifest: every picture is judged by a model that never saw its group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lung_tumor import network
from lung_tumor.cohort import Cohort, Indices
from lung_tumor.fitting import FittingOptions
from lung_tumor.tail_learner import Precision
from lung_tumor.training import Probabilities, train

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Fold:
    """Pictures of one round.

    Attributes:
        number: the fold that is held out.
        seen: pictures to learn from.
        stopping: pictures that decide when to stop: the next fold; none where nothing is decided (:func:`sets_aside`).
        held_out: pictures that are judged.
    """

    number: int
    seen: Indices
    stopping: Indices
    held_out: Indices


@dataclass(frozen=True)
class Judged:
    """What a round gave; the network itself is let go of.

    Attributes:
        fold: the round.
        epochs: how many were fitted.
        chosen: :data:`~lung_tumor.training.HEAD` or :data:`~lung_tumor.training.FINE_TUNED`.
        probabilities: of the pictures that were held out, (n, classes).
    """

    fold: Fold
    epochs: int
    chosen: str
    probabilities: Probabilities


def sets_aside(head: FittingOptions, *, blocks_train: bool) -> bool:
    """Whether pictures must be set aside to decide something: when to stop, or whether fine-tuning was worth it.

    Where they decide nothing they are learnt from.
    """
    return blocks_train or head.patience is not None


def rounds(folds: npt.NDArray[np.int64], *, stopping: bool) -> list[Fold]:
    """Divide pictures by their folds; what a model is judged on has no part in when its fitting stops.

    Args:
        folds: (n,) fold of each picture.
        stopping: whether a fold is set aside in each round (:func:`sets_aside`), or learnt from too.

    Raises:
        ValueError: too few folds to learn from one.
    """
    numbers = sorted(set(folds.tolist()))
    fewest = 3 if stopping else 2
    if len(numbers) < fewest:
        raise ValueError(
            f"cross-validation needs at least {fewest} folds, the manifest has {len(numbers)}; "
            "raise data_ingestion.split.folds"
        )
    following = dict(zip(numbers, [*numbers[1:], numbers[0]], strict=True))
    rounds_of = []
    for number in numbers:
        held_out = folds == number
        aside = (folds == following[number]) & stopping
        rounds_of.append(Fold(number, *(np.flatnonzero(part) for part in (~held_out & ~aside, aside, held_out))))
    return rounds_of


def cross_validate(
    model: keras.Model,
    cohort: Cohort,
    head: FittingOptions,
    fine_tuning: FittingOptions,
    seed: int,
    *,
    precision: Precision = "float32",
    checkpoint: Path | None = None,
) -> Iterator[Judged]:
    """Fit the trainable part anew for each fold; yields what it gave for the held-out pictures.

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
    for fold in rounds(cohort.folds, stopping=sets_aside(head, blocks_train=network.trains_blocks(model))):
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
            judged = Judged(fold, len(fitted.history), fitted.chosen, fitted.predict(fold.held_out))
            del fitted  # It holds a network, which must not wait for the next one.
            yield judged
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


def out_of_fold(parts: Sequence[Judged], pictures: int) -> Probabilities:
    """Put the probabilities of all rounds in the order of the pictures, (pictures, classes)."""
    joined = np.full((pictures, parts[0].probabilities.shape[1]), np.nan)
    for part in parts:
        joined[part.fold.held_out] = part.probabilities
    return joined

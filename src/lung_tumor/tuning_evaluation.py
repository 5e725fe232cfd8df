"""What a configuration reaches on grouped folds: the function that :mod:`lung_tumor.tuning` searches with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lung_tumor import network
from lung_tumor.cohort import Cohort
from lung_tumor.cross_validation import Fold, rounds, sets_aside
from lung_tumor.errors import FittingError
from lung_tumor.fitting import FittingOptions, class_weights, cross_entropies, fit
from lung_tumor.head_learner import HeadLearner
from lung_tumor.network import Cut, NetworkOptions
from lung_tumor.roc import macro_area
from lung_tumor.training import Probabilities
from lung_tumor.tuning_memory import Configuration, FoldScore
from lung_tumor.tuning_options import TuningOptions

FineTuned = Callable[[Configuration], Iterator[tuple[Fold, Probabilities]]]
"""Rounds of cross-validation of a configuration in which blocks train."""


def searched_cuts(options: TuningOptions, default: NetworkOptions) -> tuple[Cut, ...]:
    """The activations that heads of a search may read, the present head's among them."""
    pairs = {(block, head) for blocks in options.feature_blocks for block in blocks for head in options.head}
    pairs |= {(block, default.head) for block in default.read_blocks}
    return tuple(sorted(Cut(block, head) for block, head in pairs))  # type: ignore[arg-type]


def sets_aside_in_search(options: TuningOptions, default: NetworkOptions, head: FittingOptions) -> bool:
    """Whether each round of each trial sets pictures aside (:func:`~lung_tumor.cross_validation.sets_aside`).

    All do where one may fine-tune: a head must not look better than fine-tuning because it learnt from more.
    """
    return sets_aside(head, blocks_train=min(default.frozen_blocks, *options.frozen_blocks) < len(network.BLOCKS))


def evaluator(
    cohort: Cohort, classes: int, head: FittingOptions, fine_tuned: FineTuned, seed: int, *, stopping: bool
) -> Callable[[Configuration], Iterator[FoldScore]]:
    """Scores of a configuration, fold after fold.

    Args:
        cohort: gives :func:`searched_cuts`, from memory, with as many views as a search may choose.
        classes: number of classes.
        head: how heads are fitted, but for the learning rate.
        fine_tuned: does the same where blocks train.
        seed: of initial weights and shuffling.
        stopping: whether heads set a fold aside, which those that fine-tune do in any case (:func:`sets_aside_in_search`).

    Returns:
        A function whose scores are cross-entropies of held-out pictures, weighted by class; chance is log(classes).
    """
    weights = class_weights(cohort.labels)

    def score(fold: Fold, probabilities: Probabilities) -> FoldScore:
        labels = cohort.labels[fold.held_out]
        of_rows = np.array([weights[label] for label in labels.tolist()])
        loss = float(of_rows @ cross_entropies(probabilities, labels) / of_rows.sum())
        return FoldScore(loss, macro_area(labels, probabilities))

    def evaluate(configuration: Configuration) -> Iterator[FoldScore]:
        try:
            yield from folds_of(configuration)
        except FittingError:  # a rate too high, for one: no reason to end the search
            yield FoldScore(float("nan"))

    def folds_of(configuration: Configuration) -> Iterator[FoldScore]:
        if configuration.network.frozen_blocks < len(network.BLOCKS):
            yield from (score(*judged) for judged in fine_tuned(configuration))
            return
        for fold in rounds(cohort.folds, stopping=stopping):
            yield score(fold, _held_out(cohort, fold, configuration, classes, head, seed))

    return evaluate


def _held_out(
    cohort: Cohort, fold: Fold, configuration: Configuration, classes: int, head: FittingOptions, seed: int
) -> npt.NDArray[np.float32]:
    options = configuration.network
    cuts = [Cut(block, options.head) for block in options.read_blocks]
    training = cohort.loaded(cuts, fold.seen, views=configuration.views)
    learner = HeadLearner(network.moments(training.values), classes, options, seed)
    fit(
        learner,
        training,
        cohort.loaded(cuts, fold.stopping) if len(fold.stopping) else None,
        replace(head, learning_rate=configuration.learning_rate),
        seed=seed,
        title=None,
    )
    return learner.predict(cohort.loaded(cuts, fold.held_out).values)

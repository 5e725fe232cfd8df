"""What a configuration is fitted on, and judged by, in a search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lung_tumor import tuning_evaluation
from lung_tumor.cohort import Cohort, Loaded
from lung_tumor.fitting import FittingOptions
from lung_tumor.network import Cut, NetworkOptions
from lung_tumor.tuning_evaluation import evaluator, sets_aside_in_search
from lung_tumor.tuning_memory import Configuration
from lung_tumor.tuning_options import TuningOptions

FOLDS = np.repeat([0, 1, 2, 3], 5)
HEAD = Configuration(NetworkOptions(), learning_rate=0.01, views=0)


def cohort() -> Cohort:
    """Twenty pictures in four folds; the first of three features is the class."""
    labels = np.tile([0, 1], 10)
    features = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)
    features[:, 0] = labels
    return Cohort(
        remembered=Loaded({Cut(4, "average"): features}),
        first=np.arange(20),
        views=np.zeros(20, np.intp),
        labels=labels,
        groups=[str(number) for number in range(20)],
        folds=FOLDS,
    )


def refused(configuration: Configuration) -> Any:
    raise AssertionError("no block trains")


@pytest.mark.parametrize(("stopping", "sizes"), [(True, (10, 5)), (False, (15, None))])
def test_heads_learn_from_every_other_fold_unless_one_is_set_aside(
    stopping: bool, sizes: tuple[int, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, seen = tuning_evaluation.fit, []

    def noted(learner: Any, training: Any, validation: Any, *rest: Any, **options: Any) -> Any:
        seen.append((len(training.labels), None if validation is None else len(validation.labels)))
        return fit(learner, training, validation, *rest, **options)

    monkeypatch.setattr(tuning_evaluation, "fit", noted)
    options = FittingOptions(epochs=30, patience=None)
    scores = list(evaluator(cohort(), 2, options, refused, seed=1, stopping=stopping)(HEAD))
    assert seen == [sizes] * 4
    assert all(score.score < np.log(2) for score in scores)


@pytest.mark.parametrize(
    ("patience", "present", "searched", "aside"),
    [(None, 5, (5,), False), (7, 5, (5,), True), (None, 4, (5,), True), (None, 5, (5, 4), True)],
)
def test_all_trials_set_a_fold_aside_where_any_needs_one(
    patience: int | None, present: int, searched: tuple[int, ...], aside: bool
) -> None:
    options, head = TuningOptions(frozen_blocks=searched), FittingOptions(patience=patience)
    assert sets_aside_in_search(options, NetworkOptions(frozen_blocks=present), head) == aside

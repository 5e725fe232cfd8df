"""Rounds of cross-validation."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lung_tumor import cross_validation
from lung_tumor.cross_validation import Judged, cross_validate, out_of_fold, rounds, sets_aside
from lung_tumor.fitting import FittingOptions
from lung_tumor.training import HEAD, Fitted

FOLDS = np.array([2, 0, 1, 1, 0, 2, 3])


@pytest.mark.parametrize("stopping", [True, False])
def test_what_is_judged_has_no_part_in_learning_or_stopping(stopping: bool) -> None:
    for fold in rounds(FOLDS, stopping=stopping):
        parts = [set(part.tolist()) for part in (fold.seen, fold.stopping, fold.held_out)]
        assert set.union(*parts) == set(range(len(FOLDS)))
        assert sum(map(len, parts)) == len(FOLDS)
        assert set(FOLDS[fold.held_out]) == {fold.number}
        assert len(set(FOLDS[fold.stopping])) == stopping


def test_every_picture_is_held_out_once_and_stops_once() -> None:
    for name in ("held_out", "stopping"):
        positions = np.concatenate([getattr(fold, name) for fold in rounds(FOLDS, stopping=True)])
        assert sorted(positions.tolist()) == list(range(len(FOLDS)))


@pytest.mark.parametrize(("stopping", "folds", "fewest"), [(True, [0, 1, 1], 3), (False, [1, 1], 2)])
def test_folds_can_be_too_few(stopping: bool, folds: list[int], fewest: int) -> None:
    has = f"needs at least {fewest} folds, the manifest has {fewest - 1}; raise data_ingestion.split.folds"
    with pytest.raises(ValueError, match=has):
        rounds(np.array(folds), stopping=stopping)


@pytest.mark.parametrize(
    ("patience", "blocks_train", "aside"), [(None, False, False), (3, False, True), (None, True, True), (3, True, True)]
)
def test_a_fold_is_set_aside_only_where_it_decides_something(
    patience: int | None, blocks_train: bool, aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = FittingOptions(patience=patience)
    assert sets_aside(head, blocks_train=blocks_train) == aside
    monkeypatch.setattr(cross_validation.network, "trains_blocks", lambda model: blocks_train)
    fits = validated(head, monkeypatch)
    assert [len(fold.fold.stopping) > 0 for fold in fits] == [aside] * 4


def validated(head: FittingOptions, monkeypatch: pytest.MonkeyPatch, made: list[Any] | None = None) -> list[Judged]:
    """Every round of a network that learns nothing."""

    def train(model: Any, cohort: Any, seen: np.ndarray, unseen: np.ndarray, *rest: Any, **options: Any) -> Fitted:
        fitted = Fitted([{}] * 3, {}, HEAD, lambda pictures: np.ones((len(pictures), 2)))
        if made is not None:
            assert all(one() is None for one in made), "the network of the round before is gone"
            made.append(weakref.ref(fitted))
        return fitted

    monkeypatch.setattr(cross_validation, "train", train)
    model = SimpleNamespace(layers=[], get_weights=list, set_weights=lambda weights: None)
    return list(cross_validate(model, SimpleNamespace(folds=FOLDS), head, head, 1))  # type: ignore[arg-type]


def test_nothing_is_kept_of_a_network_once_its_fold_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    judged = validated(FittingOptions(), monkeypatch, made)
    assert len(made) == 4
    assert all(one() is None for one in made)
    assert [(one.epochs, one.chosen, len(one.probabilities)) for one in judged] == [
        (3, HEAD, count) for count in (2, 2, 2, 1)
    ]


def test_predictions_return_to_the_order_of_the_pictures() -> None:
    parts = [
        Judged(fold, 1, HEAD, np.column_stack([fold.held_out, -fold.held_out]))
        for fold in rounds(FOLDS, stopping=False)
    ]
    assert out_of_fold(parts, len(FOLDS)).tolist() == [[index, -index] for index in range(len(FOLDS))]

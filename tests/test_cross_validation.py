"""Rounds of cross-validation."""

from __future__ import annotations

import numpy as np
import pytest

from lung_tumor.cross_validation import out_of_fold, rounds

FOLDS = np.array([2, 0, 1, 1, 0, 2, 3])


def test_what_is_judged_has_no_part_in_learning_or_stopping() -> None:
    for fold in rounds(FOLDS):
        parts = [set(part.tolist()) for part in (fold.seen, fold.stopping, fold.held_out)]
        assert set.union(*parts) == set(range(len(FOLDS)))
        assert sum(map(len, parts)) == len(FOLDS)
        assert set(FOLDS[fold.held_out]) == {fold.number}
        assert len(set(FOLDS[fold.stopping])) == 1


def test_every_picture_is_held_out_once_and_stops_once() -> None:
    for name in ("held_out", "stopping"):
        positions = np.concatenate([getattr(fold, name) for fold in rounds(FOLDS)])
        assert sorted(positions.tolist()) == list(range(len(FOLDS)))


def test_two_folds_are_too_few() -> None:
    with pytest.raises(
        ValueError, match=r"needs at least 3 folds, the manifest has 2; raise data_ingestion.split.folds"
    ):
        rounds(np.array([0, 1, 1]))


def test_predictions_return_to_the_order_of_the_pictures() -> None:
    parts = [(fold, None, np.column_stack([fold.held_out, -fold.held_out])) for fold in rounds(FOLDS)]
    assert out_of_fold(parts, len(FOLDS)).tolist() == [[index, -index] for index in range(len(FOLDS))]

"""A served model over many slices."""

from __future__ import annotations

import numpy as np
import pytest

from lung_tumor.judging import BATCH, judge_all
from lung_tumor.network import NetworkOptions
from lung_tumor.predictor import Predictor
from tests.support.classifiers import pixels
from tests.support.served import served, standardised


def _predictor() -> Predictor:
    return Predictor(served(standardised(NetworkOptions(feature_blocks=(1, 2)))), threads=1)


def test_batches_change_nothing_and_the_order_stays() -> None:
    predictor, slices = _predictor(), pixels(2 * BATCH + 3)
    together, apart = judge_all(predictor, iter(slices), len(slices), "Slices"), predictor.judge(slices)
    assert together.probabilities.shape == (len(slices), len(predictor.metadata.classes))
    for name in ("probabilities", "evidence", "unusual_evidence", "distances"):
        np.testing.assert_allclose(getattr(together, name), getattr(apart, name), atol=1e-5)


def test_no_slice_is_an_error() -> None:
    with pytest.raises(ValueError, match="no slice to judge"):
        judge_all(_predictor(), iter([]), 0, "Slices")

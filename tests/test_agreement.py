"""Whether decisions on remembered activations are those of the whole network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lung_tumor import network
from lung_tumor.agreement import NOTHING_TO_COMPARE, check, compare_decisions
from lung_tumor.computation import Computation
from lung_tumor.feature_store import FeatureStore
from lung_tumor.imaging import to_network_input
from lung_tumor.network import NetworkOptions
from tests.support.classifiers import NARROW, openers, pixels, small_classifier

SHORT = Computation("keras", "bfloat16")


def test_decisions_are_counted_and_the_largest_difference_is_found() -> None:
    one = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.5, 0.5]])
    other = np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    facts = compare_decisions(one, other)
    assert facts == {"slices": 4, "share": 0.75, "largest_difference": pytest.approx(0.2)}


@pytest.mark.parametrize(
    "options",
    [NetworkOptions(feature_blocks=(1, 2)), NetworkOptions(feature_blocks=(1,), frozen_blocks=1)],
    ids=["the head trains", "a block trains"],
)
def test_the_whole_network_is_what_activations_are_held_against(
    options: NetworkOptions, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW[:2])
    classifier, slices = small_classifier(options=options), pixels(35)
    whole = np.asarray(classifier.model.predict_on_batch(to_network_input(slices)))
    store = FeatureStore(tmp_path / "features.sqlite", 2**30)

    def checked(remembered: np.ndarray, computation: Computation = SHORT) -> dict[str, Any]:
        return check(classifier.model, openers(slices), computation, lambda: remembered, store)

    with caplog.at_level(logging.WARNING):
        facts = checked(whole)
        assert (facts["slices"], facts["share"]) == (35, 1.0)
        assert facts["largest_difference"] < 1e-5
        assert caplog.text == ""
        wrong = checked(whole[:, ::-1])
    assert wrong["share"] == 0.0
    assert "decide alike on 0.0 % of 35 slices" in caplog.text
    assert "features.computation.engine=keras" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        again = checked(whole)
    assert again == facts
    assert "Check in float32: 0 of 35 slices computed" in caplog.text, "what was computed once is remembered"


def test_where_the_network_itself_was_asked_there_is_nothing_to_compare() -> None:
    def not_asked() -> np.ndarray:
        raise AssertionError("probabilities were computed")

    found = check(small_classifier().model, openers(pixels(3)), Computation("keras", "float32"), not_asked, None)
    assert found == NOTHING_TO_COMPARE == {"slices": 0, "share": None, "largest_difference": None}

"""Whether decisions on remembered activations are those of the whole network."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from lung_tumor.agreement import compare_decisions, with_whole_network
from lung_tumor.imaging import to_network_input
from tests.support.classifiers import pixels, small_classifier


def test_decisions_are_counted_and_the_largest_difference_is_found() -> None:
    one = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.5, 0.5]])
    other = np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    facts = compare_decisions(one, other)
    assert facts == {"slices": 4, "share": 0.75, "largest_difference": pytest.approx(0.2)}


def test_activations_that_decide_otherwise_are_warned_of_with_the_way_out(caplog: pytest.LogCaptureFixture) -> None:
    classifier, slices = small_classifier(), pixels(9)
    whole = np.asarray(classifier.model.predict_on_batch(to_network_input(slices)))
    with caplog.at_level(logging.WARNING):
        facts = with_whole_network(classifier.model, slices, whole)
        assert facts["share"] == 1.0
        assert facts["largest_difference"] < 1e-5
        assert caplog.text == ""
        wrong = with_whole_network(classifier.model, slices, whole[:, ::-1])
    assert wrong["share"] == 0.0
    assert "decide alike on 0.0 % of 9 slices" in caplog.text
    assert "features.computation.engine=keras" in caplog.text

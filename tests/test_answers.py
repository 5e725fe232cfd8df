"""The four answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lung_tumor.answers import Answer, Decision, decide
from lung_tumor.imaging import PreparationOptions
from lung_tumor.metadata import ModelMetadata
from lung_tumor.novelty import NoveltyRule
from lung_tumor.operating_point import OperatingPoint

MODEL = ModelMetadata(
    classes=("adenocarcinoma", "normal", "squamous"),
    synthetic=False,
    source="made up",
    slices=9,
    preparation=PreparationOptions(),
    operating_point=OperatingPoint("normal", 0.4, 0.3, 0.5, 0.95, 0.96, 0.8, 9),
    novelty=NoveltyRule(0.2, 3, 0.97, 9, (4,)),
)


def answer(suspected: float, distance: float = 0.1, share: float = 0.75) -> Decision:
    """Of a suspicion of which so much goes to the first class."""
    row = [[suspected * share, 1.0 - suspected, suspected * (1.0 - share)]]
    (found,) = decide(np.array(row), np.array([distance]), MODEL)
    return found


@pytest.mark.parametrize(
    ("suspected", "expected"),
    [(0.0, "clear"), (0.29, "clear"), (0.3, "uncertain"), (0.49, "uncertain"), (0.5, "suspected"), (1.0, "suspected")],
)
def test_the_suspicion_decides_and_the_band_is_referred(suspected: float, expected: str) -> None:
    found = answer(suspected)
    assert found.answer == expected
    assert found.suspicion == pytest.approx(suspected)


def test_headlines_name_the_likeliest_disease_and_all_that_were_looked_for() -> None:
    assert answer(0.9).headline == "adenocarcinoma suspected"
    assert answer(0.9, share=0.2).headline == "squamous suspected"
    assert answer(0.1).headline == "no sign of adenocarcinoma or squamous"
    assert answer(0.4).headline == "uncertain: refer"


def test_what_is_farther_than_the_limit_is_refused_whatever_its_suspicion() -> None:
    assert answer(0.9, distance=0.2).answer == Answer.SUSPECTED
    found = answer(0.9, distance=0.2001)
    assert found.answer == Answer.REFUSED
    assert "no probability of it can be believed" in found.sentence


@pytest.mark.parametrize(("suspected", "distance"), [(float("nan"), 0.1), (0.2, float("nan"))])
def test_a_figure_that_is_no_number_is_refused_and_never_cleared(suspected: float, distance: float) -> None:
    assert answer(suspected, distance).answer == Answer.REFUSED


def test_a_model_without_an_operating_point_gives_no_answer() -> None:
    with pytest.raises(ValueError, match="carries no operating point"):
        decide(np.ones((1, 3)) / 3, np.zeros(1), replace(MODEL, operating_point=None))

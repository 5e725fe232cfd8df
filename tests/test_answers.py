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

ELSEWHERE = "A slice unlike those learnt from, such as another hospital's, may be cleared wrongly."
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


@pytest.mark.parametrize(
    ("suspected", "sentence"),
    [
        (0.9996, "The suspicion of over 99.9 % lies above the operating point of 40.0 %."),
        (1.0, "The suspicion of over 99.9 % lies above the operating point of 40.0 %."),
        (0.0, "The suspicion of under 0.1 % lies below the operating point of 40.0 %. " + ELSEWHERE),
        (0.6132, "The suspicion of 61.3 % lies above the operating point of 40.0 %."),
    ],
)
def test_no_sentence_tells_a_probability_as_certainty(suspected: float, sentence: str) -> None:
    assert answer(suspected).sentence == sentence


@pytest.mark.parametrize(
    ("suspected", "sentence"),
    [
        (0.40001, "The suspicion of 40.001 % lies above the operating point of 40.000 %."),
        (0.39996, "The suspicion of 39.996 % lies below the operating point of 40.000 %. " + ELSEWHERE),
        (0.4, "The suspicion of 40.0 % lies at the operating point."),
    ],
)
def test_a_suspicion_next_to_the_operating_point_is_told_apart_from_it(suspected: float, sentence: str) -> None:
    without_band = replace(MODEL, operating_point=OperatingPoint("normal", 0.4, 0.4, 0.4, 0.95, 0.96, 0.8, 9))
    row = np.array([[suspected, 1.0 - suspected, 0.0]])
    assert decide(row, np.array([0.1]), without_band)[0].sentence == sentence


def test_a_distance_next_to_the_limit_is_told_apart_from_it() -> None:
    assert "(distance 0.20002) than they differ among each other (limit 0.20000)" in answer(0.9, 0.20002).sentence


FAR = "It differs more from the slices learnt from (distance 0.512) than they differ among each other (limit 0.200)"
TURNED = "looks as if it was turned upside down, or as if its display window had cut off too much"


@pytest.mark.parametrize(
    ("distance", "why"),
    [
        (0.512, FAR),
        (0.9999, FAR.replace("0.512", "1.000")),
        (1.03, f"It {TURNED}"),
        # The distance of a float32 a rounding error below 1.
        (0.99999994, f"It {TURNED}"),
        (1.512, f"{FAR}, and it {TURNED}"),
        (2.03, f"It {TURNED}".replace(", or as", ", and as")),
        (2.512, f"{FAR}, and it {TURNED}".replace(", or as", ", and as")),
    ],
)
def test_a_refusal_names_its_cause(distance: float, why: str) -> None:
    found = answer(0.9, distance)
    assert found.answer == Answer.REFUSED
    assert found.sentence == f"{why}, so no probability of it can be believed."
    assert found.distance == distance


def test_what_is_farther_than_the_limit_is_refused_whatever_its_suspicion() -> None:
    assert answer(0.9, distance=0.2).answer == Answer.SUSPECTED
    found = answer(0.9, distance=0.2001)
    assert found.answer == Answer.REFUSED
    assert "no probability of it can be believed" in found.sentence


@pytest.mark.parametrize(("suspected", "distance"), [(float("nan"), 0.1), (0.2, float("nan"))])
def test_a_figure_that_is_no_number_is_refused_and_never_cleared(suspected: float, distance: float) -> None:
    found = answer(suspected, distance)
    assert found.answer == Answer.REFUSED
    assert found.sentence.startswith("The model's figures for it are no numbers")


def test_a_model_without_an_operating_point_gives_no_answer() -> None:
    with pytest.raises(ValueError, match="carries no operating point"):
        decide(np.ones((1, 3)) / 3, np.zeros(1), replace(MODEL, operating_point=None))

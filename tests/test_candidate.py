"""From a trained classifier to a whole model that could be served."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from lung_tumor import candidate
from lung_tumor.candidate import Pictures
from lung_tumor.network import NetworkOptions
from lung_tumor.novelty import NoveltyOptions
from lung_tumor.operating_point import OperatingPointOptions
from lung_tumor.predictor import Predictor
from tests.support.classifiers import openers, pixels
from tests.support.served import standardised


def pictures(count: int, seed: int) -> Pictures:
    """Of two classes in turn, each a group of its own."""
    return Pictures(openers(pixels(count, seed)), np.arange(count) % 2, [f"{seed}-{number}" for number in range(count)])


def assembled(**novelty: Any) -> tuple[bytes, dict[str, Any]]:
    return candidate.assemble(
        standardised(NetworkOptions(feature_blocks=(2,))),
        pictures(12, seed=1),
        pictures(8, seed=2),
        {},
        OperatingPointOptions(negative="b"),
        NoveltyOptions(blocks=(2,), neighbours=1, **novelty),
    )


def test_the_facts_tell_of_the_very_file_and_of_the_arithmetic_it_computes_in() -> None:
    content, facts = assembled()
    assert facts["candidate_digest"] == hashlib.sha256(content).hexdigest() == Predictor(content, threads=1).digest
    assert Predictor(content, threads=1).metadata.precision == facts["precision"]["precision"]


@pytest.mark.parametrize(("most", "carried"), [(3, 3), (10, 10), (50, 12)])
def test_it_carries_as_many_references_as_the_option_says(
    most: int, carried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer than it learns from anyway, or more: then it learns from more."""
    monkeypatch.setattr(candidate, "LEARNT_FROM", 6)
    _, facts = assembled(most_references=most)
    assert facts["novelty"]["references"] == carried

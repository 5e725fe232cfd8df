"""From a trained classifier to a whole model that could be served."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lung_tumor import candidate, novelty
from lung_tumor.candidate import Pictures
from lung_tumor.network import NetworkOptions
from lung_tumor.novelty import NoveltyOptions
from lung_tumor.operating_point import OperatingPointOptions
from lung_tumor.predictor import Predictor
from tests.support.classifiers import openers, pixels
from tests.support.served import standardised


def pictures(count: int, seed: int, change: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Pictures:
    """Of two classes in turn, each a group of its own."""
    return Pictures(
        openers(change(pixels(count, seed))), np.arange(count) % 2, [f"{seed}-{number}" for number in range(count)]
    )


def assembled(slices: Callable[[np.ndarray], np.ndarray] = np.asarray, **options: Any) -> tuple[bytes, dict[str, Any]]:
    return candidate.assemble(
        standardised(NetworkOptions(feature_blocks=(2,))),
        pictures(12, seed=1, change=slices),
        pictures(8, seed=2),
        {},
        OperatingPointOptions(negative="b"),
        NoveltyOptions(blocks=(2,), neighbours=1, **options),
    )


def test_the_facts_tell_of_the_very_file_and_of_the_arithmetic_it_computes_in() -> None:
    content, facts = assembled()
    assert facts["candidate_digest"] == hashlib.sha256(content).hexdigest() == Predictor(content, threads=1).digest
    assert Predictor(content, threads=1).metadata.precision == facts["precision"]["precision"]


def test_the_limit_of_what_may_be_cut_off_is_that_of_the_training_slices() -> None:
    learnt = pictures(12, seed=1)
    shares = novelty.cut_off(np.stack(list(learnt.opened())))
    assert shares.max() < novelty.LEAST_CUT_OFF
    assert assembled()[1]["novelty"]["most_cut_off"] == novelty.LEAST_CUT_OFF
    content, facts = assembled(slices=lambda picture: picture // 128 * 128)
    assert facts["novelty"]["most_cut_off"] > novelty.LEAST_CUT_OFF
    assert Predictor(content, threads=1).metadata.novelty == novelty.NoveltyRule(
        **{**facts["novelty"], "blocks": tuple(facts["novelty"]["blocks"])}
    )


@pytest.mark.parametrize(("most", "carried"), [(3, 3), (10, 10), (50, 12)])
def test_it_carries_as_many_references_as_the_option_says(
    most: int, carried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer than it learns from anyway, or more: then it learns from more."""
    monkeypatch.setattr(candidate, "LEARNT_FROM", 6)
    _, facts = assembled(most_references=most)
    assert facts["novelty"]["references"] == carried

"""Whether a new model takes the champion's place."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lung_tumor.metrics import classification_metrics
from lung_tumor.promotion import PromotionOptions, judge
from lung_tumor.scores import SINGLE

CLASSES = ("sick", "well")
SIZE = 200
LABELS = np.arange(SIZE) % 2
GROUPS = [f"g{row // 2}-{row % 2}" for row in range(SIZE)]


def model(knows: float, seed: int = 1) -> np.ndarray:
    """Probabilities that rank the better the more it knows; the same seed makes the same mistakes."""
    noise = np.random.default_rng(seed).normal(size=SIZE)
    sick = 1 / (1 + np.exp(-(noise + knows * (0.5 - LABELS))))
    return np.stack([sick, 1 - sick], axis=1)


def verdict(
    candidate: np.ndarray, champion: np.ndarray | None, incomparable: str = "", **options: Any
) -> dict[str, Any]:
    found = judge(
        LABELS, GROUPS, CLASSES, candidate, champion, PromotionOptions(**{"draws": 200, **options}), 1, incomparable
    )
    assert json.loads(json.dumps(found)) == found
    return found


def test_the_first_model_is_the_champion() -> None:
    found = verdict(model(1.0), None)
    assert found == {
        "promoted": True,
        "first": True,
        "difference": None,
        "margin": 0.05,
        "figure": "roc_auc",
        "sentence": "This is the first model, so that it is the champion.",
    }


@pytest.mark.parametrize("figure", SINGLE)
def test_a_better_model_is_promoted_by_every_figure_and_a_worse_one_by_none(figure: str) -> None:
    better, worse = model(4.0), model(0.2)
    if figure == "calibration_error":
        # It does not ask who knows more, only who says how sure it may be.
        better, worse = model(1.0), np.repeat([[0.99, 0.01]], SIZE, axis=0)
    assert verdict(better, worse, figure=figure)["promoted"]
    refused = verdict(worse, better, figure=figure)
    assert not refused["promoted"]
    assert refused["difference"]["value"] < -0.05
    gained = verdict(better, worse, figure=figure)["difference"]
    assert gained["value"] == pytest.approx(-refused["difference"]["value"])
    values = [classification_metrics(LABELS, given, CLASSES)[figure] for given in (better, worse)]
    assert gained["value"] == pytest.approx(abs(values[0] - values[1]))


def test_an_equal_model_is_promoted_though_no_interval_can_be_had() -> None:
    found = verdict(model(1.5), model(1.5))
    assert found["promoted"]
    assert found["difference"]["value"] == 0.0
    assert found["difference"]["interval"]["reason"] == "every draw gave the same: too little to draw from"
    assert "equals the champion's" in found["sentence"]
    assert "so that it must not be worse at all" in found["sentence"]


def test_a_model_a_little_worse_is_promoted_within_the_margin_and_refused_beyond_it() -> None:
    champion, candidate = model(1.5), model(1.45)
    found = verdict(candidate, champion)
    assert found["difference"]["value"] < 0.0
    assert found["difference"]["interval"]["low"] > -0.05
    assert found["promoted"]
    refused = verdict(candidate, champion, margin=0.0)
    assert not refused["promoted"]
    assert refused["sentence"].startswith("The champion stays: the new ROC AUC is 0.0")
    assert "worse than the champion's on the same 200 test slices" in refused["sentence"]


def test_the_lower_end_decides_and_not_the_difference() -> None:
    # Equally good, but of other mistakes: much could be true of so few slices.
    found = verdict(model(1.0, seed=3), model(1.0, seed=4), margin=0.01)
    assert found["difference"]["interval"]["low"] < -0.01 < found["difference"]["interval"]["high"]
    assert not found["promoted"]


def test_models_that_cannot_be_compared_are_promoted_with_the_reason() -> None:
    found = verdict(model(0.0), model(3.0), incomparable="the champion tells other classes apart")
    assert (found["promoted"], found["first"], found["difference"]) == (True, False, None)
    assert found["sentence"].endswith("without a comparison: the champion tells other classes apart.")
    assert not verdict(model(0.0), None, incomparable="the champion cannot be read")["first"]


@pytest.mark.parametrize("few", [1, 2, 4])
def test_the_difference_itself_decides_where_a_class_has_too_few_groups(few: int) -> None:
    groups = [f"few {row % (2 * few)}" if label == 0 else f"g{row}" for row, label in enumerate(LABELS)]
    better = judge(LABELS, groups, CLASSES, model(2.0), model(1.0), PromotionOptions(), 1)
    worse = judge(LABELS, groups, CLASSES, model(1.0), model(2.0), PromotionOptions(), 1)
    assert (better["promoted"], worse["promoted"]) == (True, False)
    assert f"without an interval (class sick has {few} group" in better["sentence"]
    slightly = judge(LABELS, groups, CLASSES, model(1.45), model(1.5), PromotionOptions(), 1)
    assert -0.05 < slightly["difference"]["value"] < 0.0
    assert not slightly["promoted"]


def test_the_champion_stays_where_the_figure_is_undefined() -> None:
    found = judge(LABELS * 0, GROUPS, CLASSES, model(2.0), model(1.0), PromotionOptions(), 1)
    assert (found["promoted"], found["difference"]) == (False, None)
    assert "ROC AUC is undefined on these 200 test slices" in found["sentence"]


def test_predictions_of_other_slices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must judge the same slices, received \(100, 2\) and \(200, 2\)"):
        verdict(model(1.0), model(1.0)[:100])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"figure": "f1"}, "promotion.figure must be one of accuracy, .*, received 'f1'"),
        ({"margin": -0.1}, "promotion.margin must be 0 or more, received -0.1"),
        ({"draws": 10}, r"promotion.draws must lie in \[100, 100000\], received 10"),
        ({"draws": 0.5}, "promotion.draws must be a whole number, received 0.5"),
    ],
)
def test_options_that_make_no_sense_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PromotionOptions(**given)

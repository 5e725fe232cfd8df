"""Whether a new model takes the champion's place."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lung_tumor.metrics import classification_metrics
from lung_tumor.promotion import HeldOut, Lineage, PromotionOptions, Said, evaluate_again, grow, judge, stay
from lung_tumor.scores import SINGLE

CLASSES = ("sick", "well")
SIZE = 200
LABELS = np.arange(SIZE) % 2
GROUPS = [f"g{row // 2}-{row % 2}" for row in range(SIZE)]
SLICES = HeldOut(LABELS, GROUPS, CLASSES, "well", "these slices")
AT = "operating_point.balanced_accuracy"


def model(knows: float, seed: int = 1) -> np.ndarray:
    """Probabilities that rank the better the more it knows; the same seed makes the same mistakes."""
    noise = np.random.default_rng(seed).normal(size=SIZE)
    sick = 1 / (1 + np.exp(-(noise + knows * (0.5 - LABELS))))
    return np.stack([sick, 1 - sick], axis=1)


def verdict(
    candidate: np.ndarray | Said,
    champion: np.ndarray | Said | None,
    incomparable: str = "",
    lineage: Lineage = Lineage(),  # noqa: B008 - frozen
    held_out: HeldOut = SLICES,
    learnt: Collection[str] = (),
    **options: Any,
) -> dict[str, Any]:
    """By the figure of merit alone unless an option says otherwise; both suspect from 0.5."""
    chosen = PromotionOptions(**{"draws": 200, "operating_figure": "none", **options})
    new, old = (Said(given, 0.5) if isinstance(given, np.ndarray) else given for given in (candidate, champion))
    assert new is not None
    found = judge(held_out, new, old, lineage, chosen, 1, incomparable, learnt)
    assert json.loads(json.dumps(found)) == found
    return found


def test_the_first_model_is_the_champion() -> None:
    found = verdict(model(1.0), None)
    value = classification_metrics(LABELS, model(1.0), CLASSES)["roc_auc"]
    assert found == {
        "promoted": True,
        "served": True,
        "first": True,
        "left_out": 0,
        "compared": {},
        "lineage": {"test_digest": "these slices", "best": {"roc_auc": value}},
        "sentence": "This is the first model, so that it is the champion.",
    }


@pytest.mark.parametrize("figure", SINGLE)
def test_a_better_model_is_promoted_by_every_figure_and_a_worse_one_by_none(figure: str) -> None:
    better, worse = model(4.0), model(0.2)
    if figure == "calibration_error":
        # It does not ask who knows more, only who says how sure it may be.
        better, worse = model(1.0), np.repeat([[0.99, 0.01]], SIZE, axis=0)
    promoted, refused = verdict(better, worse, figure=figure), verdict(worse, better, figure=figure)
    assert (promoted["promoted"], promoted["served"]) == (True, True)
    assert (refused["promoted"], refused["served"]) == (False, False)
    gained, lost = (found["compared"][figure] for found in (promoted, refused))
    assert lost["gain"] < -0.05
    assert gained["gain"] == pytest.approx(-lost["gain"])
    values = [classification_metrics(LABELS, given, CLASSES)[figure] for given in (better, worse)]
    assert [gained["candidate"], gained["champion"]] == values
    assert gained["gain"] == pytest.approx(abs(values[0] - values[1]))


def test_an_equal_model_is_promoted_though_no_interval_can_be_had() -> None:
    found = verdict(model(1.5), model(1.5))
    assert found["promoted"]
    assert found["compared"]["roc_auc"]["gain"] == 0.0
    assert found["compared"]["roc_auc"]["interval"]["reason"] == "every draw gave the same: too little to draw from"
    assert "equals the champion's" in found["sentence"]
    assert "So it must not be worse at all" in found["sentence"]


def test_a_model_a_little_worse_is_promoted_within_the_margin_and_refused_beyond_it() -> None:
    champion, candidate = model(1.5), model(1.45)
    found = verdict(candidate, champion)
    assert found["compared"]["roc_auc"]["gain"] < 0.0
    assert found["compared"]["roc_auc"]["interval"]["low"] > -0.05
    assert found["promoted"]
    refused = verdict(candidate, champion, margin=0.0)
    assert not refused["promoted"]
    assert refused["sentence"].startswith("The champion stays: the new ROC AUC is 0.0")
    assert "worse than the champion's on the same 200 test slices" in refused["sentence"]


def test_the_lower_end_decides_and_not_the_difference() -> None:
    # Equally good, but of other mistakes: much could be true of so few slices.
    found = verdict(model(1.0, seed=3), model(1.0, seed=4), margin=0.01)
    interval = found["compared"]["roc_auc"]["interval"]
    assert interval["low"] < -0.01 < interval["high"]
    assert not found["promoted"]


# --- At the operating point --------------------------------------------------------------------------------------------


def test_a_model_that_ranks_as_well_but_answers_worse_is_refused() -> None:
    """The same probabilities; the new model suspects from so high on that it misses most."""
    champion, candidate = Said(model(3.0), 0.5), Said(model(3.0), 0.9)
    assert verdict(candidate, champion)["promoted"]
    found = verdict(candidate, champion, operating_figure="balanced_accuracy")
    assert not found["promoted"]
    assert (found["compared"]["roc_auc"]["passed"], found["compared"][AT]["passed"]) == (True, False)
    sick, well = (candidate.suspected(SLICES)[label == LABELS].mean() for label in (0, 1))
    assert found["compared"][AT]["candidate"] == pytest.approx((sick + 1 - well) / 2)
    assert found["compared"][AT]["interval"]["high"] < -0.1
    assert found["sentence"].startswith("The champion stays: the new balanced accuracy at the operating point is 0.")
    assert "ROC AUC" not in found["sentence"]


def test_sensitivity_alone_can_decide_and_does_not_ask_for_the_false_alarms() -> None:
    champion, candidate = Said(model(3.0), 0.5), Said(model(3.0), 0.01)
    refused = verdict(candidate, champion, operating_figure="balanced_accuracy")
    found = verdict(candidate, champion, operating_figure="sensitivity")
    assert (refused["promoted"], found["promoted"]) == (False, True)
    assert found["compared"]["operating_point.sensitivity"]["candidate"] == 1.0
    assert "sensitivity at the operating point is" in found["sentence"]


def test_each_model_answers_by_its_own_threshold() -> None:
    """Another calibration moves probabilities and threshold alike: the answers are the same."""
    logits = np.log(model(2.0)[:, 0] / model(2.0)[:, 1]) - 1.0
    moved = 1 / (1 + np.exp(-logits))
    candidate = Said(np.stack([moved, 1 - moved], axis=1), 1 / (1 + np.exp(1.0)))
    found = verdict(candidate, Said(model(2.0), 0.5), operating_figure="balanced_accuracy")
    assert found["compared"][AT]["gain"] == pytest.approx(0.0)


def test_a_margin_of_its_own_counts_at_the_operating_point() -> None:
    champion, candidate = Said(model(3.0), 0.5), Said(model(3.0), 0.6)
    given = {"operating_figure": "balanced_accuracy"}
    assert verdict(candidate, champion, **given, operating_margin=0.2)["promoted"]
    assert not verdict(candidate, champion, **given, operating_margin=0.001)["promoted"]


# --- A line of champions ------------------------------------------------------------------------------------------------


def test_champions_cannot_get_worse_by_a_margin_each_time() -> None:
    """Each is a little worse than the one before: without a memory all would be promoted."""
    line = [model(knows) for knows in (3.0, 2.7, 2.45, 2.2, 2.0, 1.8)]
    assert all(verdict(new, old)["promoted"] for old, new in pairwise(line))
    champion, found, verdicts = line[0], verdict(line[0], None), []
    for candidate in line[1:]:
        found = verdict(candidate, champion, lineage=Lineage(**found["lineage"]))
        verdicts.append(found["promoted"])
        champion = candidate if found["promoted"] else champion
    best, last = (classification_metrics(LABELS, given, CLASSES)["roc_auc"] for given in (line[0], champion))
    assert verdicts[0] is True
    assert verdicts[-1] is False
    assert best - last <= 0.05
    assert found["lineage"]["best"]["roc_auc"] == best
    assert f"than the best champion was on them, {best:.3f}" in found["sentence"]


def test_a_better_champion_raises_the_mark_and_a_worse_one_leaves_it() -> None:
    options, values = PromotionOptions(), {}
    for knows in (1.0, 2.0):
        values[knows] = classification_metrics(LABELS, model(knows), CLASSES)["roc_auc"]
    line = Lineage()
    for knows, best in ((1.0, 1.0), (2.0, 2.0), (1.0, 2.0)):
        line = grow(line, SLICES, Said(model(knows), 0.5), options)
        assert line.best["roc_auc"] == values[best]
    assert set(line.best) == {"roc_auc", AT}


def test_of_a_figure_of_which_less_is_better_the_least_is_kept() -> None:
    options = PromotionOptions(figure="brier", operating_figure="none")
    line = Lineage()
    for knows in (2.0, 1.0):
        line = grow(line, SLICES, Said(model(knows), 0.5), options)
    assert line.best == {"brier": classification_metrics(LABELS, model(2.0), CLASSES)["brier"]}


def test_on_other_test_slices_the_line_begins_anew() -> None:
    line = grow(Lineage(), SLICES, Said(model(3.0), 0.5), PromotionOptions())
    elsewhere = replace(SLICES, digest="other slices")
    found = verdict(model(1.4), model(1.45), lineage=line, held_out=elsewhere)
    assert found["promoted"]
    assert found["compared"]["roc_auc"]["best"] is None
    assert found["lineage"]["test_digest"] == "other slices"
    assert found["lineage"]["best"]["roc_auc"] < line.best["roc_auc"]


def test_a_refused_model_changes_nothing_about_the_line() -> None:
    line = grow(Lineage(), SLICES, Said(model(3.0), 0.5), PromotionOptions())
    found = verdict(model(0.1), model(3.0), lineage=line)
    assert Lineage(**found["lineage"]) == line


def test_the_champion_evaluated_again_stays_served_and_is_not_promoted() -> None:
    found = evaluate_again(SLICES, Said(model(1.0), 0.5), Lineage(), PromotionOptions())
    assert (found["promoted"], found["served"], found["first"], found["compared"]) == (False, True, False, {})
    assert "the champion itself, evaluated again" in found["sentence"]
    assert found["lineage"]["test_digest"] == "these slices"


def test_where_the_champion_stays_whatever_the_figures_say_the_reason_is_told() -> None:
    found = stay(Lineage("x", {"roc_auc": 0.9}), "it learnt from real slices")
    assert (found["promoted"], found["served"]) == (False, False)
    assert found["sentence"] == (
        "The champion stays: it learnt from real slices; to replace it all the same, remove its file and evaluate again."
    )
    assert found["lineage"] == {"test_digest": "x", "best": {"roc_auc": 0.9}}


# --- What the champion learnt from -------------------------------------------------------------------------------------


def test_slices_that_the_champion_learnt_from_do_not_count() -> None:
    """It knows those by heart, and of the others less than the new model."""
    learnt = {f"g{pair}-{label}" for pair in range(60) for label in (0, 1)}
    fair = np.array([group not in learnt for group in GROUPS])
    champion = np.where(fair[:, None], model(0.1, seed=2), np.eye(2)[LABELS])
    lineage = Lineage("these slices", {"roc_auc": 1.0})
    assert not verdict(model(1.2), champion)["promoted"]
    found = verdict(model(1.2), champion, learnt=learnt, lineage=lineage)
    assert (found["promoted"], found["left_out"]) == (True, 120)
    expected = classification_metrics(LABELS[fair], model(0.1, seed=2)[fair], CLASSES)["roc_auc"]
    assert found["compared"]["roc_auc"]["champion"] == expected
    assert found["compared"]["roc_auc"]["best"] is None, "the best of all test slices is no mark for some of them"
    assert "on the same 80 test slices" in found["sentence"]
    assert found["sentence"].endswith(
        "120 of 200 test slices that the champion learnt from, or from relatives of, do not count."
    )
    assert found["lineage"] == {"test_digest": "these slices", "best": {"roc_auc": 1.0}}


@pytest.mark.parametrize(("left", "promoted"), [(5, True), (4, False), (0, False)])
def test_where_fewer_than_five_groups_of_a_class_are_left_the_champion_stays(left: int, promoted: bool) -> None:
    learnt = {f"g{pair}-1" for pair in range(SIZE // 2 - left)}
    found = verdict(model(4.0), model(0.1), learnt=learnt)
    assert (found["promoted"], found["left_out"]) == (promoted, SIZE // 2 - left)
    assert ("it is not comparable with the new model" in found["sentence"]) is not promoted
    assert (f"(sick 100, well {left}) each class needs 5" in found["sentence"]) is not promoted
    assert ("remove its file and evaluate again" in found["sentence"]) is not promoted


# --- What cannot be compared --------------------------------------------------------------------------------------------


def test_models_that_cannot_be_compared_are_promoted_with_the_reason() -> None:
    found = verdict(model(0.0), model(3.0), incomparable="the champion tells other classes apart")
    assert (found["promoted"], found["first"], found["compared"]) == (True, False, {})
    assert found["sentence"].endswith("without a comparison: the champion tells other classes apart.")
    assert not verdict(model(0.0), None, incomparable="the champion cannot be read")["first"]


@pytest.mark.parametrize("few", [1, 2, 4])
def test_the_difference_itself_decides_where_a_class_has_too_few_groups(few: int) -> None:
    groups = [f"few {row % (2 * few)}" if label == 0 else f"g{row}" for row, label in enumerate(LABELS)]
    given = {"held_out": replace(SLICES, groups=groups), "operating_figure": "balanced_accuracy"}
    better, worse = verdict(model(2.0), model(1.0), **given), verdict(model(1.0), model(2.0), **given)
    assert (better["promoted"], worse["promoted"]) == (True, False)
    assert better["sentence"].count(f"class sick has {few} group") == 1
    assert better["sentence"].endswith("an interval needs 5. So it must not be worse at all.")
    assert not verdict(model(1.45), model(1.5), **given)["promoted"]


@pytest.mark.parametrize("label", [0, 1])
def test_the_champion_stays_where_a_figure_is_undefined(label: int) -> None:
    alike = replace(SLICES, labels=LABELS * 0 + label)
    found = verdict(model(2.0), model(1.0), held_out=alike, operating_figure="balanced_accuracy")
    assert (found["promoted"], found["compared"]["roc_auc"]["gain"], found["compared"][AT]["gain"]) == (
        False,
        None,
        None,
    )
    assert "ROC AUC is undefined on these 200 test slices" in found["sentence"]
    assert found["lineage"] == {"test_digest": "", "best": {}}


def test_predictions_of_other_slices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must judge the same slices, received \(100, 2\) and \(200, 2\)"):
        verdict(model(1.0), model(1.0)[:100])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"figure": "f1"}, "promotion.figure must be one of accuracy, .*, received 'f1'"),
        ({"margin": -0.1}, "promotion.margin must be 0 or more, received -0.1"),
        (
            {"operating_figure": "f1"},
            "promotion.operating_figure must be one of balanced_accuracy, sensitivity, none, rec",
        ),
        ({"operating_margin": -0.1}, "promotion.operating_margin must be 0 or more, received -0.1"),
        ({"draws": 10}, r"promotion.draws must lie in \[100, 100000\], received 10"),
        ({"draws": 0.5}, "promotion.draws must be a whole number, received 0.5"),
    ],
)
def test_options_that_make_no_sense_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PromotionOptions(**given)

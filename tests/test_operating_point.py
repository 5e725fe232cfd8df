"""Where suspicion begins: targets, ties, bands, cautions."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lung_tumor.operating_point import (
    OperatingPoint,
    OperatingPointOptions,
    Scored,
    choose,
    coverage_curve,
    judge,
    judge_beside,
    negative_class,
    suspicion,
)

CLASSES = ("adenocarcinoma", "normal")


def slices(diseased: list[float], well: list[float]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, probabilities and groups of slices with these suspicions."""
    suspicions = np.array([*diseased, *well])
    labels = np.array([0] * len(diseased) + [1] * len(well))
    return labels, np.stack([suspicions, 1 - suspicions], axis=1), [f"g{row}" for row in range(len(labels))]


def drawn(seed: int, levels: int = 0, count: int = 80) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(2, size=count - 2)]
    suspicions = 1 / (1 + np.exp(-(rng.normal(size=count) + 1.5 * (labels == 0) - 0.7)))
    if levels:
        suspicions = np.round(suspicions * levels) / levels
    return labels, np.stack([suspicions, 1 - suspicions], axis=1), [f"g{row // 2}" for row in range(count)]


def log_odds(chance: float) -> float:
    return float(np.log(chance / (1 - chance)))


NO_BAND = OperatingPointOptions(target_sensitivity=0.75, refer_share=0.0)


def test_a_threshold_worked_by_hand() -> None:
    found = choose(*slices([0.9, 0.8, 0.4, 0.1], [0.7, 0.2, 0.15, 0.05]), CLASSES, NO_BAND)
    # Three of four must be suspected, so 0.4 must; the next lower suspicion is 0.2.
    assert log_odds(found.threshold) == pytest.approx((log_odds(0.4) + log_odds(0.2)) / 2)
    assert (found.sensitivity, found.specificity) == (0.75, 0.75)
    assert found.low == found.threshold == found.high
    assert (found.negative, found.target_sensitivity, found.groups) == ("normal", 0.75, 8)


@pytest.mark.parametrize("levels", [0, 5, 1])
@pytest.mark.parametrize("target", [0.5, 0.9, 0.95, 1.0])
def test_the_target_is_reached_and_no_larger_threshold_would_reach_it(target: float, levels: int) -> None:
    for seed in range(30):
        labels, probabilities, groups = drawn(seed, levels)
        found = choose(labels, probabilities, groups, CLASSES, OperatingPointOptions(target, 0.1))
        scores = suspicion(probabilities, CLASSES, "normal")
        diseased = labels == 0
        assert found.sensitivity == (scores[diseased] >= found.threshold).mean() >= target
        higher = scores[scores >= found.threshold].min() + 1e-12
        assert found.threshold == 0.5 or (scores[diseased] >= higher).mean() < target
        assert found.threshold <= 0.5
        assert found.specificity == (scores[~diseased] < found.threshold).mean()


def test_rounding_does_not_ask_for_one_slice_more() -> None:
    # 0.95 · 20 is 19.
    labels, probabilities, groups = slices([0.01, *np.linspace(0.5, 0.9, 19)], [0.2])
    found = choose(labels, probabilities, groups, CLASSES, OperatingPointOptions(0.95, 0.0))
    assert (found.sensitivity, found.specificity) == (0.95, 1.0)


def test_slices_of_equal_suspicion_are_suspected_together() -> None:
    found = choose(*slices([0.9, 0.5, 0.5, 0.5], [0.5, 0.5, 0.1]), CLASSES, OperatingPointOptions(0.5, 0.0))
    assert (found.sensitivity, found.specificity) == (1.0, pytest.approx(1 / 3))


def test_suspicions_too_near_to_part_leave_the_threshold_on_one() -> None:
    labels, probabilities, groups = slices([0.3, 0.3], [np.nextafter(0.3, 0.0), 0.1])
    found = choose(labels, probabilities, groups, CLASSES, OperatingPointOptions(1.0, 0.25))
    assert found.threshold == pytest.approx(0.3)
    assert (found.sensitivity, found.specificity) == (1.0, 1.0)


def test_what_is_more_likely_diseased_than_not_is_never_cleared() -> None:
    found = choose(*slices([0.99, 0.98, 0.97, 0.6], [0.8, 0.4]), CLASSES, NO_BAND)
    assert (found.threshold, found.sensitivity, found.specificity) == (0.5, 1.0, 0.5)


def test_several_classes_with_disease_count_as_one() -> None:
    probabilities = np.array([[0.6, 0.2, 0.2], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])
    classes = ("adenocarcinoma", "Normal", "squamous")
    found = choose(np.array([0, 2, 2, 1]), probabilities, list("abcd"), classes, OperatingPointOptions(0.95, 0.0))
    assert (found.negative, found.sensitivity, found.specificity) == ("Normal", 1.0, 1.0)


# --- Band --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.1, 0.33])
def test_the_band_holds_the_slices_nearest_to_the_threshold_and_as_many_as_asked_for(share: float) -> None:
    for seed in range(20):
        labels, probabilities, groups = drawn(seed)
        found = choose(labels, probabilities, groups, CLASSES, OperatingPointOptions(0.9, share))
        scores = suspicion(probabilities, CLASSES, "normal")
        inside = (scores >= found.low) & (scores < found.high)
        assert inside.sum() == np.ceil(share * 80 - 1e-9)
        distances = np.abs(np.log(scores / (1 - scores)) - log_odds(found.threshold))
        assert distances[inside].max() < distances[~inside].min()


def test_slices_that_lie_equally_near_are_referred_together() -> None:
    labels, probabilities, groups = slices([0.5] * 10, [0.5] * 10)
    found = choose(labels, probabilities, groups, CLASSES, OperatingPointOptions(0.95, 0.1))
    assert found.low < 0.5 < found.high


def test_a_share_of_nothing_refers_nothing() -> None:
    point = choose(*drawn(1), CLASSES, OperatingPointOptions(0.95, 0.0))
    assert judge(point, *drawn(2), CLASSES, 20, 1)["referred"]["value"] == 0.0


# --- Names and cautions ------------------------------------------------------------------------------------------------


def test_the_negative_class_is_found_in_upper_and_lower_case_and_never_guessed() -> None:
    assert negative_class(("sick", "NORMAL "), "normal") == "NORMAL "
    with pytest.raises(
        ValueError, match=r"'normal'; say which of malignant, benign means .* serving\.operating_point\.neg"
    ):
        negative_class(("malignant", "benign"), "normal")
    assert negative_class(("malignant", "benign"), "benign") == "benign"


def test_a_choice_on_few_groups_comes_with_a_caution_and_one_on_many_does_not() -> None:
    many = slices([*np.linspace(0.3, 0.9, 20)], [*np.linspace(0.1, 0.4, 10)])
    assert choose(*many, CLASSES, OperatingPointOptions()).caution == ""
    copies = choose(*many[:2], ["one"] * 15 + many[2][15:], CLASSES, OperatingPointOptions())
    assert copies.caution.startswith("chosen on 6 independent group(s) with disease")
    few = choose(*slices([*np.linspace(0.3, 0.9, 20)], [0.1, 0.2]), CLASSES, OperatingPointOptions())
    assert few.caution == "the specificity rests on 2 independent group(s) without disease"


def test_slices_of_one_kind_alone_still_give_a_point_that_says_what_it_lacks() -> None:
    well = choose(*slices([], [0.2, 0.3]), CLASSES, OperatingPointOptions())
    assert (well.threshold, well.sensitivity, well.specificity) == (0.5, 0.0, 1.0)
    assert "no validation slice has disease" in well.caution
    sick = choose(*slices([0.7, 0.8], []), CLASSES, OperatingPointOptions())
    assert (sick.sensitivity, sick.specificity) == (1.0, 0.0)
    assert "no validation slice is without disease" in sick.caution


def test_nothing_to_choose_on_is_refused() -> None:
    with pytest.raises(ValueError, match="received 0 labels, 0 groups and 0 rows"):
        choose(*slices([], []), CLASSES, OperatingPointOptions())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target_sensitivity": 0.0}, r"target_sensitivity must lie in \(0, 1\], received 0.0"),
        ({"target_sensitivity": "high"}, "target_sensitivity must be a number, received 'high'"),
        ({"refer_share": 1.0}, r"refer_share must lie in \[0, 1\), received 1.0"),
        ({"negative": " "}, "negative must be the name of a class, received ' '"),
    ],
)
def test_options_that_make_no_sense_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OperatingPointOptions(**given)  # type: ignore[arg-type]


# --- On other slices ---------------------------------------------------------------------------------------------------

POINT = OperatingPoint("normal", 0.5, 0.4, 0.6, 0.95, 1.0, 1.0, 10)


def test_what_a_point_reaches_is_worked_by_hand() -> None:
    # With disease 0.55 is suspected but referred, 0.45 referred, 0.3 missed; without it 0.7 is suspected wrongly.
    labels, probabilities, groups = slices([0.9, 0.55, 0.45, 0.3], [0.1, 0.2, 0.7, 0.4, 0.6])
    found = judge(POINT, labels, probabilities, groups, CLASSES, 200, 1)
    values = {name: row["value"] for name, row in found.items()}
    # 0.4 belongs to the band and 0.6 does not.
    assert values == pytest.approx(
        {"sensitivity": 2 / 4, "specificity": 3 / 5, "referred": 3 / 9, "refused": 0.0, "error_when_answered": 3 / 6}
    )
    # Each slice is a group: shares are those of independent trials, however few.
    assert found["sensitivity"]["interval"]["reason"] == "exact interval of 4 groups"
    assert found["specificity"]["interval"]["low"] <= 3 / 5 <= found["specificity"]["interval"]["high"]
    assert found["referred"]["interval"]["reason"] == "exact interval of 9 groups"
    counted = {name: (row["slices"], row["groups"]) for name, row in found.items()}
    assert counted == {
        "sensitivity": (4, 4),
        "specificity": (5, 5),
        "referred": (9, 9),
        "refused": (9, 9),
        "error_when_answered": (6, 6),
    }
    assert json.loads(json.dumps(found)) == found


def beside(trivial: tuple[list[float], list[float]], chosen_on: tuple[list[float], list[float]], **given: Any) -> Any:
    """What needs no network, on test slices that numbers without anatomy score so, with validation slices likewise."""
    shares = given.pop("shares", [0.4, 0.6])
    validation, test = Scored(*slices(*chosen_on)), Scored(*slices(*trivial))
    return judge_beside(OperatingPointOptions(0.75, 0.0), validation, test, CLASSES, shares, 50, 1, **given)


def test_numbers_without_anatomy_get_a_threshold_of_their_own_from_the_validation_slices() -> None:
    # Three of four lie at 0.3 and above, the nearest below at 0.2: a threshold of 0.5 would find none of them.
    found = beside(([0.3, 0.4, 0.2], [0.1, 0.35]), ([0.45, 0.4, 0.3, 0.1], [0.2, 0.1]))
    assert found["trivial"]["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert found["trivial"]["specificity"]["value"] == pytest.approx(1 / 2)
    assert found["trivial"]["referred"]["value"] == 0.0
    assert found["trivial_reason"] == ""
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.4, 0.6], ("normal", 0.0, 1.0, 3 / 5)),
        ([0.6, 0.4], ("adenocarcinoma", 1.0, 0.0, 2 / 5)),
    ],
)
def test_the_most_frequent_class_is_named_whatever_is_shown(
    shares: list[float], expected: tuple[str, float, float, float]
) -> None:
    found = beside(([0.3, 0.4, 0.2], [0.1, 0.35]), ([0.4, 0.3], [0.2]), shares=shares)
    reached = found["majority"]
    values = [reached[name]["value"] for name in ("sensitivity", "specificity", "error_when_answered")]
    assert (found["majority_class"], *values) == (*expected[:3], pytest.approx(expected[3]))
    assert reached["referred"]["value"] == 0.0
    # It would say the same of any slice: that is known without an interval.
    assert all(reached[name]["interval"]["low"] is None for name in ("sensitivity", "specificity", "referred"))


def test_numbers_that_could_learn_nothing_have_no_figure_and_say_why() -> None:
    unknown = float("nan")
    found = beside(([0.3, unknown], [0.1]), ([0.4, 0.3], [0.2]), why_not="too few independent groups")
    assert (found["trivial"], found["trivial_reason"]) == (None, "too few independent groups")
    assert beside(([0.3], [0.1]), ([unknown], [0.2]))["trivial_reason"] == "some pictures have no probability"


def test_who_is_refused_is_neither_referred_nor_answered() -> None:
    labels, probabilities, groups = slices([0.9, 0.55, 0.45, 0.3], [0.1, 0.2, 0.7, 0.4, 0.6])
    # 0.55 lies within the band, 0.7 beyond it and is wrong.
    refused = np.array([False, True, False, False, False, False, True, False, False])
    found = judge(POINT, labels, probabilities, groups, CLASSES, 50, 1, refused)
    assert found["referred"]["value"] == found["refused"]["value"] == pytest.approx(2 / 9)
    assert found["error_when_answered"]["value"] == pytest.approx(2 / 5)
    # What the threshold alone would say is asked of all.
    assert (found["sensitivity"]["value"], found["specificity"]["value"]) == pytest.approx((2 / 4, 3 / 5))


def test_a_figure_without_slices_is_undefined_and_says_why_it_has_no_interval() -> None:
    labels, probabilities, groups = slices([], [0.1, 0.2, 0.3])
    found = judge(POINT, labels, probabilities, groups, CLASSES, 50, 1)
    assert found["sensitivity"]["value"] is None
    assert found["sensitivity"]["interval"]["reason"] == "no slice to measure it on"


def test_what_is_answered_alone_must_lie_in_groups_enough() -> None:
    # Of the slices with disease all but two are referred, so that the errors among answers rest on these two groups.
    labels, probabilities, groups = slices([0.5] * 10 + [0.9, 0.1], [0.1] * 11 + [0.9])
    groups[-2] = groups[-1]
    found = judge(POINT, labels, probabilities, groups, CLASSES, 50, 1)
    assert found["sensitivity"]["interval"]["low"] is not None
    assert found["error_when_answered"]["interval"]["reason"] == (
        "class adenocarcinoma has 2 groups; an interval needs 5"
    )


def test_a_share_of_all_or_nothing_has_the_exact_interval_of_its_groups() -> None:
    labels, probabilities, _ = slices([0.9] * 6, [0.1] * 4)
    groups = ["a", "a", "b", "c", "d", "e", "f", "f", "g", "h"]
    found = judge(POINT, labels, probabilities, groups, CLASSES, 50, 1)
    # Of five groups, all found: the chance of that is 2.5 % where the sensitivity is the fifth root of 0.025.
    assert found["sensitivity"]["interval"]["low"] == pytest.approx(0.4782, abs=1e-4)
    assert found["sensitivity"]["interval"]["high"] == 1.0
    assert found["error_when_answered"]["interval"]["low"] == 0.0
    # Four of ten slices lie in three groups: as if there were 3 / 0.4 groups.
    assert found["error_when_answered"]["interval"]["high"] == pytest.approx(1 - 0.025 ** (0.4 / 3))
    assert found["sensitivity"]["interval"]["reason"] == "exact interval, as all slices of 5 groups agree"


def test_the_error_over_coverage_is_worked_by_hand() -> None:
    # Distances from the threshold: 0.9 and 0.1 alike, then 0.8, then 0.4 and 0.6 alike.
    labels, probabilities, _ = slices([0.9, 0.4], [0.1, 0.8, 0.6])
    found = coverage_curve(POINT, labels, probabilities, CLASSES)
    rounded = [(round(row["coverage"], 6), round(row["error"], 6)) for row in found]
    assert rounded == [(0.4, 0.0), (0.6, round(1 / 3, 6)), (1.0, 0.6)]


def test_the_chosen_band_is_a_point_of_the_curve() -> None:
    for seed in range(20):
        labels, probabilities, groups = drawn(seed)
        point = choose(labels, probabilities, groups, CLASSES, OperatingPointOptions(0.9, 0.2))
        reached = judge(point, labels, probabilities, groups, CLASSES, 20, 1)
        here = (1 - reached["referred"]["value"], reached["error_when_answered"]["value"])
        curve = [(row["coverage"], row["error"]) for row in coverage_curve(point, labels, probabilities, CLASSES)]
        assert any(row == pytest.approx(here) for row in curve)


def test_a_network_that_knows_when_it_knows_is_wrong_less_often_where_it_answers_less() -> None:
    labels, probabilities, groups = drawn(3, count=600)
    point = choose(labels, probabilities, groups, CLASSES, OperatingPointOptions(0.8, 0.3))
    whole = judge(
        replace(point, low=point.threshold, high=point.threshold), labels, probabilities, groups, CLASSES, 20, 1
    )
    banded = judge(point, labels, probabilities, groups, CLASSES, 20, 1)
    assert banded["error_when_answered"]["value"] < whole["error_when_answered"]["value"]
    assert whole["referred"]["value"] == 0.0
    assert banded["referred"]["value"] == pytest.approx(0.3, abs=0.01)


def test_serving_loads_no_scikit_learn_and_no_scipy_for_it() -> None:
    code = "import sys, lung_tumor.operating_point; print({'sklearn', 'scipy', 'pandas'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"

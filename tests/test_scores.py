"""Intervals of every figure, beside independent methods and beside simulated studies whose truth is known."""

from __future__ import annotations

import json
import time
from math import erf, sqrt
from typing import Any

import numpy as np
import pytest

from benchmarks.interval_coverage import TRUTH, draw_study, shares_covered
from lung_tumor.bootstrap import group_bootstrap
from lung_tumor.metrics import classification_metrics
from lung_tumor.operating_point import OperatingPoint, judge
from lung_tumor.roc import area
from lung_tumor.scores import figure_names, measure, measure_beside, weighted_figures

CLASSES = {2: ("sick", "well"), 3: ("a", "b", "c")}


def predictions(count: int, size: int, seed: int, levels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that know something of them; in steps, so that many are equal, if asked."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(count), rng.integers(count, size=size - count)]
    known = rng.dirichlet(np.ones(count), size=size) + 0.6 * np.eye(count)[labels]
    if levels:
        known = np.ceil(known * levels)
    return labels, known / known.sum(axis=1, keepdims=True)


def point(figures: dict[str, Any], name: str) -> float | None:
    """A figure by its dotted name."""
    value: Any = figures
    for part in name.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("levels", [0, 4])
def test_quick_figures_are_those_of_scikit_learn_on_the_repeated_rows(count: int, levels: int) -> None:
    labels, probabilities = predictions(count, 80, seed=count + levels, levels=levels)
    rng = np.random.default_rng(7)
    times = np.stack([np.bincount(rng.integers(80, size=80), minlength=80) for _ in range(20)] + [np.ones(80)])
    found = weighted_figures(times.astype(float), labels, probabilities, CLASSES[count])
    found = {name: found[name] for name in figure_names(CLASSES[count])}
    for draw, row in enumerate(times.astype(int)):
        rows = np.repeat(np.arange(80), row)
        expected = classification_metrics(labels[rows], probabilities[rows], CLASSES[count])
        assert expected["undefined"] == []
        for name, values in found.items():
            # Its bins are those of the slices at hand, not of the resample.
            if name != "calibration_error":
                assert values[draw] == pytest.approx(point(expected, name), abs=1e-12), name
    whole = classification_metrics(labels, probabilities, CLASSES[count])
    assert found["calibration_error"][-1] == pytest.approx(whole["calibration_error"], abs=1e-12)


def test_quick_figures_are_undefined_where_scikit_learn_s_are() -> None:
    labels, probabilities = (
        np.array([0, 0, 1, 2]),
        np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.3, 0.6]]),
    )
    # Without the last slice nothing is of class c and nothing is given to it.
    found = weighted_figures(np.array([[1.0, 1.0, 1.0, 0.0]]), labels, probabilities, CLASSES[3])
    gone = {"balanced_accuracy", "roc_auc", "average_precision", "macro.precision", "macro.recall", "macro.f1"}
    gone |= {f"per_class.c.{name}" for name in ("precision", "recall", "f1", "roc_auc", "average_precision")}
    assert {name for name, values in found.items() if np.isnan(values[0])} == gone


def test_every_figure_has_an_interval_around_it() -> None:
    labels, probabilities = predictions(3, 150, seed=2)
    groups = [f"g{row // 2}" for row in range(150)]
    found = measure(labels, probabilities, groups, CLASSES[3], draws=200, seed=1)
    assert set(found["intervals"]) == set(figure_names(CLASSES[3]))
    for name, interval in found["intervals"].items():
        assert interval["draws"] == 200
        assert interval["low"] < point(found, name) < interval["high"], name
    assert json.loads(json.dumps(found)) == found


def test_intervals_are_those_of_the_bootstrap_one_figure_at_a_time() -> None:
    labels, probabilities = predictions(2, 90, seed=5)
    groups = [f"g{row // 3}" for row in range(90)]
    found = measure(labels, probabilities, groups, CLASSES[2], draws=100, seed=4)["intervals"]
    names = [CLASSES[2][label] for label in labels]
    alone = group_bootstrap(groups, names, lambda i: area(labels[i] == 0, probabilities[i, 0]), 100, 4).to_dict()
    assert found["per_class.sick.roc_auc"] == alone | {
        key: pytest.approx(alone[key], abs=1e-12) for key in ("low", "high")
    }


def test_the_interval_of_a_calibrated_network_s_calibration_error_holds_zero() -> None:
    held = 0
    for seed in range(20):
        study = draw_study(seed, sharpness=1.0)
        interval = measure(*study, ("sick", "well"), draws=100, seed=seed)["intervals"]["calibration_error"]
        held += interval["low"] == 0.0
    assert held >= 17


def small_class(groups: int, count: int = 2) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A study whose first class lies in so many groups, with 12 slices; each other slice is a group."""
    labels = np.r_[np.zeros(12, dtype=np.int64), 1 + np.arange(48) % (count - 1)]
    known = np.random.default_rng(3).dirichlet(np.ones(count), size=60) + 0.3 * np.eye(count)[labels]
    probabilities = known / known.sum(axis=1, keepdims=True)
    return labels, probabilities, [f"few {row % groups}" if row < 12 else f"g{row}" for row in range(60)]


@pytest.mark.parametrize(("groups", "named"), [(1, "1 group"), (4, "4 groups")])
def test_figures_that_rest_on_a_class_of_few_groups_have_no_interval_and_say_so(groups: int, named: str) -> None:
    found = measure(*small_class(groups), CLASSES[2], draws=50, seed=1)
    # The recall of the other class knows nothing of this one, and so does the specificity of this one: the same share.
    free = {"per_class.well.recall", "per_class.sick.specificity"}
    for name, interval in found["intervals"].items():
        if name in free:
            assert interval["low"] < point(found, name) < interval["high"]
        else:
            assert (interval["low"], interval["high"]) == (None, None), name
            assert interval["reason"] == f"class sick has {named}; an interval needs 5"
    assert found["roc_auc"] is not None


def test_of_three_classes_a_specificity_rests_on_the_other_two() -> None:
    found = measure(*small_class(2, 3), CLASSES[3], draws=50, seed=1)["intervals"]
    with_ends = {name for name, interval in found.items() if interval["low"] is not None and "precision" not in name}
    assert with_ends == {"per_class.b.recall", "per_class.c.recall", "per_class.a.specificity"}


def test_a_mean_over_slices_has_an_interval_where_the_class_of_few_groups_is_a_small_part_of_them() -> None:
    labels = np.r_[np.zeros(2, dtype=np.int64), np.ones(28, dtype=np.int64)]
    known = np.random.default_rng(3).dirichlet(np.ones(2), size=30)
    found = measure(labels, known, [f"g{row}" for row in range(30)], CLASSES[2], draws=200, seed=1)["intervals"]
    drawn = {name for name, interval in found.items() if interval["low"] is not None and interval["draws"]}
    assert drawn == {"brier", "log_loss"}
    # Each group is one slice: a share of them has an exact interval, however few.
    assert found["accuracy"]["reason"] == "exact interval of 30 groups"
    assert found["per_class.well.recall"]["reason"] == "exact interval of 28 groups"
    assert found["per_class.sick.recall"]["reason"].startswith("exact interval")


def test_a_mean_over_slices_has_none_where_a_tenth_of_them_are_one_group_s() -> None:
    # Nothing says whether that group's ten slices are told rightly elsewhere: by a tenth the accuracy may be another.
    labels = np.r_[np.zeros(10, dtype=np.int64), np.ones(90, dtype=np.int64)]
    known = np.random.default_rng(3).dirichlet(np.ones(2), size=100)
    groups = ["one"] * 10 + [f"g{row}" for row in range(90)]
    found = measure(labels, known, groups, CLASSES[2], draws=50, seed=1)["intervals"]
    for name in ("accuracy", "brier", "log_loss"):
        assert (found[name]["low"], found[name]["reason"]) == (None, "class sick has 1 group; an interval needs 5")


def test_five_groups_of_a_class_are_enough() -> None:
    found = measure(*small_class(5), CLASSES[2], draws=50, seed=1)["intervals"]
    assert all(interval["low"] is not None for interval in found.values())


def test_shares_of_a_perfect_network_have_exact_intervals_and_nothing_has_one_of_no_width() -> None:
    labels = np.arange(40) % 2
    found = measure(labels, np.eye(2)[labels] * 0.8 + 0.1, [f"g{row}" for row in range(40)], CLASSES[2], 50, 1)
    assert found["accuracy"] == 1.0
    intervals = found["intervals"]
    assert (intervals["accuracy"]["low"], intervals["accuracy"]["high"]) == (pytest.approx(0.025 ** (1 / 40)), 1.0)
    for name in ("recall", "precision", "specificity"):
        exact = intervals[f"per_class.sick.{name}"]
        assert (exact["low"], exact["high"]) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
        assert exact["reason"] == "exact interval, as all slices of 20 groups agree"
    assert intervals["roc_auc"]["reason"] == "every draw gave the same: too little to draw from"


def test_the_exact_interval_of_a_recall_needs_no_more_than_its_groups_and_is_that_of_the_operating_point() -> None:
    labels, probabilities, groups = small_class(2)
    probabilities[labels == 0] = [0.9, 0.1]
    found = measure(labels, probabilities, groups, CLASSES[2], 50, 1)["intervals"]
    assert found["per_class.sick.recall"]["low"] == pytest.approx(0.025**0.5)
    even = OperatingPoint("well", 0.5, 0.5, 0.5, 0.95, 1.0, 1.0, 10)
    judged = judge(even, labels, probabilities, groups, CLASSES[2], 50, 1)
    assert judged["sensitivity"]["interval"] == found["per_class.sick.recall"]
    assert judged["specificity"]["interval"] == pytest.approx(found["per_class.well.recall"])


def test_an_undefined_figure_says_so_in_the_place_of_its_interval() -> None:
    labels, names = np.arange(30) % 2 * 2, ("abnormal", "normal", "odd")
    given = np.where(labels[:, None] == 0, [[0.7, 0.1, 0.2]], [[0.2, 0.1, 0.7]])
    found = measure(labels, given, [f"g{row}" for row in range(30)], names, 50, 1)["intervals"]
    never, absent = "precision of normal: never predicted", "recall, ROC AUC and average precision of normal"
    assert found["per_class.normal.precision"]["reason"] == found["macro.precision"]["reason"] == never
    for name in ("per_class.normal.recall", "per_class.normal.roc_auc", "roc_auc", "balanced_accuracy"):
        assert found[name]["reason"].startswith(absent)
        assert found[name]["low"] is None
    assert found["per_class.abnormal.precision"]["low"] == pytest.approx(0.025 ** (1 / 15))


def test_majority_and_trivial_figures_stand_beside_the_network_s() -> None:
    labels, probabilities = predictions(2, 60, seed=3)
    _, trivial = predictions(2, 60, seed=4)
    groups = [f"g{row // 2}" for row in range(60)]
    found = measure_beside(labels, probabilities, groups, CLASSES[2], trivial, [0.6, 0.4], draws=100, seed=1)
    assert found["network"] == measure(labels, probabilities, groups, CLASSES[2], 100, 1)
    assert found["trivial"] == measure(labels, trivial, groups, CLASSES[2], 100, 1)
    share = float((labels == 0).mean())
    assert found["majority"]["accuracy"] == pytest.approx(share)
    assert found["majority"]["roc_auc"] == 0.5
    assert found["majority"]["average_precision"] == pytest.approx(0.5)
    assert found["majority"]["calibration_error"] == pytest.approx(abs(share - 0.6))
    assert found["majority"]["intervals"]["mcc"]["reason"] == "MCC: every slice was given sick"
    # That whoever always says the same finds all of one class is no finding.
    assert found["majority"]["per_class"]["sick"]["recall"] == 1.0
    assert found["majority"]["intervals"]["per_class.sick.recall"]["low"] is None
    by_class = {name: len({groups[row] for row in np.flatnonzero(labels == i)}) for i, name in enumerate(CLASSES[2])}
    assert (found["slices"], found["groups"], found["groups_by_class"]) == (60, 30, by_class)


@pytest.mark.parametrize("trivial", [None, np.full((20, 2), np.nan)])
def test_no_trivial_figures_are_given_where_there_are_none(trivial: np.ndarray | None) -> None:
    labels, probabilities = predictions(2, 20, seed=3)
    groups = [f"g{row}" for row in range(20)]
    found = measure_beside(labels, probabilities, groups, CLASSES[2], trivial, [0.5, 0.5], 10, 1, "too few groups")
    assert (found["trivial"], found["trivial_reason"]) == (None, "too few groups")


def test_a_thousand_draws_of_all_figures_take_seconds_at_most() -> None:
    labels, probabilities = predictions(2, 400, seed=1)
    started = time.process_time()
    measure(labels, probabilities, [f"g{row}" for row in range(400)], CLASSES[2], draws=1000, seed=1)
    assert time.process_time() - started < 5.0


# --- Against other methods and known truths ----------------------------------------------------------------------------


def delong(positive: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """95 % interval of the area by DeLong et al. (1988), normal approximation; placements as in Sun and Xu (2014)."""
    high, low = scores[positive], scores[~positive]
    beaten = (high[:, None] > low[None, :]) + 0.5 * (high[:, None] == low[None, :])
    auc = beaten.mean()
    variance = beaten.mean(axis=1).var(ddof=1) / len(high) + beaten.mean(axis=0).var(ddof=1) / len(low)
    return auc - 1.96 * sqrt(variance), auc + 1.96 * sqrt(variance)


@pytest.mark.parametrize("seed", range(3))
def test_intervals_of_the_area_agree_with_delong_s_on_independent_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = np.arange(300) < 150
    first = 1 / (1 + np.exp(-(rng.normal(size=300) + 1.2 * positive)))
    labels, probabilities = np.where(positive, 0, 1), np.stack([first, 1 - first], axis=1)
    found = measure(labels, probabilities, [str(row) for row in range(300)], CLASSES[2], draws=2000, seed=seed)
    interval = found["intervals"]["roc_auc"]
    # A tenth of the width of some 0.09, which also is what 2,000 draws leave to chance.
    assert (interval["low"], interval["high"]) == pytest.approx(delong(positive, first), abs=0.009)


def test_the_known_truths_of_the_simulated_studies_are_theirs() -> None:
    labels, probabilities, _ = draw_study(0, patients=20_000)
    found = classification_metrics(labels, probabilities, CLASSES[2])
    assert {name: found[name] for name in TRUTH} == pytest.approx(TRUTH, abs=0.01)
    assert pytest.approx(0.5 * (1.0 + erf(0.5))) == TRUTH["roc_auc"]


@pytest.mark.slow
def test_intervals_over_groups_hold_the_truth_as_often_as_they_say_and_over_files_they_do_not() -> None:
    found = shares_covered(studies=500, draws=200, seed=1, figures=("roc_auc", "accuracy"))
    for name in ("roc_auc", "accuracy"):
        assert 0.92 <= found["groups"][name] <= 0.98
        assert found["files"][name] < 0.80

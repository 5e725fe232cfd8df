"""Intervals from drawing groups."""

from __future__ import annotations

import json
from math import erf
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from lung_tumor.bootstrap import (
    FEWEST_GROUPS,
    Indices,
    Interval,
    exact_share,
    few_groups,
    fewest_groups,
    group_bootstrap,
    interval_of,
    resamples,
    share_of_groups,
    tails,
)
from lung_tumor.roc import area

GROUPS = ["a", "a", "a", "b", "c", "c", "d", "e", "m", "m"]
CLASSES = ["x", "x", "x", "x", "x", "x", "y", "y", "x", "y"]


def study(seed: int) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """40 pictures of each class, 1 to 8 copies of each; scores of the classes lie one standard deviation apart."""
    rng = np.random.default_rng(seed)
    copies = rng.integers(1, 9, size=80)
    sick = np.repeat(np.arange(80) < 40, copies)
    scores = np.repeat(rng.normal(size=80) + (np.arange(80) < 40), copies)
    groups = [str(group) for group in np.repeat(np.arange(80), copies)]
    return groups, ["sick" if is_sick else "well" for is_sick in sick], sick, scores


def covers(interval: Interval) -> bool:
    truth = 0.5 * (1.0 + erf(0.5))  # normal scores one deviation apart: the normal distribution function at 1/sqrt(2)
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= truth <= interval.high


def test_the_interval_covers_the_truth_as_often_as_it_says_and_one_over_files_does_not() -> None:
    by_group, by_file = 0, 0
    for seed in range(100):
        groups, classes, sick, scores = study(seed)

        def auc(indices: Indices, sick: np.ndarray = sick, scores: np.ndarray = scores) -> float | None:
            return area(sick[indices], scores[indices])

        by_group += covers(group_bootstrap(groups, classes, auc, 100, seed))
        by_file += covers(group_bootstrap([str(row) for row in range(len(groups))], classes, auc, 100, seed))
    assert 0.90 <= by_group / 100 <= 0.99
    assert by_file / 100 < 0.80


def test_a_resample_holds_whole_groups_and_as_many_of_each_stratum_as_there_are() -> None:
    seen = set()
    for indices in resamples(GROUPS, CLASSES, 50, seed=1):
        counts = np.bincount(indices, minlength=len(GROUPS))
        copies = {}
        for group in set(GROUPS):
            of_group = {int(counts[row]) for row, name in enumerate(GROUPS) if name == group}
            assert len(of_group) == 1
            copies[group] = of_group.pop()
        assert copies["a"] + copies["b"] + copies["c"] == 3
        assert copies["d"] + copies["e"] == 2
        # The only group of both classes is a stratum of its own.
        assert copies["m"] == 1
        seen.add(tuple(sorted(copies.items())))
    assert len(seen) > 10


def test_no_resample_loses_a_rare_class() -> None:
    groups = [str(row) for row in range(100)]
    classes = ["rare"] * 2 + ["common"] * 98
    assert all((indices < 2).sum() == 2 for indices in resamples(groups, classes, 200, seed=3))


def test_an_interval_of_a_mean_agrees_with_its_standard_error() -> None:
    values = np.random.default_rng(6).normal(size=400)
    groups = [str(row) for row in range(400)]
    found = group_bootstrap(groups, ["one"] * 400, lambda i: float(values[i].mean()), 2000, seed=1)
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.015)


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_the_rows() -> None:
    groups, classes, sick, scores = study(0)
    order = np.random.default_rng(0).permutation(len(groups))

    def interval(rows: np.ndarray, seed: int) -> Interval:
        return group_bootstrap(
            [groups[row] for row in rows],
            [classes[row] for row in rows],
            lambda i: area(sick[rows][i], scores[rows][i]),
            50,
            seed,
        )

    straight = interval(np.arange(len(groups)), 1)
    assert straight == interval(np.arange(len(groups)), 1) == interval(order, 1)
    assert straight != interval(order, 2)


def test_two_figures_under_one_seed_see_the_same_resamples() -> None:
    first = [indices.tolist() for indices in resamples(GROUPS, CLASSES, 5, seed=9)]
    assert first == [indices.tolist() for indices in resamples(GROUPS, CLASSES, 5, seed=9)]


@pytest.mark.parametrize(
    ("groups", "student", "low"),
    # Student's quantiles from a printed table; the normal distribution function at -t * sqrt(n / (n - 1)) from another.
    [(5, 2.776, 0.00096), (10, 2.262, 0.00856), (14, 2.160, 0.01249), (61, 2.000, 0.02187), (10**9, 1.960, 0.025)],
)
def test_the_ends_lie_farther_out_the_fewer_groups_there_are(groups: int, student: float, low: float) -> None:
    assert tails(groups) == pytest.approx((low, 1.0 - low), abs=2e-5)
    assert NormalDist().inv_cdf(tails(groups)[0]) == pytest.approx(-student * (groups / (groups - 1)) ** 0.5, abs=1e-3)


def test_the_expanded_interval_of_a_mean_is_student_s() -> None:
    values = np.random.default_rng(4).normal(size=14)
    groups = [str(row) for row in range(14)]
    found = group_bootstrap(groups, ["one"] * 14, lambda rows: float(values[rows].mean()), 20_000, seed=1)
    half = 2.160 * values.std(ddof=1) / 14**0.5
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


@pytest.mark.parametrize("groups", [-1, 0, 1])
def test_of_one_group_there_are_no_ends(groups: int) -> None:
    with pytest.raises(ValueError, match=f"2 groups or more, received {groups}"):
        interval_of([0.1, 0.2], groups)


def test_an_interval_rests_on_the_fewest_groups_of_a_class_that_tells() -> None:
    groups, classes = [*"aabbb", *"cdefg"], ["normal"] * 5 + ["sick"] * 5
    assert fewest_groups(groups, classes) == 2
    # Two of thirty slices in one group: w² / k is 0.0044 beside 0.0311 of the other class, an eighth of the sum. Two of
    # fifty: 0.0016 beside 0.0192, a thirteenth.
    for others, fewest in ((28, 1), (48, 48)):
        named = ["m", "m", *(f"g{number}" for number in range(others))]
        strata = ["few"] * 2 + ["many"] * others
        assert fewest_groups(named, strata, mean=True) == fewest
        assert bool(few_groups(named, strata, mean=True)) == (fewest == 1)
        assert fewest_groups(named, strata) == 1


def test_of_a_dozen_equal_classes_all_tell_on_a_mean() -> None:
    groups, classes = [f"g{row}" for row in range(24)], [f"c{row // 2:02d}" for row in range(24)]
    assert fewest_groups(groups, classes, mean=True) == 2
    assert few_groups(groups, classes, mean=True).startswith("class c00 has 2 groups")


def test_few_undefined_draws_are_named_and_left_out() -> None:
    found = interval_of([*np.linspace(0.0, 1.0, 98), None, float("nan")], 10**9)
    assert (found.low, found.high) == pytest.approx((0.025, 0.975), abs=1e-6)
    assert (found.draws, found.undefined) == (100, 2)
    assert found.reason == "2 of 100 draws left the figure undefined"


def test_many_undefined_draws_leave_no_interval() -> None:
    found = interval_of([0.5] * 94 + [None] * 6, 9)
    assert (found.low, found.high, found.undefined) == (None, None, 6)
    assert found.reason == "6 of 100 draws left the figure undefined"
    assert json.loads(json.dumps(found.to_dict()))["low"] is None


def test_a_class_of_few_groups_has_no_interval_and_is_named_however_many_slices_it_has() -> None:
    groups, classes = [*"aabbb", *"cdefg"], ["normal"] * 5 + ["sick"] * 5
    found = group_bootstrap(groups, classes, lambda indices: float(indices.mean()), 10, seed=1)
    assert (found.low, found.high, found.draws) == (None, None, 0)
    assert found.reason == "class normal has 2 groups; an interval needs 5"
    assert few_groups(["a", "b"], ["x", "y"]) == "class x has 1 group, class y has 1 group; an interval needs 5"
    assert FEWEST_GROUPS == 5
    assert few_groups([*"abcd"], ["x"] * 4) != ""
    assert few_groups([*"abcde"], ["x"] * 5) == ""


def test_a_share_of_groups_has_clopper_and_pearson_s_interval() -> None:
    # 18 of 20: the ends from their table.
    found = share_of_groups(18, 20)
    assert (found.low, found.high) == pytest.approx((0.683, 0.988), abs=5e-4)
    assert found.reason == "exact interval of 20 groups"
    assert share_of_groups(3, 3).low == pytest.approx(0.025 ** (1 / 3))
    for hits, groups in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match=f"received {hits} of {groups}"):
            share_of_groups(hits, groups)


@pytest.mark.parametrize("groups", [1, 2, 5, 30])
def test_a_share_of_all_or_nothing_has_clopper_and_pearson_s_interval_over_groups(groups: int) -> None:
    names = [f"g{row // 3}" for row in range(3 * groups)]
    every = exact_share(np.ones(3 * groups, dtype=bool), names, ["x"] * len(names))
    none = exact_share(np.zeros(3 * groups, dtype=bool), names, ["x"] * len(names))
    expected = binomtest(groups, groups).proportion_ci(method="exact")
    assert every is not None
    assert none is not None
    assert (every.low, every.high) == pytest.approx((expected.low, expected.high))
    assert (none.low, none.high) == pytest.approx((0.0, 1.0 - expected.low))
    assert every.reason == f"exact interval, as all slices of {groups} group{'s' if groups > 1 else ''} agree"


def test_any_other_share_has_no_exact_interval() -> None:
    assert exact_share(np.array([True, False, True]), ["a", "b", "b"], ["x", "x", "x"]) is None
    assert exact_share(np.array([], dtype=bool), [], []) is None


def test_an_interval_of_few_groups_says_that_it_is_too_narrow() -> None:
    values = np.random.default_rng(0).normal(size=500).tolist()
    assert interval_of(values, 9).reason == "of 9 groups in a class: it holds the truth less often than it says"
    assert interval_of(values, 10).reason == ""
    told = interval_of([*values, None], 9).reason
    assert told.startswith("1 of 501 draws left the figure undefined; of 9 groups")


def test_a_share_of_single_slices_of_one_class_is_that_of_independent_trials() -> None:
    """Missing one slice must not prove more than missing none."""
    groups, classes = [f"g{row}" for row in range(28)], ["sick"] * 28
    ends = [exact_share(np.arange(28) >= missed, groups, classes) for missed in range(5)]
    assert all(found is not None for found in ends)
    lows, highs = ([found.low for found in ends if found], [found.high for found in ends if found])
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs, reverse=True)
    # Of 25 of 28: with these chances so few, and so many, are found in 2.5 % of studies each.
    assert binom.sf(24, 28, lows[3]) == pytest.approx(0.025)
    assert binom.cdf(25, 28, highs[3]) == pytest.approx(0.025)


def test_a_class_of_few_groups_and_many_slices_holds_the_exact_interval_wide() -> None:
    # Half of the slices lie in two groups of one class: as if there were four groups; the other class's sixty add nothing.
    groups, classes = [f"g{row}" for row in range(60)] + ["m"] * 30 + ["n"] * 30, ["sick"] * 60 + ["normal"] * 60
    found = exact_share(np.ones(120, dtype=bool), groups, classes)
    assert found is not None
    assert found.low == pytest.approx(0.025**0.25)
    # Where the classes are as many slices as groups it is that of all groups together.
    even = exact_share(np.ones(90, dtype=bool), [f"g{row}" for row in range(90)], ["sick"] * 60 + ["normal"] * 30)
    assert even is not None
    assert even.low == pytest.approx(0.025 ** (1 / 90))


def test_the_exact_interval_of_two_classes_holds_the_truth_whichever_class_is_at_fault() -> None:
    # 4 groups of one slice, 2 of ten: the worst truths that are seen without any fault in more than 2.5 % of studies.
    groups, classes = [*"abcd", *("m" * 10), *("n" * 10)], ["x"] * 4 + ["y"] * 20
    found = exact_share(np.ones(24, dtype=bool), groups, classes)
    assert found is not None
    assert found.low is not None
    chances = np.linspace(0.001, 1.0, 1000)
    first, second = np.meshgrid(chances, chances)
    seen = first**4 * second**2 > 0.025
    assert ((4 * first + 20 * second) / 24)[seen].min() >= found.low - 1e-9


def test_a_group_of_two_classes_is_one_observation_in_the_exact_interval() -> None:
    # Ten patients, each with slices of both classes, all told rightly: ten observations, not ten of each class.
    patients, classes = [f"p{row // 2}" for row in range(20)], ["sick", "well"] * 10
    found = exact_share(np.ones(20, dtype=bool), patients, classes)
    assert found is not None
    assert found.low == pytest.approx(0.025 ** (1 / 10))
    # With ten more of one class alone two thirds of the slices lie in the ten of both.
    more = exact_share(
        np.ones(30, dtype=bool), [*patients, *(f"q{row}" for row in range(10))], [*classes, *["well"] * 10]
    )
    assert more is not None
    assert more.low == pytest.approx(0.025 ** (2 / 3 / 10))


@pytest.mark.parametrize(
    ("groups", "classes", "draws", "message"),
    [
        ([], [], 10, "received 0 and 0"),
        (["a", "b"], ["x"], 10, "received 2 and 1"),
        ([*"abcde"], ["x"] * 5, 0, "draws must be at least 1, received 0"),
    ],
)
def test_what_cannot_be_drawn_from_is_named(groups: list[str], classes: list[str], draws: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        group_bootstrap(groups, classes, lambda indices: 0.5, draws, seed=1)
    with pytest.raises(ValueError, match=message):
        resamples(groups, classes, draws, seed=1)


def test_draws_that_differ_by_rounding_alone_leave_no_interval_of_no_width() -> None:
    found = interval_of([0.5, np.nextafter(0.5, 1.0), 0.1 + 0.2 + 0.2], 9)
    assert (found.low, found.reason) == (None, "every draw gave the same: too little to draw from")


def test_an_interval_of_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one draw"):
        interval_of([], 9)

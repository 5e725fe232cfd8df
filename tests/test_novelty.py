"""Whether a slice is like those learnt from: geometry by hand, and real weights on slices and pictures that are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lung_tumor.imaging import PreparationOptions, prepare
from lung_tumor.novelty import LEAST_CUT_OFF, MOST_CUT_OFF, Novelty, NoveltyOptions, band_weights, cut_off, unit
from lung_tumor.novelty import fit as fit_both
from lung_tumor.phantom import PhantomOptions, draw_slice
from tests.support.novelty import distances, judge


def at(*degrees: float) -> np.ndarray:
    """Points of the unit circle: the cosine distance of two is 1 less the cosine of the angle between them."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def cosine_distance(degrees: float) -> float:
    return 1.0 - float(np.cos(np.deg2rad(degrees)))


def cluster(n: int, seed: int = 0) -> np.ndarray:
    """Points around one direction of 16 dimensions."""
    rng = np.random.default_rng(seed)
    return unit((np.eye(16)[0] + rng.normal(0.0, 0.1, (n, 16))).astype(np.float32))


def fit(features: np.ndarray, groups: list[str], options: NoveltyOptions) -> Novelty:
    """Upside down is the opposite direction: nothing near the features is nearer to it."""
    return fit_both(features, -features, np.zeros(len(features), np.float32), groups, options)


def test_the_threshold_never_looks_at_the_own_group() -> None:
    features, groups = at(0.0, 1.0, 20.0, 21.0, 50.0), ["a", "a", "b", "b", "c"]
    options = NoveltyOptions(neighbours=1, acceptance=1.0)
    # The slice at 50 degrees is the farthest from all others: 29 from that at 21.
    assert fit(features, groups, options).rule.threshold == pytest.approx(cosine_distance(29.0), abs=1e-6)
    # A copy of it in its own group changes nothing, one in another group does.
    copies = np.concatenate([features, features[4:]])
    own, other = (fit(copies, [*groups, name], options).rule.threshold for name in ("c", "d"))
    assert own == pytest.approx(cosine_distance(29.0), abs=1e-6)
    assert other == pytest.approx(cosine_distance(20.0), abs=1e-6)


@pytest.mark.parametrize("acceptance", [0.5, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("most", [2, 30, 500])
def test_the_threshold_accepts_the_share_that_it_says(acceptance: float, most: int) -> None:
    features = cluster(60)
    groups = [f"g{number // 2}" for number in range(60)]
    fitted = fit(features, groups, NoveltyOptions(acceptance=acceptance, most_references=most))
    assert fitted.rule.acceptance == acceptance
    assert fitted.rule.references == len(fitted.references) == min(most, 60)
    named = np.asarray(groups)
    kept = [int(np.flatnonzero((features == row).all(axis=1))[0]) for row in fitted.references]
    held_out = [
        distances(features[[i]], features[[j for j in kept if named[j] != named[i]]], fitted.rule.neighbours)[0]
        for i in range(60)
    ]
    assert np.sum(held_out <= np.float32(fitted.rule.threshold + 1e-6)) == np.ceil(acceptance * 59 + 1 - 1e-9)


def test_what_lies_elsewhere_is_beyond_the_threshold_and_more_of_the_same_is_not() -> None:
    fitted = fit(cluster(80), [str(number) for number in range(80)], NoveltyOptions())
    same = distances(cluster(200, seed=1), fitted.references, fitted.rule.neighbours)
    assert (same <= fitted.rule.threshold).mean() >= 0.9
    elsewhere = unit(np.roll(cluster(50), 3, axis=1))
    assert (distances(elsewhere, fitted.references, fitted.rule.neighbours) > fitted.rule.threshold).all()


def test_few_groups_lower_the_number_of_neighbours_to_what_every_slice_has() -> None:
    fitted = fit(at(0.0, 1.0, 2.0, 10.0, 11.0), ["a", "a", "a", "b", "b"], NoveltyOptions(neighbours=5))
    assert fitted.rule.neighbours == 2
    # The slice at 0 degrees has those at 10 and 11, and that is the farthest of all.
    assert fitted.rule.threshold == pytest.approx(cosine_distance(11.0), abs=1e-6)
    assert fit(at(0.0, 9.0), ["a", "b"], NoveltyOptions()).rule.neighbours == 1


def test_one_group_alone_cannot_say_how_far_slices_differ() -> None:
    with pytest.raises(ValueError, match="two groups or more"):
        fit(at(0.0, 1.0, 2.0), ["a", "a", "a"], NoveltyOptions())


def test_a_slice_upside_down_lies_beyond_any_threshold_however_near_it_is() -> None:
    upright, upside_down = at(*range(0, 40, 2)), at(*range(80, 40, -2))
    groups = [str(number) for number in range(20)]
    fitted = fit_both(upright, upside_down, np.zeros(20, np.float32), groups, NoveltyOptions(neighbours=1))
    assert fitted.rule.threshold < 0.01
    np.testing.assert_allclose(judge(fitted, at(1.0, 39.9)), [cosine_distance(1.0), cosine_distance(1.9)], atol=1e-6)
    # 40.1 degrees is as near to the references, but nearer to the mean of what is upside down.
    np.testing.assert_allclose(judge(fitted, at(40.1)), 1.0 + cosine_distance(2.1), atol=1e-6)


def test_slices_taken_for_upside_down_do_not_raise_the_threshold() -> None:
    # Every other training slice is called upside down: that is a poor rule, but distances still count.
    features = at(*[0.0, 90.0] * 10)
    groups = [str(number) for number in range(20)]
    fitted = fit_both(features, at(*[80.0] * 20), np.zeros(20, np.float32), groups, NoveltyOptions(neighbours=1))
    assert (judge(fitted, features) > 1.0 - 1e-6).sum() == 10
    assert fitted.rule.threshold < 0.01


def test_even_pixels_equal_their_right_and_lower_neighbours_and_are_not_black() -> None:
    picture = np.array(
        [
            [7, 7, 7, 0],
            [7, 7, 9, 0],
            [7, 9, 9, 0],
            [0, 0, 0, 0],
        ],
        np.uint8,
    )
    # Nine bright pixels have both neighbours; those three in the upper left corner are even: of each other one differs.
    np.testing.assert_allclose(cut_off(picture[None]), [3 / 9], rtol=1e-6)
    flat, noise = np.full((8, 8), 3, np.uint8), np.arange(64, dtype=np.uint8).reshape(8, 8)
    np.testing.assert_array_equal(cut_off(np.stack([flat, noise, np.zeros((8, 8), np.uint8)])), [1.0, 0.0, 0.0])


@pytest.mark.parametrize("angle", [np.rot90, np.flipud, np.fliplr])
def test_what_a_window_has_cut_off_hardly_depends_on_the_way_a_slice_lies(angle: Callable[..., np.ndarray]) -> None:
    drawn = prepare(draw_slice(3, PhantomOptions(slices=8)).pixels, PreparationOptions())
    clipped = np.maximum(drawn, np.uint8(90))
    assert cut_off(clipped[None])[0] > 2.0 * cut_off(drawn[None])[0]
    np.testing.assert_allclose(cut_off(angle(clipped)[None]), cut_off(clipped[None]), atol=0.02)


@pytest.mark.parametrize(("most", "expected"), [(0.05, LEAST_CUT_OFF), (0.2, 0.2 * 98 / 99)])
def test_about_the_most_that_is_cut_off_of_training_slices_is_accepted_or_what_a_lung_window_cuts_off(
    most: float, expected: float
) -> None:
    cut = np.linspace(0.0, most, 100, dtype=np.float32)
    features, groups = cluster(100), [str(number) for number in range(100)]
    rule = fit_both(features, -features, cut, groups, NoveltyOptions()).rule
    assert rule.most_cut_off == pytest.approx(expected, rel=1e-6)
    assert (cut <= np.float32(rule.most_cut_off)).mean() >= 0.98


def test_a_few_posterised_training_slices_do_not_open_the_rule_to_every_window() -> None:
    cut = np.full(100, 0.05, dtype=np.float32)
    cut[:3] = 0.9
    features, groups = cluster(100), [str(number) for number in range(100)]
    rule = fit_both(features, -features, cut, groups, NoveltyOptions()).rule
    assert (rule.most_cut_off, rule.too_cut_off) == (MOST_CUT_OFF, 3)


@pytest.mark.parametrize(
    ("upside_down", "accepted"),
    [
        # The mean upright lies near 11 degrees, the middle between both at -4: no slice is nearer to what is upside down.
        (-20.0, 17),
        # The middle lies between 13 and 14 degrees: those at 14 to 18 are refused too.
        (16.0, 12),
    ],
)
def test_what_the_whole_rule_accepts_is_counted(upside_down: float, accepted: int) -> None:
    # Nineteen slices a degree apart, of the first two of which much is cut off, and one far from all others.
    features, flipped = at(*range(19), 60.0), at(*[upside_down] * 20)
    cut = np.zeros(20, np.float32)
    cut[:2] = 0.5
    groups = [str(number) for number in range(20)]
    rule = fit_both(features, flipped, cut, groups, NoveltyOptions(neighbours=1, acceptance=0.9)).rule
    assert rule.threshold == pytest.approx(cosine_distance(1.0), abs=1e-6)
    assert (rule.learnt, rule.too_cut_off, rule.accepted) == (20, 2, accepted)


def test_fewer_references_cover_the_same_corners() -> None:
    features = np.concatenate([cluster(300), unit(np.roll(cluster(4, seed=3), 1, axis=1))])
    groups = [str(number) for number in range(len(features))]
    fitted = fit(features, groups, NoveltyOptions(neighbours=1, most_references=60))
    assert len(fitted.references) == 60
    # The four slices far from all the others, 1 in 75, are not lost.
    assert distances(features[-4:], fitted.references, 1).max() < 0.2

    # Chords obey the triangle inequality: a distance grows by no more than the farthest gap that was left.
    def chord(x: np.ndarray) -> np.ndarray:
        return np.sqrt(2.0 * np.maximum(x, 0.0))

    gap = chord(distances(features, fitted.references, 1)).max()
    new = cluster(200, seed=2)
    grown = chord(distances(new, fitted.references, 1)) - chord(distances(new, features, 1))
    assert grown.min() >= -1e-3
    assert grown.max() <= gap + 1e-3
    again = fit(features, groups, NoveltyOptions(neighbours=1, most_references=60))
    np.testing.assert_array_equal(again.references, fitted.references)


def test_references_are_of_two_groups_even_where_one_holds_nearly_all() -> None:
    features = np.concatenate([cluster(100), cluster(1, seed=9)])
    fitted = fit(features, ["large"] * 100 + ["small"], NoveltyOptions(most_references=2))
    assert any(np.array_equal(row, features[-1]) for row in fitted.references)


def test_a_row_of_positions_counts_in_each_band_by_its_share() -> None:
    np.testing.assert_allclose(band_weights(4, 2), [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]])
    np.testing.assert_allclose(band_weights(3, 2), [[2 / 3, 1 / 3, 0.0], [0.0, 1 / 3, 2 / 3]], rtol=1e-6)
    np.testing.assert_allclose(band_weights(1, 3), np.ones((3, 1)))
    np.testing.assert_allclose(band_weights(14, 3).sum(axis=1), 1.0, rtol=1e-6)


def test_nothing_but_zeros_has_no_direction_and_is_far_from_everything() -> None:
    zeros = np.zeros((1, 2), np.float32)
    np.testing.assert_array_equal(unit(zeros), zeros)
    np.testing.assert_array_equal(distances(unit(zeros), at(0.0, 90.0), 1), [1.0])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("blocks", (6,), r"one or more of \[1, 2, 3, 4, 5\], received \(6,\)"),
        ("blocks", (), "one or more"),
        ("bands", 0, "1 or more, received 0"),
        ("neighbours", 0, "1 or more, received 0"),
        ("acceptance", 1.5, r"\(0, 1\], received 1.5"),
        ("acceptance", 0.0, r"\(0, 1\], received 0.0"),
        ("most_references", 1, "2 or more, received 1"),
        ("neighbours", "five", "whole number, received 'five'"),
    ],
)
def test_options_name_what_is_wrong(name: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=f"novelty.{name} must be.*{words}|novelty.{name} must lie in {words}"):
        NoveltyOptions(**{name: value})  # type: ignore[arg-type]


def test_blocks_are_sorted_and_named_once() -> None:
    assert NoveltyOptions(blocks=[5, 4, 5]).blocks == (4, 5)  # type: ignore[arg-type]

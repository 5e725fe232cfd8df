"""Evidence laid over a slice."""

from __future__ import annotations

import numpy as np
import pytest

from lung_tumor.overlays import legend, overlay, strongest

GREY = np.full((32, 32), 100, np.uint8)


def corner(value: float) -> np.ndarray:
    evidence = np.zeros((4, 4), np.float32)
    evidence[0, 0] = value
    return evidence


def test_a_slice_without_positive_evidence_stays_as_it_is() -> None:
    for evidence in (np.zeros((4, 4), np.float32), corner(-3.0)):
        laid = overlay(GREY, evidence, 1.0)
        assert (laid.shape, laid.dtype) == ((32, 32, 3), np.uint8)
        np.testing.assert_array_equal(laid, np.full((32, 32, 3), 100))


def test_colour_lies_where_the_evidence_is() -> None:
    laid = overlay(GREY, corner(2.0), 2.0).astype(int)
    red, _, blue = laid[2, 2]
    assert red > 180
    assert blue < 30
    np.testing.assert_array_equal(laid[20, 20], [100, 100, 100])


def test_more_evidence_is_less_grey_and_one_scale_compares_slices() -> None:
    seen = [overlay(GREY, corner(value), 4.0)[0, 0].astype(int) for value in (0.5, 1.0, 2.0, 4.0)]
    saturation = [int(colour.max() - colour.min()) for colour in seen]
    assert saturation == sorted(saturation)
    assert saturation[-1] > 2 * saturation[0]
    np.testing.assert_array_equal(overlay(GREY, corner(9.0), 4.0), overlay(GREY, corner(4.0), 4.0))


def test_the_scale_of_many_maps_is_their_largest_evidence() -> None:
    assert strongest([corner(2.0), corner(5.0), corner(-9.0)]) == 5.0
    assert strongest([corner(-1.0)]) == strongest([]) == 1.0


def test_a_scale_of_nothing_and_a_map_without_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="scale must be above 0, received 0"):
        overlay(GREY, corner(1.0), 0.0)
    with pytest.raises(ValueError, match=r"shape \(rows, columns\), received \(4,\)"):
        overlay(GREY, np.zeros(4, np.float32), 1.0)


def test_the_legend_runs_from_grey_to_the_strongest_colour() -> None:
    drawn = legend()
    assert len(set(drawn[0, 0].tolist())) == 1
    np.testing.assert_array_equal(drawn[0, -1], overlay(np.full((1, 1), 255, np.uint8), np.ones((1, 1)), 1.0)[0, 0])


@pytest.mark.parametrize("grey", [0, 60, 120, 180, 255])
def test_strong_evidence_is_seen_on_every_grey_without_red_and_green_cones_apart(grey: int) -> None:
    # What a reader without red or green cones is left with: brightness, and blue against the rest.
    colour = overlay(np.full((1, 1), grey, np.uint8), np.ones((1, 1)), 1.0)[0, 0].astype(float)
    brightness = colour @ np.array([0.2126, 0.7152, 0.0722])
    yellowness = brightness - colour[2]
    assert abs(brightness - grey) + yellowness > 80

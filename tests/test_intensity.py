"""What a change of window leaves visible."""

from __future__ import annotations

import numpy as np
import pytest

from lung_tumor.intensity import LUNG_GREY, TISSUE_GREY, Normalisation, standardise
from lung_tumor.phantom import PhantomOptions, draw_slice
from tests.support.pictures import speckled

SLICE = draw_slice(0, PhantomOptions(slices=2))


def windowed(level: float, width: float) -> np.ndarray:
    grey = (SLICE.hounsfield - (level - width / 2)) * (255 / width)
    return np.rint(np.clip(grey, 0, 255)).astype(np.uint8)


def standard(pixels: np.ndarray, method: Normalisation, inside: np.ndarray | None = None) -> np.ndarray:
    return standardise(pixels, method, (1.0, 99.0), (0.0, 255.0), inside)


def test_landmarks_put_lungs_and_tissue_where_they_belong() -> None:
    pixels = np.full((60, 100), 30, np.uint8)
    pixels[:, 40:] = 130
    pixels[:, 98:] = 250
    values = standard(pixels, "landmarks")
    # The line through (30, 40) and (130, 225) reaches 255 before 250.
    assert [int(value) for value in values[0, [0, 50, 99]]] == [LUNG_GREY, TISSUE_GREY, 255]
    assert int(standard(np.append(pixels, np.full((1, 100), 80, np.uint8), axis=0), "landmarks")[-1, 0]) in (132, 133)


@pytest.mark.parametrize("window", [(-500, 1200), (-300, 1900), (-650, 1800)])
def test_landmarks_bring_windows_together_where_percentiles_do_not(window: tuple[float, float]) -> None:
    first, second = windowed(-600, 1500), windowed(*window)
    differences = {
        method: np.abs(standard(first, method).astype(int) - standard(second, method)).mean()
        for method in ("none", "percentile", "landmarks")
    }
    assert differences["landmarks"] < 12
    assert differences["landmarks"] < 0.6 * differences["none"]
    if window == (-300, 1900):
        assert differences["landmarks"] < 0.5 * differences["percentile"]


def test_equalising_does_not_see_a_monotone_change_of_greys() -> None:
    pixels = (speckled(100, 1, 80, 80) // 2).astype(np.uint8)
    changed = np.rint(255 * (np.arange(256) / 127.0).clip(0, 1) ** 1.6).astype(np.uint8)[pixels]
    assert len(np.unique(changed)) == len(np.unique(pixels))
    np.testing.assert_array_equal(standard(pixels, "equalise"), standard(changed, "equalise"))


def test_equalising_gives_each_value_the_share_below_it() -> None:
    pixels = np.repeat(np.array([[10, 20, 200, 201]], np.uint8), 4, axis=0)
    # Shares below, counting half of the equals: 1/8, 3/8, 5/8, 7/8, times 255.
    assert standard(pixels, "equalise")[0].tolist() == [32, 96, 159, 223]


@pytest.mark.parametrize("method", ["percentile", "landmarks", "equalise"])
def test_only_what_lies_inside_is_counted(method: Normalisation) -> None:
    body = np.where(np.arange(100) < 40, 60, 180).astype(np.uint8)[None].repeat(80, axis=0)
    body += speckled(20, 1, 80, 100) % 20
    inside = np.zeros((120, 100), dtype=bool)
    inside[:80] = True
    dark, white = (np.vstack([body, np.full((40, 100), grey, np.uint8)]) for grey in (0, 255))
    np.testing.assert_array_equal(standard(dark, method, inside)[:80], standard(white, method, inside)[:80])
    np.testing.assert_array_equal(standard(dark, method, inside)[:80], standard(body, method))
    assert (standard(dark, method)[:80] != standard(white, method)[:80]).any()


@pytest.mark.parametrize("method", ["percentile", "landmarks", "equalise"])
def test_flat_and_lungless_pictures_stay_finite(method: Normalisation) -> None:
    flat = np.full((40, 40), 120, np.uint8)
    assert len(np.unique(standard(flat, method))) == 1
    almost = flat.copy()
    almost[0, 0] = 0
    assert standard(almost, method).dtype == np.uint8


def test_without_contrast_landmarks_fall_back_to_percentiles() -> None:
    pixels = speckled(100, 1, 60, 60) // 8
    np.testing.assert_array_equal(standard(pixels, "landmarks"), standard(pixels, "percentile"))

"""Pictures that are no chest CT slice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lung_tumor.foreign import ALTERATIONS, KINDS, altered_slices, foreign_pictures
from lung_tumor.imaging import MIN_SIDE, Pixels, PreparationOptions, prepare
from lung_tumor.other_regions import REGIONS, WINDOWS, draw_region
from lung_tumor.phantom import PhantomOptions, draw_slice

SOFT_TISSUE, LUNG = WINDOWS[0], WINDOWS[2]


@pytest.fixture(scope="module")
def pictures() -> list[tuple[str, Pixels]]:
    return list(foreign_pictures(5))


def test_there_are_pictures_of_every_promised_kind(pictures: list[tuple[str, Pixels]]) -> None:
    counts = Counter(kind for kind, _ in pictures)
    assert tuple(counts) == KINDS
    assert min(counts.values()) >= 2
    assert 60 <= len(pictures) <= 100


def test_all_are_grey_pictures_that_an_upload_could_hold(pictures: list[tuple[str, Pixels]]) -> None:
    for kind, pixels in pictures:
        assert pixels.dtype == np.uint8, kind
        assert pixels.ndim == 2, kind
        assert min(pixels.shape) >= MIN_SIDE, kind
        # decode() refuses what is blanker than that.
        assert np.ptp(pixels) >= 8, kind


def test_no_two_are_equal_even_when_prepared(pictures: list[tuple[str, Pixels]]) -> None:
    assert len({pixels.tobytes() for _, pixels in pictures}) == len(pictures)
    prepared = {prepare(pixels, PreparationOptions(size=64)).tobytes() for _, pixels in pictures}
    assert len(prepared) == len(pictures)


def test_the_same_seed_gives_the_same_pictures_another_seed_others(pictures: list[tuple[str, Pixels]]) -> None:
    for (kind, pixels), (same_kind, same) in zip(pictures, foreign_pictures(5), strict=True):
        assert kind == same_kind
        np.testing.assert_array_equal(pixels, same)
    others = list(foreign_pictures(6))
    changed = Counter(
        kind for (kind, one), (_, other) in zip(pictures, others, strict=True) if one.tobytes() != other.tobytes()
    )
    # Whole photographs and checkerboards of chance greys may be the same; what is drawn may not.
    for kind in KINDS:
        if kind.startswith("drawn") or "noise" in kind or kind in ("plot", "page of text"):
            assert changed[kind] == Counter(kind for kind, _ in pictures)[kind], kind


def test_alterations_are_what_they_say() -> None:
    pixels = draw_slice(0, PhantomOptions(slices=2)).pixels
    altered = dict(altered_slices(pixels))
    assert tuple(altered) == ALTERATIONS
    np.testing.assert_array_equal(np.rot90(altered["turned by 90°"], 3), pixels)
    np.testing.assert_array_equal(altered["turned by 180°"], pixels[::-1, ::-1])
    np.testing.assert_array_equal(np.rot90(altered["turned by 270°"]), pixels)
    np.testing.assert_array_equal(altered["upside down"], pixels[::-1])
    assert (altered["inverted"].astype(int) + pixels == 255).all()
    assert altered["cut to a fifth"].shape == (102, 102)


def test_a_narrow_slice_is_cut_to_what_is_still_a_picture() -> None:
    pixels = np.arange(40 * 300, dtype=np.uint32).reshape(40, 300).astype(np.uint8)
    assert dict(altered_slices(pixels))["cut to a fifth"].shape == (MIN_SIDE, MIN_SIDE)


@pytest.mark.parametrize("region", REGIONS)
def test_a_drawn_region_has_a_body_of_soft_tissue_with_fat_and_bone_in_air(region: str) -> None:
    for seed in range(3):
        pixels = draw_region(region, (0.0, 2000.0), np.random.default_rng(seed))
        hu = pixels.astype(float) * (2000.0 / 255.0) - 1000.0
        body = hu > -300.0
        assert 0.15 < body.mean() < 0.85
        assert (hu[body] > 250.0).mean() > 0.01, "bone"
        assert ((hu[body] > 0.0) & (hu[body] < 120.0)).mean() > 0.15, "soft tissue"
        assert (hu[:4] < -800.0).mean() > 0.9, "air above"


def test_lungs_are_what_a_drawn_region_lacks() -> None:
    """The share of the body's box with the greys of lungs, -950 to -650 HU: a third of a chest, none of the others."""

    def share(pixels: Pixels) -> float:
        hu = pixels.astype(float) * (1500.0 / 255.0) - 1350.0
        return float(((hu > -950.0) & (hu < -650.0)).mean())

    chests = [share(draw_slice(index, PhantomOptions()).pixels) for index in range(6)]
    others = [share(draw_region(region, LUNG, np.random.default_rng(1))) for region in REGIONS]
    assert min(chests) > 2.0 * max(others)


def test_another_region_than_those_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match=r"abdomen.*received 'neck'"):
        draw_region("neck", SOFT_TISSUE, np.random.default_rng(0))

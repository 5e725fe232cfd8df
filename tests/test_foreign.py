"""Pictures that are no chest CT slice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

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


def phantom_slice() -> Pixels:
    return draw_slice(0, PhantomOptions(slices=2)).pixels


@pytest.mark.parametrize(
    ("kind", "turn"),
    [
        ("turned by 90°", lambda pixels: np.rot90(pixels, 1)),
        ("turned by 180°", lambda pixels: np.rot90(pixels, 2)),
        ("turned by 270°", lambda pixels: np.rot90(pixels, 3)),
        ("upside down", lambda pixels: pixels[::-1]),
    ],
)
def test_a_turned_slice_is_what_preparing_the_turned_picture_gives(kind: str, turn: Callable[[Pixels], Pixels]) -> None:
    options, pixels = PreparationOptions(), phantom_slice()
    expected = prepare(np.ascontiguousarray(turn(pixels)), options)
    altered = dict(altered_slices(prepare(pixels, options), options))
    assert tuple(altered) == ALTERATIONS
    # A body of an odd height fitted into an even square lies one row lower when it is turned.
    moved = [np.roll(altered[kind], by, axis) for axis in (0, 1) for by in (-1, 0, 1)]
    assert min(np.abs(shifted.astype(int) - expected).max() for shifted in moved) <= 1


def test_inverted_and_cut_slices_are_prepared_as_an_upload_would_be() -> None:
    options = PreparationOptions(size=160, crop_to_body=False, denoise="none", normalise="none")
    prepared = prepare(phantom_slice(), options)
    altered = dict(altered_slices(prepared, options))
    assert (altered["inverted"].astype(int) + prepared == 255).all()
    np.testing.assert_array_equal(altered["cut to a fifth"], prepare(prepared[64:96, 32:64].copy(), options))
    cropped = dict(altered_slices(prepared, PreparationOptions(size=160)))
    assert not np.array_equal(cropped["inverted"], altered["inverted"])


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

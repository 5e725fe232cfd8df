"""Changed views of prepared slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lung_tumor.augmentation import AugmentationOptions, view
from lung_tumor.imaging import Pixels, PreparationOptions, prepare
from lung_tumor.phantom import PhantomOptions, draw_slice

NOTHING = AugmentationOptions(flip=False, rotation_degrees=0, zoom=0, shift=0, contrast=0, brightness=0, noise=0)
NUMBERS = range(1, 25)


@pytest.fixture(scope="module")
def chest() -> Pixels:
    return prepare(draw_slice(0, PhantomOptions()).pixels, PreparationOptions())


def square(grey: int = 100) -> Pixels:
    """A square of 20 pixels right of the middle, on black, 64 x 64."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[22:42, 32:52] = grey
    return pixels


def centre(pixels: Pixels) -> tuple[float, float]:
    """Row and column of the centre of mass, from the middle of the slice."""
    rows, columns = np.indices(pixels.shape)
    total = float(pixels.sum())
    return float((rows * pixels).sum() / total - 31.5), float((columns * pixels).sum() / total - 31.5)


def views(pixels: Pixels, seed: int = 7, **options: object) -> list[Pixels]:
    return [view(pixels, number, replace(NOTHING, **options), seed) for number in NUMBERS]  # type: ignore[arg-type]


def test_view_zero_is_the_slice_itself(chest: Pixels) -> None:
    assert view(chest, 0, AugmentationOptions(), 1) is chest


def test_without_any_range_a_view_is_the_slice(chest: Pixels) -> None:
    assert (view(chest, 3, NOTHING, 1) == chest).all()


def test_a_view_follows_from_slice_number_and_seed_and_not_from_the_number_of_views(chest: Pixels) -> None:
    first = view(chest, 2, AugmentationOptions(views=2), 1)
    assert (view(chest.copy(), 2, AugmentationOptions(views=8), 1) == first).all()
    assert (view(chest, 3, AugmentationOptions(), 1) != first).any()
    assert (view(chest, 2, AugmentationOptions(), 2) != first).any()
    other = chest.copy()
    other[112, 112] ^= 1
    # Another slice gets another draw, not the same with one grey changed.
    assert (view(other, 2, AugmentationOptions(), 1) != first).mean() > 0.3


def test_what_is_drawn_is_the_same_on_every_machine() -> None:
    # Noise alone on a flat slice: no resampling, so that these greys pin the stream of random numbers.
    flat = np.full((32, 32), 100, np.uint8)
    assert view(flat, 1, replace(NOTHING, noise=8.0), 7)[0, :6].tolist() == [115, 96, 110, 94, 95, 113]


def test_a_view_leaves_the_slice_as_it_was_and_has_its_shape(chest: Pixels) -> None:
    before = chest.copy()
    seen = view(chest, 1, AugmentationOptions(), 1)
    assert (chest == before).all()
    assert (seen.shape, seen.dtype) == (chest.shape, np.uint8)
    assert view(chest[:100], 1, AugmentationOptions(), 1).shape == (100, 224)


def test_about_half_of_the_views_are_mirrored() -> None:
    mirrored = 0
    for seen in views(square(), flip=True):
        assert (seen == square()).all() or (seen == square()[:, ::-1]).all()
        mirrored += bool((seen == square()[:, ::-1]).all())
    assert 6 <= mirrored <= 18


def test_a_turn_is_about_the_middle_and_within_its_range() -> None:
    angles = []
    for seen in views(square(), rotation_degrees=10.0):
        row, column = centre(seen)
        # The square's centre lies 10 pixels right of the middle: it moves on a circle.
        assert np.hypot(row, column) == pytest.approx(10.0, abs=0.1)
        angles.append(np.degrees(np.arctan2(row, column)))
    assert max(map(abs, angles)) <= 10.1
    assert min(angles) < -5
    assert max(angles) > 5


def test_zoom_is_about_the_middle_and_within_its_range() -> None:
    sides = []
    for seen in views(square(), zoom=0.2):
        side = np.sqrt(seen.sum() / 100.0)
        assert centre(seen) == pytest.approx((0.0, side / 2), abs=0.15)
        sides.append(side / 20.0)
    assert 0.79 <= min(sides) < 0.9
    assert 1.1 < max(sides) <= 1.21


def test_shifts_go_along_both_axes_within_their_range_and_leave_black_behind() -> None:
    places = np.array([centre(seen) for seen in views(square(), shift=0.1)]) - (0.0, 10.0)
    assert np.abs(places).max() <= 6.45
    assert (places.min(axis=0) < -2).all()
    assert (places.max(axis=0) > 2).all()
    moved = views(np.full((64, 64), 200, np.uint8), shift=0.1)
    assert all({0, 200} >= set(np.unique(seen[8:-8, 8:-8])) for seen in moved)
    assert any((seen[0] == 0).all() or (seen[-1] == 0).all() for seen in moved)


def test_contrast_multiplies_and_brightness_adds_and_black_stays_black() -> None:
    pixels = np.repeat(np.array([[0, 50, 100, 200]], np.uint8), 32, axis=0).repeat(8, axis=1)
    gains, offsets = [], []
    for seen in views(pixels, contrast=0.2):
        black, *greys = (int(grey) for grey in seen[0, ::8])
        assert black == 0
        assert greys == pytest.approx([greys[2] / 4, greys[2] / 2, greys[2]], abs=0.8)
        gains.append(greys[2] / 200)
    for seen in views(pixels, brightness=0.1):
        black, *greys = (int(grey) for grey in seen[0, ::8])
        assert black == 0
        assert np.ptp(np.array(greys) - (50, 100, 200)) == 0
        offsets.append(greys[0] - 50)
    assert 0.8 <= min(gains) < 0.9 < 1.1 < max(gains) <= 1.2
    assert -26 <= min(offsets) < -10 < 10 < max(offsets) <= 26


def test_noise_has_its_deviation_and_no_bias() -> None:
    seen = views(np.full((64, 64), 100, np.uint8), noise=5.0)[0].astype(float)
    assert seen.std() == pytest.approx(5.0, rel=0.05)
    assert seen.mean() == pytest.approx(100.0, abs=0.4)


def test_greys_never_wrap_around() -> None:
    bright, dark = np.full((64, 64), 254, np.uint8), np.full((64, 64), 1, np.uint8)
    assert min(seen.min() for seen in views(bright, noise=2.0)) > 200
    assert max(seen.max() for seen in views(dark, noise=2.0)) < 50


def test_changing_one_range_leaves_the_other_draws_as_they_were() -> None:
    alone = [centre(seen) for seen in views(square(), shift=0.1)]
    together = [centre(seen) for seen in views(square(), shift=0.1, contrast=0.1, brightness=0.05)]
    assert np.abs(np.subtract(alone, together)).max() < 0.2


@pytest.mark.parametrize(
    ("name", "value"),
    [("views", -1), ("rotation_degrees", 46.0), ("zoom", -0.1), ("shift", 0.3), ("contrast", 1.0), ("noise", 65.0)],
)
def test_options_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"augmentation\.{name} must .* received {value}"):
        AugmentationOptions(**{name: value})  # type: ignore[arg-type]


def test_a_wrong_type_and_a_negative_view_are_refused() -> None:
    with pytest.raises(ValueError, match=r"augmentation\.flip must be true or false"):
        AugmentationOptions(flip=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="number must be 0"):
        view(square(), -1, NOTHING, 0)

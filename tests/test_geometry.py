from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks.near_duplicates import DISTORTIONS, LUNG, MEDIASTINUM, WIDE, draw, draw_neighbour, windowed
from lung_tumor.geometry import COPY, NONE, GeometryOptions, Signature, mirrored, sign, verify
from lung_tumor.imaging import Pixels

OPTIONS = GeometryOptions()


@cache
def slice_of(seed: int) -> Pixels:
    return windowed(draw(seed), LUNG)


@cache
def signature_of(seed: int) -> Signature:
    return sign(slice_of(seed), OPTIONS)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_distorted_copy_is_the_same_picture(name):
    copy = DISTORTIONS[name](slice_of(3), np.random.default_rng(5))

    found = verify(signature_of(3), sign(copy, OPTIONS), OPTIONS)

    assert found.kind == COPY, found


def test_a_wider_grey_window_changes_contrast_only():
    assert verify(signature_of(3), sign(windowed(draw(3), WIDE), OPTIONS), OPTIONS).kind == COPY


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_neighbouring_slice_of_the_same_patient_is_another_picture(seed):
    found = verify(signature_of(seed), sign(windowed(draw_neighbour(seed), LUNG), OPTIONS), OPTIONS)

    # It is alike enough to reach the comparison of pixels, which is what must tell it apart.
    assert found.inliers >= OPTIONS.min_inliers
    assert found.kind == NONE, found


def test_another_patient_is_another_picture():
    assert verify(signature_of(3), signature_of(4), OPTIONS).kind == NONE


def test_the_same_burnt_in_text_does_not_make_two_patients_one_picture():
    text = DISTORTIONS["text"]
    marked = [sign(text(slice_of(seed), np.random.default_rng(1)), OPTIONS) for seed in (3, 4)]

    assert verify(*marked, OPTIONS).kind == NONE


def test_the_map_between_two_pictures_is_reported():
    height, width = slice_of(3).shape
    copy = np.ascontiguousarray(slice_of(3)[: height // 2 + 100, ::-1][:, : width // 2 + 100])

    found = verify(signature_of(3), sign(copy, OPTIONS), OPTIONS)

    assert found.flipped
    assert found.scale == pytest.approx(width / (width // 2 + 100), rel=0.01)
    assert found.rotation == pytest.approx(0.0, abs=0.5)
    assert found.overlap == pytest.approx(1.0, abs=0.03)


def test_a_mirrored_signature_needs_no_second_search():
    searched = sign(np.ascontiguousarray(slice_of(3)[:, ::-1]), OPTIONS)

    found = verify(mirrored(signature_of(3)), searched, OPTIONS)

    assert not found.flipped
    assert found.inliers > 0.7 * OPTIONS.keypoints


def test_mirroring_twice_changes_nothing():
    twice = mirrored(mirrored(signature_of(3)))

    np.testing.assert_array_equal(twice.descriptors, signature_of(3).descriptors)
    np.testing.assert_array_equal(twice.grey, signature_of(3).grey)
    np.testing.assert_allclose(twice.points, signature_of(3).points, atol=1e-3)


def test_verification_is_the_same_each_time():
    assert verify(signature_of(3), signature_of(4), OPTIONS) == verify(signature_of(3), signature_of(4), OPTIONS)


def test_a_signature_stays_small_whatever_the_picture():
    large = np.random.default_rng(0).integers(0, 256, (1500, 1200), dtype=np.uint8)

    found = sign(large, OPTIONS)

    assert found.grey.shape == (448, 358)
    assert found.descriptors.shape == (OPTIONS.keypoints, 128)
    assert found.descriptors.dtype == np.uint8


@pytest.mark.parametrize("shape", [(32, 32), (32, 2000), (600, 40)])
def test_a_picture_without_points_matches_nothing(shape):
    empty = sign(np.full(shape, 7, np.uint8), OPTIONS)

    assert len(empty.points) == 0
    assert verify(empty, signature_of(3), OPTIONS).kind == NONE
    assert verify(signature_of(3), empty, OPTIONS).kind == NONE


def test_a_stricter_threshold_takes_a_copy_back():
    copy = sign(DISTORTIONS["grain"](slice_of(3), np.random.default_rng(5)), OPTIONS)
    found = verify(signature_of(3), copy, OPTIONS)
    stricter = GeometryOptions(min_correlation=min(1.0, found.correlation + 0.001))

    assert verify(signature_of(3), copy, stricter).kind != COPY


@pytest.mark.parametrize(("share", "kind"), [(0.3, COPY), (0.5, NONE)])
def test_a_third_of_a_copy_may_be_painted_over_but_half_may_not(share, kind):
    painted = slice_of(3).copy()
    width = int(share * painted.shape[1])
    painted[:, :width] = slice_of(4)[:, :width]

    assert verify(signature_of(3), sign(painted, OPTIONS), OPTIONS).kind == kind


def test_the_mediastinal_window_is_found_as_the_same_slice():
    found = verify(signature_of(3), sign(windowed(draw(3), MEDIASTINUM), OPTIONS), OPTIONS)

    assert found.kind != NONE, found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("side", 64),
        ("keypoints", 10),
        ("ratio", 0.0),
        ("reprojection", 30.0),
        ("min_inliers", 3),
        ("max_scale", 1.0),
        ("max_stretch", 0.9),
        ("min_overlap", 1.5),
        ("window", 32),
        ("min_area", -0.1),
        ("min_correlation", 1.1),
        ("min_window_correlation", 0.95),
        ("min_consistency", 2.0),
        ("min_window_consistency", -0.5),
    ],
)
def test_an_option_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=rf"duplicates\.geometry\.{name} must lie in .*received {value}"):
        GeometryOptions(**{name: value})


def test_a_number_written_as_text_is_named():
    with pytest.raises(ValueError, match=r"duplicates\.geometry\.side must be a whole number, received '448'"):
        GeometryOptions(side="448")

"""Pictures, their views and their activations stay together."""

from __future__ import annotations

import numpy as np
import pytest

from lung_tumor.augmentation import AugmentationOptions, view
from lung_tumor.cohort import Cohort, Loaded, all_views, representatives
from lung_tumor.network import Cut

CUT, OTHER = Cut(1, "average"), Cut(2, "max")
SLICES = [np.full((32, 32), 20 * number + 10, np.uint8) for number in range(4)]
VIEWS = [2, 0, 1, 2]
OPTIONS = AugmentationOptions(views=9)


def cohort() -> tuple[Cohort, list[np.ndarray]]:
    opened, first = all_views([lambda pixels=pixels: pixels for pixels in SLICES], VIEWS, OPTIONS, seed=3)
    pixels = [open_slice() for open_slice in opened]
    values = np.array([[number, picture.mean()] for number, picture in enumerate(pixels)], np.float32)
    loaded = Loaded({CUT: values, OTHER: -values})
    labels = np.array([0, 1, 1, 0])
    return Cohort(loaded, first, np.array(VIEWS), labels, list("abcd"), np.arange(4)), pixels  # type: ignore[arg-type]


def test_each_picture_is_followed_by_its_views() -> None:
    _, pixels = cohort()
    expected = [
        view(SLICES[picture], number, OPTIONS, 3) for picture in range(4) for number in range(VIEWS[picture] + 1)
    ]
    assert len(pixels) == len(expected) == 9
    for received, wanted in zip(pixels, expected, strict=True):
        np.testing.assert_array_equal(received, wanted)


def test_rows_are_those_of_the_pictures_and_of_as_many_views_as_are_asked_for() -> None:
    made, _ = cohort()
    pictures = np.array([3, 0, 1])
    assert made.rows(pictures, 0).tolist() == [6, 0, 3]
    assert made.rows(pictures, 1).tolist() == [6, 7, 0, 1, 3]
    assert made.rows(pictures, None).tolist() == [6, 7, 8, 0, 1, 2, 3]
    assert made.labels_of(pictures, None).tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_activations_come_with_the_labels_of_their_pictures() -> None:
    made, _ = cohort()
    pictures = np.array([2, 1])
    loaded = made.loaded([OTHER, CUT], pictures, views=None)
    assert loaded.values[1][:, 0].tolist() == [4, 5, 3]
    np.testing.assert_array_equal(loaded.values[0], -loaded.values[1])
    assert loaded.labels.tolist() == [1, 1, 1]
    stored = made.stored([CUT], pictures, views=None)
    assert stored.labels.tolist() == loaded.labels.tolist()
    np.testing.assert_array_equal(stored.read(np.array([2, 0]))[0], loaded.values[1][[2, 0]])
    assert made.in_memory() is made


def test_representatives_are_spread_over_classes_and_groups() -> None:
    """Class 0 has eight slices of one patient and one of another, class 1 two of each of three."""
    labels = np.array([0] * 9 + [1] * 6)
    groups = ["a"] * 8 + ["b"] + ["c", "c", "d", "d", "e", "e"]
    assert representatives(labels, groups, 2).tolist() == [0, 9]
    assert representatives(labels, groups, 4).tolist() == [0, 8, 9, 11]
    assert representatives(labels, groups, 6).tolist() == [0, 1, 8, 9, 11, 13]
    assert representatives(labels, groups, 14).tolist() == [*range(7), *range(8, 15)]
    assert representatives(labels, groups, 99).tolist() == list(range(15))
    with pytest.raises(ValueError, match="most must be 1 or more, received 0"):
        representatives(labels, groups, 0)

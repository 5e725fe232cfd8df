"""Where a slice lies along its series."""

from __future__ import annotations

import pytest

from lung_tumor.dicom_series import place_of
from tests.support.dicom_files import ct_file

AXIAL = [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("elements", "position"),
    [
        ({"ImagePositionPatient": [-180, -170, 12.5], "ImageOrientationPatient": AXIAL}, 12.5),
        ({"ImagePositionPatient": [-180, -170, 12.5]}, 12.5),
        # Rows and columns turned round: the same plane.
        ({"ImagePositionPatient": [180, -170, 12.5], "ImageOrientationPatient": [-1, 0, 0, 0, 1, 0]}, 12.5),
        ({"ImagePositionPatient": [180, 170, 12.5], "ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}, 12.5),
        # A gantry tilted by 3-4-5: along the normal, (0, -0.6, 0.8), from (0, 5, 10): -3 + 8.
        ({"ImagePositionPatient": [0, 5, 10], "ImageOrientationPatient": [1, 0, 0, 0, 0.8, 0.6]}, 5.0),
        ({"SliceLocation": -33.25}, -33.25),
        ({}, None),
        ({"ImagePositionPatient": [1, 2]}, None),
    ],
)
def test_a_position_grows_towards_the_head_along_the_normal(elements, position):
    place = place_of(ct_file(SeriesInstanceUID="1.2.3", **elements))
    assert place.series == b"1.2.3"
    assert place.position_mm == (None if position is None else pytest.approx(position))


def test_numbers_that_are_none_give_no_position():
    content = ct_file(SeriesInstanceUID="1.2.3", SliceLocation=-33.25)
    assert content.count(b"-33.25") == 1
    for nonsense in (b"nan   ", b"inf   ", b"-1e999", b"x     "):
        assert place_of(content.replace(b"-33.25", nonsense)).position_mm is None


@pytest.mark.parametrize("corner", [["9e307", "0", "9e307"], ["1e308", "-1e308", "1"], ["0", "0", "2e6"]])
def test_a_position_that_no_scanner_reaches_is_none(corner):
    content = ct_file(
        SeriesInstanceUID="1.2.3", ImagePositionPatient=corner, ImageOrientationPatient=[9, 9, 0, 0, 9, 9]
    )
    assert place_of(content).position_mm is None


def test_what_is_no_dicom_has_no_place():
    assert place_of(b"\x89PNG\r\n\x1a\n") is None
    assert place_of(bytes(128) + b"DICM\x02\x00\x10\x00") is None


def test_a_place_does_not_show_its_series():
    assert "1.2.3" not in repr(place_of(ct_file(SeriesInstanceUID="1.2.3", SliceLocation=1)))

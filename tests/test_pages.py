"""What every page shares."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from lung_tumor.pages import photograph_uri, render_page, shown_name, slice_uri, thumbnail_uri
from tests.support.pictures import gradient


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_slice_is_written_pixel_by_pixel() -> None:
    uri = slice_uri(gradient())
    assert uri.startswith("data:image/png;base64,")
    np.testing.assert_array_equal(np.asarray(opened(uri)), gradient())


def test_a_picture_in_colour_keeps_its_size_and_nearly_its_colours() -> None:
    colours = np.stack([gradient(), gradient()[::-1], np.full_like(gradient(), 60)], axis=-1)
    uri = photograph_uri(colours)
    assert uri.startswith("data:image/jpeg;base64,")
    assert np.asarray(opened(uri)).shape == colours.shape
    assert abs(np.asarray(opened(uri)).astype(int) - colours).mean() < 6


@pytest.mark.parametrize(("height", "width", "size"), [(400, 200, (64, 128)), (20, 30, (30, 20)), (1, 900, (128, 1))])
def test_a_thumbnail_is_small_and_keeps_its_shape(height: int, width: int, size: tuple[int, int]) -> None:
    uri = thumbnail_uri(np.full((height, width), 90, np.uint8))
    assert uri.startswith("data:image/jpeg;base64,")
    assert opened(uri).size == size
    assert abs(np.asarray(opened(uri)).astype(int) - 90).max() <= 2


def test_a_thumbnail_of_a_view_is_the_view() -> None:
    shown = np.asarray(opened(thumbnail_uri(gradient()[:, ::-1]))).astype(int)
    assert abs(shown - gradient()[:, ::-1]).mean() < 4


def test_names_are_shown_without_line_breaks_direction_marks_or_broken_code_points() -> None:
    assert shown_name("Lungenschnitt 雪 (1).png") == "Lungenschnitt 雪 (1).png"
    assert shown_name("a\nb\u202eгнп\udce9") == r"a\nb\u202eгнп\udce9"


def test_a_value_that_the_template_lacks_is_an_error_not_a_gap() -> None:
    with pytest.raises(UndefinedError):
        render_page("report.html.j2")

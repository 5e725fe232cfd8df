"""Small pictures of files, quarantined ones too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lung_tumor.errors import SliceError
from lung_tumor.thumbnails import draw_thumbnail, thumbnails
from tests.support.dicom_files import ct_file
from tests.support.pictures import encoded, gradient, png_claiming, source_of


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {"quality": 95})])
def test_a_thumbnail_is_small_grey_and_keeps_its_shape(kind: str, options: dict[str, int]) -> None:
    small = draw_thumbnail(encoded(gradient(300, 600), kind, **options), "lung")
    assert small.shape == (64, 128)
    assert small.dtype == np.uint8
    assert (np.diff(small[32].astype(int)) >= -4).all()


def test_what_the_audit_refuses_can_still_be_drawn() -> None:
    assert draw_thumbnail(encoded(np.full((40, 40), 7, np.uint8)), "lung").max() == 7
    assert draw_thumbnail(encoded(np.full((20, 10, 3), 200, np.uint8)), "lung").shape == (20, 10)


def test_dicom_is_drawn_through_the_window() -> None:
    assert draw_thumbnail(ct_file(), "lung").shape == (48, 64)


@pytest.mark.parametrize("content", [b"", b"text", encoded(gradient())[:-200], png_claiming(60_000, 60_000)])
def test_what_holds_no_picture_is_an_error(content: bytes) -> None:
    with pytest.raises(SliceError):
        draw_thumbnail(content, "lung")


def test_of_a_source_those_that_can_be_drawn_are(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"a/1.png": encoded(gradient()), "a/2.png": b"text", "b/3.png": encoded(gradient())})
    (tmp_path / "b/3.png").unlink()
    assert list(thumbnails(source, ["a/1.png", "a/2.png", "b/3.png"], "lung")) == ["a/1.png"]

"""How many parts a PNG or a JPEG may have."""

from __future__ import annotations

import time
import zlib

import pytest
from PIL import Image

from lung_tumor.errors import SliceError
from lung_tumor.imaging import decode
from lung_tumor.picture_parts import check_parts
from tests.support.bombs import jpeg, jpeg_of_scans, jpeg_of_segments, png_chunk, png_in_pieces, png_of_chunks
from tests.support.pictures import encoded, speckled

BOMBS = {
    "empty chunks of pixels": (png_in_pieces(50_000), "chunks"),
    "chunks of text": (png_of_chunks(png_chunk(b"tEXt", b"a\0b"), 50_000), "chunks"),
    "profiles that swell": (
        png_of_chunks(png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**6), 9)), 100),
        "chunks",
    ),
    "scans": (jpeg_of_scans(200), "scans"),
    "empty segments": (jpeg_of_segments(50_000), "segments"),
    "comments": (jpeg_of_segments(50_000, b"\xff\xfe\x00\x03a"), "segments"),
    "bytes between segments": (jpeg_of_segments(1, b"\xff\xe5\x00\x02" + bytes(50_000)), "between its segments"),
    "markers repeated as padding": (jpeg_of_segments(1, b"\xff" * 50_000), "between its segments"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_of_parts_is_refused_before_it_is_decoded(case, monkeypatch):
    def decoder(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was started")

    monkeypatch.setattr(Image, "open", decoder)
    content, words = BOMBS[case]
    began = time.perf_counter()
    with pytest.raises(SliceError, match=words):
        decode(content)
    assert time.perf_counter() - began < 1


def with_profile() -> bytes:
    """A JPEG whose colour profile takes 200 segments."""
    return jpeg_of_segments(200, b"\xff\xe2\xff\xff" + bytes(65_533))


@pytest.mark.parametrize(
    "content",
    [
        encoded(speckled(120, 1, 600, 600)),
        png_in_pieces(5_000),
        jpeg(512),
        jpeg(512, progressive=True, restart_marker_blocks=1),
        encoded(
            Image.new("RGB", (64, 64), (9, 90, 200)).resize((80, 80)),
            "JPEG",
            progressive=True,
            comment=b"\xff\xda" * 99,
        ),
        with_profile(),
        jpeg_of_segments(1, b"\xff\xff\xff"),
        b"GIF89a",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"",
    ],
)
def test_usual_pictures_and_what_is_none_pass(content):
    check_parts(content)


def test_a_walk_over_the_longest_upload_takes_less_than_a_second():
    stuffed = jpeg()[:-2] + b"\xff\x00" * 2**24
    began = time.perf_counter()
    check_parts(stuffed + b"\xff\xd9")
    assert time.perf_counter() - began < 1.5


def test_the_header_is_asked_for_room_before_any_pixel_is_decoded():
    asked = []

    class Held:
        def __init__(self, width: int, height: int) -> None:
            asked.append((width, height))

        def __enter__(self) -> None:
            asked.append("held")

        def __exit__(self, *_: object) -> None:
            asked.append("let go")

    decode(encoded(speckled(120, 1, 40, 50)), hold=Held)
    assert asked == [(50, 40), "held", "let go"]


def test_what_holding_raises_is_raised():
    def full(width: int, height: int):
        raise InterruptedError(f"{width}x{height}")

    with pytest.raises(InterruptedError, match="50x40"):
        decode(encoded(speckled(120, 1, 40, 50)), hold=full)


def test_a_picture_is_opened_once(monkeypatch):
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: (opened.append(1), original(*a, **k))[1])
    decode(encoded(speckled(120, 1, 40, 50)))
    assert opened == [1]

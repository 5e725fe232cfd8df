"""What a JPEG 2000 codestream may ask of a decoder."""

from __future__ import annotations

import struct
import time

import imagecodecs
import numpy as np
import pytest

from lung_tumor.errors import SliceError
from lung_tumor.imaging import decode
from lung_tumor.jpeg_2000 import check_coding, codestream
from tests.support.bombs import (
    JPEG_2000_BOMBS,
    SIDE,
    coding,
    drawn,
    in_dicom,
    jpeg_2000,
    with_coding,
    with_segment,
    with_segment_of_tile,
)

USUAL = {
    "plain": {},
    "tiles": {"tile_size": (64, 64)},
    "precincts": {"precinct_size": (128, 128), "codeblock_size": (32, 32)},
    "small blocks": {"codeblock_size": (16, 16)},
    "layers": {"quality_mode": "rates", "quality_layers": [40, 20, 10, 5, 1]},
    "one resolution": {"num_resolutions": 1},
}


@pytest.mark.parametrize("case", USUAL)
def test_usual_codestreams_are_read(case):
    stream = jpeg_2000(**USUAL[case])
    assert check_coding(stream) == (SIDE, SIDE, 1, 8)
    pixels = decode(in_dicom(stream), (128.0, 256.0)).pixels
    assert np.abs(pixels.astype(int) - drawn()).mean() < 3


def test_a_large_slice_in_usual_blocks_is_read():
    assert check_coding(jpeg_2000(4096)) == (4096, 4096, 1, 8)


def test_boxes_before_the_codestream_are_left_out():
    boxed = bytes(imagecodecs.jpeg2k_encode(drawn(), level=0, codecformat="jp2"))
    assert not boxed.startswith(b"\xff\x4f")
    assert codestream(boxed).startswith(b"\xff\x4f\xff\x51")
    np.testing.assert_allclose(decode(in_dicom(boxed), (128.0, 256.0)).pixels, drawn(), atol=1)


@pytest.mark.parametrize("case", JPEG_2000_BOMBS)
def test_a_bomb_is_refused_before_it_is_decoded(case, monkeypatch):
    def decoder(_: bytes) -> None:
        raise AssertionError("a decoder was started")

    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", decoder)
    began = time.perf_counter()
    with pytest.raises(SliceError, match="compressed pixels are damaged") as refused:
        decode(in_dicom(JPEG_2000_BOMBS[case]))
    assert "AssertionError" not in str(refused.value)
    assert time.perf_counter() - began < 2


def test_layers_of_the_whole_count_for_the_precincts_of_a_tile():
    many = with_coding(jpeg_2000(), coding(layers=20_000, levels=1))
    assert check_coding(many) == (SIDE, SIDE, 1, 8)
    hidden = with_segment_of_tile(many, coding(layers=1, levels=1, precinct=6))
    with pytest.raises(ValueError, match="more blocks or packets"):
        check_coding(hidden)


def test_a_walk_ends_whatever_the_tiles_say_of_their_length():
    stream = jpeg_2000()
    at = stream.index(b"\xff\x90") + 6
    for length in (0, 1, 12, 13, 14, 2**31, 2**32 - 1):
        changed = stream[:at] + struct.pack(">L", length) + stream[at + 4 :]
        if length == 0:
            assert check_coding(changed) == (SIDE, SIDE, 1, 8)
        else:
            with pytest.raises((ValueError, struct.error)):
                check_coding(changed)


def test_every_cut_is_told(monkeypatch):
    stream = with_segment(jpeg_2000(), b"\xff\x64\x00\x06\x00\x01ab")
    for end in range(4, stream.index(b"\xff\x93"), 3):
        with pytest.raises((ValueError, struct.error, IndexError)):
            check_coding(stream[:end])

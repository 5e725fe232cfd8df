"""What a JPEG 2000 codestream (ITU-T T.800, annex A) asks of a decoder, read before one is started.

A few bytes may ask for a precinct of two by two pixels, or for 65,535 layers, of a slice of millions: OpenJPEG allocates for
all of them before it finds that none is there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_START = b"\xff\x4f\xff\x51"
_COD, _COC, _TILE_PART, _DATA, _END = 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9

_HARMLESS = frozenset((0xFF55, 0xFF57, 0xFF58, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF60, 0xFF61, 0xFF63, 0xFF64))
"""Markers of lengths, quantisation, regions, order, packet headers, offsets and comments (table A.2)."""

_LONGEST_BOXES = 4096
"""Bytes of the file format's boxes before the codestream; in DICOM there should be none."""

_MOST_TILES = 1024
_MOST_SEGMENTS = 16_384
_MOST_BLOCKS = 32_768
"""A slice of 4096 × 4096 pixels has 21,845 blocks of 32 × 32 at all its resolutions, and no more precincts than blocks."""

_MOST_PACKETS = 262_144
"""Precincts times layers."""

_DEEPEST = 32
"""Decomposition levels (table A.15)."""


def codestream(stream: bytes) -> bytes:
    """The codestream without the file format's boxes that may stand before it, so that all read the same one.

    Raises:
        ValueError: there is none.
    """
    return stream[stream.index(_START, 0, _LONGEST_BOXES) :]


def check_coding(stream: bytes) -> tuple[int, int, int, int]:
    """Walk all headers, the main one and those of the tiles.

    Returns:
        width, height, components and bits of the first of them.

    Raises:
        ValueError: damaged, or more tiles, blocks or packets than any slice needs.
        struct.error, IndexError: cut short.
    """
    size, *fields = struct.unpack_from(">HH8LHB", stream, 4)
    right, bottom, left, top, wide, high, tile_left, tile_top, components, depth = fields[1:]
    if not wide or not high:
        raise ValueError("empty tiles")
    tiles = -(-(right - tile_left) // wide) * -(-(bottom - tile_top) // high)
    if not 1 <= tiles <= _MOST_TILES:
        raise ValueError("too many tiles")
    tile = min(wide, right - left), min(high, bottom - top)
    layers = 1
    for marker, body in _segments(stream, 4 + size):
        if marker == _COD:
            layers = max(layers, int.from_bytes(body[2:4]))
            _check_blocks(tile, tiles, layers, bool(body[0] & 1), body[5:])
        elif marker == _COC:
            skipped = 1 if components < 257 else 2
            _check_blocks(tile, tiles, layers, bool(body[skipped] & 1), body[skipped + 1 :])
    return right - left, bottom - top, components, (depth & 0x7F) + 1


def _segments(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment but the tiles' data.

    A marker that is not known is refused: a decoder would look for the next within what it is said to hold.
    """
    end_of_part = len(stream)
    for _ in range(_MOST_SEGMENTS):
        (marker,) = struct.unpack_from(">H", stream, at)
        if marker == _END:
            return
        if marker == _DATA:
            if end_of_part < at + 2:
                raise ValueError("a tile that ends before its data")
            at = end_of_part
            continue
        (length,) = struct.unpack_from(">H", stream, at + 2)
        body = stream[at + 4 : at + 2 + length]
        if marker == _TILE_PART:
            (of_part,) = struct.unpack_from(">L", body, 2)
            # The last part may leave its length open: then it ends where the codestream does.
            end_of_part = at + of_part if of_part else len(stream.rstrip(b"\0")) - 2
        elif marker not in _HARMLESS and marker not in (_COD, _COC):
            raise ValueError("an unknown marker")
        if length < 2:
            raise ValueError("a segment without a length")
        yield marker, body
        at += 2 + length
    raise ValueError("too many segments")


def _check_blocks(tile: tuple[int, int], tiles: int, layers: int, has_precincts: bool, coding: bytes) -> None:
    """Count blocks and packets over all resolutions, as tables A.15, A.18 and A.21 give their sizes, to a factor of four."""
    levels, across, down = coding[0], (coding[1] & 15) + 2, (coding[2] & 15) + 2
    if levels > _DEEPEST or (has_precincts and len(coding) < 6 + levels):
        raise ValueError("too many levels, or too few precinct sizes")
    blocks = packets = 0
    for level in range(levels + 1):
        wide, high = (-(-side >> (levels - level)) for side in tile)
        size = coding[5 + level] if has_precincts else 0xFF
        precinct_across, precinct_down = size & 15, size >> 4
        blocks += -(-wide >> min(across, precinct_across)) * -(-high >> min(down, precinct_down))
        packets += layers * -(-wide >> precinct_across) * -(-high >> precinct_down)
    if tiles * blocks > _MOST_BLOCKS or tiles * packets > _MOST_PACKETS:
        raise ValueError("more blocks or packets than any slice needs")

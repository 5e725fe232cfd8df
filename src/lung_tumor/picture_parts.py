"""What a PNG or a JPEG is put together of, walked before a decoder sees it: a picture needs few parts, a bomb has many.

Decoders step through parts one by one, and nothing can stop them on their way.
"""

from __future__ import annotations

import re
import struct

from lung_tumor.errors import SliceError

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"

_MOST_PIXEL_CHUNKS = 16_384
"""Chunks of pixels of a PNG: writers fill 8 KiB or more of each, which makes four thousand of the largest picture read."""

_MOST_OTHER_CHUNKS = 1_024
"""Text and the like."""

_PACKED_CHUNKS, _MOST_PACKED_CHUNKS = (b"iCCP", b"iTXt", b"zTXt"), 64
"""A colour profile, of which there should be one, and packed text: a kilobyte of each may unpack to a mebibyte."""

_MOST_SEGMENTS = 2_048
"""Tables, scans and comments of a JPEG: a colour profile takes up to 255."""

_MOST_SCANS = 32
"""Each scan of a progressive JPEG goes over the whole picture again; usual ones have about ten."""

_MOST_STRAY_BYTES = 4_096
"""Bytes between the segments before the first scan: there should be none, and Pillow reads them one by one."""

_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""A marker of ITU-T T.81, B.1.1.3, but for the restart markers, which stand among a scan's own bytes."""

_END, _SCAN = 0xD9, 0xDA


def check_parts(content: bytes) -> None:
    """Refuse a PNG or JPEG of more parts than any picture needs; what is neither, or damaged, is left to the decoder.

    Raises:
        SliceError: it has far too many chunks, segments or scans.
    """
    if content.startswith(_PNG):
        _check_chunks(content)
    elif content.startswith(_JPEG):
        _check_segments(content)


def _check_chunks(content: bytes) -> None:
    """Chunks of a PNG (https://www.w3.org/TR/png-3/#5Chunk-layout) up to its end."""
    pixels = others = packed = 0
    at = len(_PNG)
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">L4s", content, at)
        if kind == b"IEND":
            return
        pixels += kind == b"IDAT"
        others += kind != b"IDAT"
        packed += kind in _PACKED_CHUNKS
        if pixels > _MOST_PIXEL_CHUNKS or others > _MOST_OTHER_CHUNKS or packed > _MOST_PACKED_CHUNKS:
            raise SliceError("the PNG has far more chunks than any picture needs")
        at += 12 + length


def _check_segments(content: bytes) -> None:
    """Segments of a JPEG (ITU-T T.81, B.1.1.4) up to its end; between them decoders skip whatever they find."""
    scans = stray = 0
    at = 2
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(content, at)
        if found is None:
            return
        marker = found[1][0]
        stray += 0 if scans else found.start() - at
        scans += marker == _SCAN
        if scans > _MOST_SCANS:
            raise SliceError("the JPEG has far more scans than any picture needs")
        if stray > _MOST_STRAY_BYTES:
            raise SliceError("the JPEG is damaged: there is far too much between its segments")
        if marker == _END or found.end() + 2 > len(content):
            return
        # What stands below the first frame marker has no length.
        has_length = marker >= 0xC0 and marker != 0xD8
        at = found.end() + (int.from_bytes(content[found.end() : found.end() + 2]) if has_length else 0)
    raise SliceError("the JPEG has far more segments than any picture needs")

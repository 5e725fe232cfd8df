"""Multi-frame CT files taken apart into files of one slice each, which :mod:`lung_tumor.dicom` reads like any other.

A new file holds what is needed to show the slice and to place it in its series, and nothing that could name a patient.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from lung_tumor.dicom_codecs import NATIVE
from lung_tumor.dicom_elements import EXPLICIT_LITTLE, Elements, fragments, is_dicom, read_elements, read_groups
from lung_tumor.errors import SliceError

_FRAMES, _SOP_CLASS = 0x0028_0008, 0x0008_0016
_ROWS, _COLUMNS, _ALLOCATED, _PIXELS = 0x0028_0010, 0x0028_0011, 0x0028_0100, 0x7FE0_0010
_ITEM, _END, _UNDEFINED = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD), 0xFFFF_FFFF
_CT_STORAGE, _ENHANCED_CT = b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.2.1"

_COMMON: dict[int, bytes] = {
    0x0008_0008: b"CS",  # Image Type
    0x0008_0016: b"UI",  # SOP Class UID
    0x0008_0060: b"CS",  # Modality
    0x0020_000E: b"UI",  # Series Instance UID
    0x0028_0002: b"US",  # Samples per Pixel
    0x0028_0004: b"CS",  # Photometric Interpretation
    0x0028_0010: b"US",  # Rows
    0x0028_0011: b"US",  # Columns
    0x0028_0100: b"US",  # Bits Allocated
    0x0028_0101: b"US",  # Bits Stored
    0x0028_0102: b"US",  # High Bit
    0x0028_0103: b"US",  # Pixel Representation
    0x0028_0120: b"US",  # Pixel Padding Value
    0x0028_0121: b"US",  # Pixel Padding Range Limit
}
"""What all frames share, with value representations."""

_OF_A_FRAME: dict[int, bytes] = {
    0x0020_0032: b"DS",  # Image Position (Patient)
    0x0020_0037: b"DS",  # Image Orientation (Patient)
    0x0028_0030: b"DS",  # Pixel Spacing
    0x0028_1050: b"DS",  # Window Center
    0x0028_1051: b"DS",  # Window Width
    0x0028_1052: b"DS",  # Rescale Intercept
    0x0028_1053: b"DS",  # Rescale Slope
}
"""What may differ: in enhanced files it stands in functional groups (PS3.3, C.7.6.16)."""


class Frames(NamedTuple):
    """The slices of a file.

    Attributes:
        files: for each, one or more, a call that gives it as a file of its own: all together are as large as their source.
        inflated: bytes that these calls hold beside the file that was given; 0 but of a deflated file of several frames.
    """

    files: list[Callable[[], bytes]]
    inflated: int = 0


def split_frames(content: bytes, most: int) -> Frames:
    """The slices of a multi-frame DICOM file, in the order of the frames.

    Args:
        content: any file; what is no multi-frame DICOM, and what is written in big-endian order, is given back as it is.
        most: frames that are read.

    Raises:
        SliceError: it holds more frames, does not say how many, or is damaged.
    """
    whole = Frames([lambda: content])
    if not is_dicom(content):
        return whole
    elements = read_elements(content, frozenset((*_COMMON, *_OF_A_FRAME, _FRAMES)))
    enhanced = elements.values.get(_SOP_CLASS, b"").strip(b" \0") == _ENHANCED_CT
    text = elements.values.get(_FRAMES, b"1").decode("latin-1").strip(" \0")
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0
    if elements.order == ">" or elements.pixels is None or (count <= 1 and not enhanced):
        return whole
    if count < 1:
        raise SliceError("the DICOM file does not say how many frames it holds; export it as single slices")
    if count > most:
        raise SliceError(f"the DICOM file holds {count:,} frames; export it as files of at most {most:,} each")
    shared, groups = read_groups(content, frozenset(_OF_A_FRAME)) if enhanced else ({}, [])
    own = [groups[index] if index < len(groups) else {} for index in range(count)]
    pixels = _pixels_of_frames(elements, count)
    files: list[Callable[[], bytes]] = [
        partial(_file, elements, {**shared, **values}, part) for values, part in zip(own, pixels, strict=True)
    ]
    return Frames(files, elements.inflated)


def _pixels_of_frames(elements: Elements, count: int) -> list[list[memoryview]]:
    """Of each frame the piece of the pixels that it is, or its fragments."""
    pixels = elements.pixels or memoryview(b"")
    if elements.encapsulated:
        table, *parts = fragments(pixels)
        return [[part] for part in parts] if len(parts) == count else _joined(table, parts, count)
    rows, columns, allocated = (_number(elements, tag) for tag in (_ROWS, _COLUMNS, _ALLOCATED))
    size = rows * columns * allocated // 8
    if size == 0 or len(pixels) < size * count:
        raise SliceError(f"the DICOM file's pixels are cut short: {len(pixels):,} of {size * count:,} bytes")
    return [[pixels[index * size : (index + 1) * size]] for index in range(count)]


def _joined(table: memoryview, parts: list[memoryview], count: int) -> list[list[memoryview]]:
    """Fragments of each frame, by the basic offset table (PS3.5, A.4)."""
    if len(table) != 4 * count:
        raise SliceError("the DICOM file does not say where its frames begin; export it as single slices")
    starts = list(struct.unpack(f"<{count}L", table))
    frames: list[list[memoryview]] = []
    at = 0
    for part in parts:
        if len(frames) < count and at == starts[len(frames)]:
            frames.append([])
        if not frames:
            break
        frames[-1].append(part)
        at += 8 + len(part)
    if len(frames) != count:
        raise SliceError("the DICOM file contradicts itself about where its frames begin; export it as single slices")
    return frames


def _number(elements: Elements, tag: int) -> int:
    value = elements.values.get(tag, b"")
    return int(struct.unpack_from("<H", value)[0]) if len(value) >= 2 else 0


def _file(elements: Elements, of_this_frame: dict[int, bytes], pixels: list[memoryview]) -> bytes:
    """A DICOM file in Explicit VR Little Endian, or in the compression that the frame is in."""
    syntax = EXPLICIT_LITTLE if elements.syntax in NATIVE else elements.syntax
    found = {**elements.values, **of_this_frame, _SOP_CLASS: _CT_STORAGE}
    names = {**_COMMON, **_OF_A_FRAME}
    written = [bytes(128), b"DICM", _element(0x0002_0010, b"UI", syntax.encode("ascii", "replace"))]
    written += [_element(tag, names[tag], found[tag]) for tag in sorted(names) if tag in found]
    size = sum(map(len, pixels))
    length = _UNDEFINED if elements.encapsulated else size
    written.append(struct.pack("<HH2sHL", _PIXELS >> 16, _PIXELS & 0xFFFF, b"OW", 0, length))
    if elements.encapsulated:
        # An empty offset table, and all fragments as one.
        written += [struct.pack("<HHL", *_ITEM, 0), struct.pack("<HHL", *_ITEM, size)]
    return b"".join([*written, *pixels, struct.pack("<HHL", *_END, 0) if elements.encapsulated else b""])


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    padded = value + (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(padded)) + padded

"""Compressed pixels of DICOM files: RLE, JPEG, JPEG lossless, JPEG-LS and JPEG 2000 of one grey frame.

A codestream's own header is compared with the file's before a decoder believes it. The decoders are Pillow's and
imagecodecs' (libjpeg-turbo, CharLS, OpenJPEG). pydicom's plugins are not used: on damaged input GDCM, which pydicom needs
for lossless JPEG unless a GPL library is installed, aborts the whole process, and pylibjpeg-rle panics.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from lung_tumor.dicom_elements import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, fragments
from lung_tumor.errors import SliceError
from lung_tumor.jpeg_2000 import check_coding, codestream

NATIVE = frozenset((IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED_LITTLE, EXPLICIT_BIG))
"""Transfer syntaxes that store the pixels as they are."""

_RLE = "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."
_JPEGS = {_JPEG + "50": 0xC0, _JPEG + "51": 0xC1, _JPEG + "57": 0xC3, _JPEG + "70": 0xC3}
_JPEG_LS = frozenset((_JPEG + "80", _JPEG + "81"))
_JPEG_2000 = frozenset((_JPEG + "90", _JPEG + "91"))

READABLE = NATIVE | {_RLE, *_JPEGS} | _JPEG_LS | _JPEG_2000
"""Transfer syntaxes that can be read."""

_UNREADABLE = {
    "1.2.840.10008.1.2.1.98": "encapsulated, uncompressed pixels",
    _JPEG + "52": "hierarchical JPEG",
    _JPEG + "53": "spectral JPEG",
    _JPEG + "55": "progressive JPEG",
    _JPEG + "92": "multi-component JPEG 2000",
    _JPEG + "93": "multi-component JPEG 2000",
    _JPEG + "94": "JPIP, pixels that lie on a server",
    _JPEG + "95": "JPIP, pixels that lie on a server",
    _JPEG + "110": "JPEG XL",
    _JPEG + "111": "JPEG XL",
    _JPEG + "112": "JPEG XL",
    **{_JPEG + str(number): "MPEG video" for number in range(100, 109)},
    **{_JPEG + str(number): "high-throughput JPEG 2000" for number in range(201, 206)},
}

_DAMAGED = "the DICOM file's compressed pixels are damaged; export the slice again"
_CUT_SHORT = "the DICOM file's compressed pixels are cut short; export the slice again"
_MOST_SEGMENTS = 256


class Frame(NamedTuple):
    """What the file says of its pixels, or a codestream of itself."""

    width: int
    height: int
    samples: int
    bits: int


def name_of(syntax: str) -> str:
    """Name of a transfer syntax that cannot be read; an unknown UID is not repeated, as it may name its maker."""
    return _UNREADABLE.get(syntax, "an unknown transfer syntax")


def decompress(syntax: str, pixels: memoryview, frame: Frame) -> npt.NDArray[Any]:
    """Decode one grey frame.

    Args:
        syntax: UID of a compressed transfer syntax in ``READABLE``.
        pixels: value of Pixel Data: an offset table and fragments.
        frame: size; ``bits`` are the bits allocated to a pixel, 8 or 16. The caller has bounded it.

    Returns:
        (height, width), integers of 8 or 16 bits whose lower bits are the stored values.

    Raises:
        SliceError: cut short, damaged, several frames, or not the frame that the file describes.
    """
    table, *parts = fragments(pixels)
    if len(table) > 4:
        raise SliceError("the DICOM file holds several frames; export it as single slices")
    stream = b"".join(parts)
    if syntax == _RLE:
        return _unpack_rle(stream, frame)
    if not stream.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise SliceError(_CUT_SHORT)
    try:
        if syntax in _JPEG_2000:
            stream = codestream(stream)
            found = Frame(*check_coding(stream))
        else:
            found = _jpeg_frame(stream, _JPEGS.get(syntax, 0xF7))
    except (struct.error, ValueError, IndexError):
        raise SliceError(_DAMAGED) from None
    if found[:3] != frame[:3] or found.bits > frame.bits:
        raise SliceError(
            f"the DICOM file's compressed pixels are {found.width}x{found.height}, {found.samples} of {found.bits} bits, "
            f"but its header says {frame.width}x{frame.height}, {frame.samples} of {frame.bits}"
        )
    values = _decode(syntax, stream)
    if values.shape != (frame.height, frame.width) or values.dtype.kind not in "iu" or values.dtype.itemsize > 2:
        raise SliceError(_DAMAGED)
    return values


def _decode(syntax: str, stream: bytes) -> npt.NDArray[Any]:
    # Imported here, so that pictures and uncompressed slices never pay for it.
    try:
        import imagecodecs
    except ModuleNotFoundError:
        raise SliceError("compressed DICOM needs the package imagecodecs, which is not installed here") from None
    try:
        if syntax in _JPEG_2000:
            return np.asarray(imagecodecs.jpeg2k_decode(stream))
        return np.asarray((imagecodecs.jpegls_decode if syntax in _JPEG_LS else imagecodecs.jpeg8_decode)(stream))
    except Exception as error:  # noqa: BLE001 - decoders raise nearly anything on hostile bytes.
        raise SliceError(f"{_DAMAGED} ({type(error).__name__})") from None


def _jpeg_frame(stream: bytes, process: int) -> Frame:
    """Frame of a JPEG or JPEG-LS stream (ITU-T T.81, B.2; T.87, C.2), its segments read up to the first scan.

    Raises:
        ValueError: the segments are damaged, or of another ``process`` (the low byte of the SOF marker).
    """
    frame, at = None, 2
    for _ in range(_MOST_SEGMENTS):
        start, marker, length = struct.unpack_from(">BBH", stream, at)
        if start != 0xFF:
            break
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xDA:
            if frame is None:
                break
            return frame
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            bits, height, width, samples = struct.unpack_from(">BHHB", stream, at + 4)
            if frame is not None or (marker != process and not (process == 0xC1 and marker == 0xC0)):
                break
            frame = Frame(width, height, samples, bits)
        if marker == 0xF8 and frame is not None:
            _check_preset(stream, at, frame)
        at += 2 + length
    raise ValueError("no scan of the expected process")


def _check_preset(stream: bytes, at: int, frame: Frame) -> None:
    """Refuse JPEG-LS parameters outside the standard's bounds (T.87, C.2.4.1.1): with them CharLS runs for minutes."""
    kind, largest, first, second, third, reset = struct.unpack_from(">B5H", stream, at + 4)
    if (
        kind != 1
        or not 1 <= largest < 2**frame.bits
        or not 1 <= first <= second <= third <= largest
        or not 3 <= reset <= max(255, largest)
    ):
        raise ValueError("parameters outside the standard")


def _unpack_rle(stream: bytes, frame: Frame) -> npt.NDArray[Any]:
    """Planes of bytes, the highest first, each packed as PackBits (PS3.5, annex G)."""
    planes = frame.bits // 8
    try:
        count, *starts = struct.unpack_from("<16L", stream)
    except struct.error:
        raise SliceError(_CUT_SHORT) from None
    bounds = [*starts[:planes], len(stream)]
    if count != planes or bounds != sorted(bounds):
        raise SliceError(_DAMAGED)
    values = np.zeros(frame.width * frame.height, dtype=np.uint16)
    for start, end in pairwise(bounds):
        try:
            # As one line: runs may cross rows. Pillow stops where the line is full, so that nothing swells beyond it.
            plane = Image.frombytes("L", (values.size, 1), stream[start:end], "packbits", "L")
        except ValueError:
            raise SliceError(_CUT_SHORT) from None
        values = np.uint16(256) * values + np.asarray(plane, dtype=np.uint16).ravel()
    return values.reshape(frame.height, frame.width)

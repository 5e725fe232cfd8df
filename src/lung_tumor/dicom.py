"""CT slices in DICOM files: their pixels in Hounsfield units, and the window that makes them a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_tumor.dicom_codecs import NATIVE, Frame, decompress
from lung_tumor.dicom_elements import is_dicom
from lung_tumor.dicom_header import DicomHeader, read_header
from lung_tumor.dicom_window import LUNG_WINDOW, Window
from lung_tumor.errors import SliceError

__all__ = ["AIR", "DicomHeader", "DicomSlice", "is_dicom", "read_header", "read_slice", "to_window"]

AIR = -1024
"""What lies outside the scanner's field of view, HU."""


@dataclass(frozen=True)
class DicomSlice:
    """One decoded CT slice, as it lies in the file.

    Attributes:
        header: what the file says of it.
        hounsfield: (height, width) int16, HU, ``AIR`` at least; ``AIR`` outside the field of view.
        outside: (height, width) bool, true outside the field of view.
    """

    header: DicomHeader
    hounsfield: npt.NDArray[np.int16]
    outside: npt.NDArray[np.bool_]


def read_slice(header: DicomHeader) -> DicomSlice:
    """Decode the pixels; the caller has bounded ``header.width`` and ``header.height``.

    Raises:
        SliceError: they are cut short, damaged, or of another size than the header says.
    """
    kind = np.dtype(f"{'i' if header.signed else 'u'}{header.bits_allocated // 8}")
    if header.syntax in NATIVE:
        values = _native(header, kind)
    else:
        frame = Frame(header.width, header.height, 1, header.bits_allocated)
        values = decompress(header.syntax, header.elements.pixels or memoryview(b""), frame).astype(kind)
    outside = np.zeros(values.shape, dtype=np.bool_)
    if header.padding is not None:
        outside = (values >= header.padding[0]) & (values <= header.padding[1])
    # Old files keep overlays in the bits above and below the value; compressed ones leave its sign to this shift.
    allocated = header.bits_allocated
    values = (values << (allocated - 1 - header.high_bit)) >> (allocated - header.bits_stored)
    hounsfield = np.rint(values * np.float32(header.slope) + np.float32(header.intercept))
    hounsfield[outside] = AIR
    return DicomSlice(header, np.clip(hounsfield, AIR, np.iinfo(np.int16).max).astype(np.int16), outside)


def _native(header: DicomHeader, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    pixels, count = header.elements.pixels or b"", header.width * header.height
    if len(pixels) < count * kind.itemsize:
        raise SliceError(f"the DICOM file's pixels are cut short: {len(pixels):,} of {count * kind.itemsize:,} bytes")
    values = np.frombuffer(pixels, kind.newbyteorder("<" if header.elements.order == "<" else ">"), count)
    return np.asarray(values, dtype=kind).reshape(header.height, header.width)


def to_window(ct: DicomSlice, window: Window = "lung") -> npt.NDArray[np.uint8]:
    """Map Hounsfield units linearly to grey values (LINEAR_EXACT of PS3.3, C.11.2.1.3.2).

    Args:
        ct: the slice.
        window: what becomes black and white; ``file`` means ``lung`` where the file names none.

    Returns:
        (height, width) uint8, 0 to 255, the patient's right on the left and front at the top; MONOCHROME1 is inverted,
        but for what lies outside the field of view: that looks like air either way.
    """
    header = ct.header
    if isinstance(window, str):
        window = (header.window if window == "file" else None) or LUNG_WINDOW
    level, width = window
    grey = np.clip((ct.hounsfield.astype(np.float32) - (level - width / 2.0)) * (255.0 / width), 0.0, 255.0)
    if header.inverted:
        grey = np.where(ct.outside, grey, 255.0 - grey)
    pixels = np.rint(grey).astype(np.uint8)
    across, along = (-1 if flip else 1 for flip in header.flipped)
    return np.ascontiguousarray(pixels[::along, ::across])

"""Which series a CT slice belongs to and where it lies in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lung_tumor.dicom_elements import is_dicom, read_elements
from lung_tumor.errors import SliceError

_SERIES, _POSITION, _ORIENTATION, _LOCATION = 0x0020_000E, 0x0020_0032, 0x0020_0037, 0x0020_1041
_WANTED = frozenset((_SERIES, _POSITION, _ORIENTATION, _LOCATION))

_FARTHEST = 1e6
"""Millimetres from the scanner's origin; what claims to lie beyond, or nowhere, has no position."""


@dataclass(frozen=True)
class Place:
    """Where a slice lies.

    Attributes:
        series: Series Instance UID, to be compared and forgotten; empty where the file names none.
        position_mm: along the normal of the slice, growing towards the head; None where the file does not say.
    """

    series: bytes = field(repr=False)
    position_mm: float | None


def place_of(content: bytes) -> Place | None:
    """Read a DICOM file's place; None of anything that is no DICOM or is too damaged to tell.

    The position is that of the first pixel (PS3.3, C.7.6.2.1.1) along the normal of rows and columns, or else the slice
    location as the scanner wrote it.
    """
    if not is_dicom(content):
        return None
    try:
        values = read_elements(content, _WANTED).values
    except SliceError:
        return None
    return Place(values.get(_SERIES, b"").strip(b" \0"), _position(values))


def _position(values: dict[int, bytes]) -> float | None:
    corner, directions = _decimals(values.get(_POSITION, b"")), _decimals(values.get(_ORIENTATION, b""))
    if len(corner) == 3:
        normal = _normal(directions) if len(directions) == 6 else (0.0, 0.0, 1.0)
        position = sum(a * b for a, b in zip(corner, normal, strict=True))
    else:
        position = next(iter(_decimals(values.get(_LOCATION, b""))), math.nan)
    # Finite decimals may still multiply to infinity, or to no number.
    return position if abs(position) <= _FARTHEST else None


def _normal(directions: list[float]) -> tuple[float, float, float]:
    """Normal of the plane, turned towards the head: a slice flipped within its plane lies where it lay."""
    (ax, ay, az), (bx, by, bz) = directions[:3], directions[3:]
    normal = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    sign = -1.0 if normal[2] < 0.0 else 1.0
    return sign * normal[0], sign * normal[1], sign * normal[2]


def _decimals(value: bytes) -> list[float]:
    try:
        numbers = [float(part) for part in value.decode("latin-1").strip(" \0").split("\\") if part.strip()]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []

"""CT slices in DICOM files: what may be read, Hounsfield units, and the window that makes them a picture.

Nothing here keeps, logs or raises a value that could name a patient. :func:`patient_digests`, which the audit alone
calls, gives keyed digests; everything else never looks at those elements.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lung_tumor.dicom_codecs import NATIVE, READABLE, Frame, decompress, name_of
from lung_tumor.dicom_elements import Elements, is_dicom, read_elements
from lung_tumor.errors import SliceError

__all__ = [
    "DicomHeader",
    "DicomSlice",
    "Window",
    "is_dicom",
    "patient_digests",
    "read_header",
    "read_slice",
    "to_window",
]

Window = Literal["lung", "file"] | tuple[float, float]
"""Which Hounsfield units become black and white: the lung window, one that the file names, or (level, width) in HU."""

LUNG_WINDOW = (-600.0, 1500.0)
"""Level and width of the usual lung window, HU."""

AIR = -1024
"""What lies outside the scanner's field of view, HU."""

_CT_STORAGE, _ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

# The modalities of PS3.3, C.7.3.1.1.1 that a message may repeat; anything else could be a name typed into the wrong field.
_MODALITIES = frozenset(
    {
        "AU",
        "BI",
        "BMD",
        "CR",
        "CT",
        "DOC",
        "DX",
        "ECG",
        "ES",
        "GM",
        "HC",
        "HD",
        "IO",
        "IVUS",
        "KO",
        "MG",
        "MR",
        "NM",
        "OCT",
    }
    | {
        "OP",
        "OPT",
        "OT",
        "PR",
        "PT",
        "PX",
        "REG",
        "RF",
        "RG",
        "RTDOSE",
        "RTIMAGE",
        "RTPLAN",
        "RTRECORD",
        "RTSTRUCT",
        "RWV",
    }
    | {"SC", "SEG", "SM", "SR", "TG", "US", "VA", "XA", "XC"}
)

_IMAGE_TYPE, _SOP_CLASS, _MODALITY = 0x0008_0008, 0x0008_0016, 0x0008_0060
_ORIENTATION = 0x0020_0037
_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS = 0x0028_0002, 0x0028_0004, 0x0028_0008, 0x0028_0010, 0x0028_0011
_SPACING, _ALLOCATED, _STORED, _HIGH_BIT, _SIGNED = 0x0028_0030, 0x0028_0100, 0x0028_0101, 0x0028_0102, 0x0028_0103
_PADDING, _PADDING_LIMIT = 0x0028_0120, 0x0028_0121
_LEVEL, _WIDTH, _INTERCEPT, _SLOPE = 0x0028_1050, 0x0028_1051, 0x0028_1052, 0x0028_1053
_FLOATS = frozenset((0x7FE0_0008, 0x7FE0_0009))
_WANTED = _FLOATS | {
    *(_IMAGE_TYPE, _SOP_CLASS, _MODALITY, _ORIENTATION, _SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _SPACING),
    *(_ALLOCATED, _STORED, _HIGH_BIT, _SIGNED, _PADDING, _PADDING_LIMIT, _LEVEL, _WIDTH, _INTERCEPT, _SLOPE),
}

_PATIENT_ID, _STUDY = 0x0010_0020, 0x0020_000D
_FILLERS = frozenset("0xX-_.*?")
"""Characters of which nothing but a placeholder is made; 7 or A may well be the seventh or the first patient."""
_NOBODY = frozenset(
    {
        "",
        "0",
        "na",
        "n/a",
        "no id",
        "none",
        "null",
        "anon",
        "anonym",
        "anonymous",
        "anonymized",
        "anonymised",
        "xxx",
        "test",
    }
    | {"deidentified", "de-identified", "removed", "unknown", "patient", "patientid"}
)


# --- What the header says --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DicomHeader:
    """A CT slice that can be read, before its pixels are decoded.

    Attributes:
        width: columns.
        height: rows.
        syntax: UID of the transfer syntax.
        bits_allocated: 8 or 16.
        bits_stored: bits of a value that count, up to ``bits_allocated``.
        high_bit: position of the highest of them, from 0.
        signed: whether values are two's complements.
        inverted: photometric interpretation MONOCHROME1: the lowest value is shown white.
        slope: HU per stored value.
        intercept: HU of the stored value 0.
        padding: lowest and highest stored value outside the field of view, None where the file names none.
        window: level and width in HU that the file names, of several the pair nearest to the lung window's level.
        flipped: whether rows (first) or columns (second) run against the usual view, the patient's right on the left.
        spacing_mm: distance between rows in mm, None where the file names none.
    """

    width: int
    height: int
    syntax: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    inverted: bool
    slope: float
    intercept: float
    padding: tuple[int, int] | None
    window: tuple[float, float] | None
    flipped: tuple[bool, bool]
    spacing_mm: float | None
    _elements: Elements = field(repr=False, compare=False)


def read_header(content: bytes) -> DicomHeader:
    """Check whether a DICOM file is one CT slice that can be read; no pixel is decoded yet.

    Raises:
        SliceError: it is not; names the modality, the transfer syntax or the size at most, never another value.
    """
    elements = read_elements(content, _WANTED)
    values = _Values(elements)
    _require_ct(values)
    _require_one_grey_frame(values, elements)
    allocated = values.integer(_ALLOCATED, 16)
    stored = values.integer(_STORED, allocated)
    high_bit = values.integer(_HIGH_BIT, stored - 1)
    if allocated not in (8, 16):
        raise SliceError(f"the DICOM file stores {allocated} bits a pixel; 8 or 16 can be read")
    if not 1 <= stored <= high_bit + 1 <= allocated:
        raise SliceError("the DICOM file contradicts itself about its bits a pixel; export the slice again")
    slope, intercept = values.decimals(_SLOPE), values.decimals(_INTERCEPT)
    if not slope or not intercept or slope[0] == 0.0:
        raise SliceError("the DICOM file gives no rescale slope and intercept; its values are not Hounsfield units")
    spacing = values.decimals(_SPACING)
    signed = values.integer(_SIGNED, 0) == 1
    return DicomHeader(
        width=values.integer(_COLUMNS, 0),
        height=values.integer(_ROWS, 0),
        syntax=elements.syntax,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        signed=signed,
        inverted=values.text(_PHOTOMETRIC) == "MONOCHROME1",
        slope=slope[0],
        intercept=intercept[0],
        padding=_padding(values, signed),
        window=_file_window(values),
        flipped=_flipped(values),
        spacing_mm=spacing[0] if spacing and spacing[0] > 0.0 else None,
        _elements=elements,
    )


class _Values:
    """Raw values of elements, read as what they should be."""

    def __init__(self, elements: Elements) -> None:
        self._values = elements.values
        self._order = elements.order

    def __contains__(self, tag: int) -> bool:
        return tag in self._values

    def text(self, tag: int) -> str:
        """Upper-case text, empty where there is none."""
        return self._values.get(tag, b"").decode("latin-1").strip(" \0").upper()

    def integer(self, tag: int, default: int, signed: bool = False) -> int:
        """A 16-bit number."""
        value = self._values.get(tag, b"")
        return int(struct.unpack_from(self._order + "hH"[not signed], value)[0]) if len(value) >= 2 else default

    def decimals(self, tag: int) -> list[float]:
        """Decimal strings; empty where one of them is no finite number."""
        try:
            numbers = [float(part) for part in self.text(tag).split("\\") if part.strip()]
        except ValueError:
            return []
        return numbers if all(map(math.isfinite, numbers)) else []


def _require_ct(values: _Values) -> None:
    sop_class, modality = values.text(_SOP_CLASS), values.text(_MODALITY)
    if sop_class == _SECONDARY_CAPTURE or sop_class.startswith(_SECONDARY_CAPTURE + "."):
        raise SliceError("the DICOM file is a secondary capture, a screenshot; export the CT slice itself")
    if modality != "CT" and (modality or sop_class not in (_CT_STORAGE, _ENHANCED_CT)):
        found = f"modality {modality}" if modality in _MODALITIES else "another modality" if modality else "no modality"
        raise SliceError(f"the DICOM file is no CT slice, it names {found}; give slices of a CT series")
    if sop_class == _ENHANCED_CT:
        raise SliceError("the DICOM file is an enhanced, multi-frame CT; export it as single slices")
    if {"LOCALIZER", "SCOUT", "TOPOGRAM"} & set(values.text(_IMAGE_TYPE).split("\\")):
        raise SliceError("the DICOM file is a localizer, not a slice; give the axial slices of the series")


def _require_one_grey_frame(values: _Values, elements: Elements) -> None:
    frames = values.text(_FRAMES)
    if frames and not (frames.isascii() and frames.isdigit() and int(frames) <= 1):
        raise SliceError("the DICOM file holds several frames; export it as single slices")
    if values.integer(_SAMPLES, 1) != 1 or values.text(_PHOTOMETRIC) not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise SliceError("the DICOM file holds colour, which a CT slice does not; export the CT slice itself")
    if any(tag in values for tag in _FLOATS):
        raise SliceError("the DICOM file stores its pixels as floating-point numbers; export them as 16-bit integers")
    if not elements.pixels:
        raise SliceError("the DICOM file holds no pixels; give the slices themselves")
    if elements.syntax not in READABLE:
        raise SliceError(
            f"the DICOM file is written in {name_of(elements.syntax)}, which cannot be read; export it uncompressed"
        )
    if elements.encapsulated == (elements.syntax in NATIVE):
        raise SliceError("the DICOM file contradicts itself about its compression; export the slice again")


def _padding(values: _Values, signed: bool) -> tuple[int, int] | None:
    if _PADDING not in values:
        return None
    first = values.integer(_PADDING, 0, signed)
    last = values.integer(_PADDING_LIMIT, first, signed)
    return min(first, last), max(first, last)


def _file_window(values: _Values) -> tuple[float, float] | None:
    pairs = zip(values.decimals(_LEVEL), values.decimals(_WIDTH), strict=False)
    return min((pair for pair in pairs if pair[1] >= 1.0), key=lambda pair: abs(pair[0] - LUNG_WINDOW[0]), default=None)


def _flipped(values: _Values) -> tuple[bool, bool]:
    """Directions of rows and columns against the patient's (PS3.3, C.7.6.2.1.1: x to the left, y to the back)."""
    directions = values.decimals(_ORIENTATION)
    if len(directions) != 6:
        return False, False
    if abs(directions[0]) < 0.7 or abs(directions[4]) < 0.7:
        raise SliceError("the DICOM slice is not axial; give the axial slices of the series")
    return directions[0] < 0.0, directions[4] < 0.0


# --- Pixels ----------------------------------------------------------------------------------------------------------


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
        values = decompress(header.syntax, header._elements.pixels or memoryview(b""), frame).astype(kind)
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
    pixels, count = header._elements.pixels or b"", header.width * header.height
    if len(pixels) < count * kind.itemsize:
        raise SliceError(f"the DICOM file's pixels are cut short: {len(pixels):,} of {count * kind.itemsize:,} bytes")
    values = np.frombuffer(pixels, kind.newbyteorder("<" if header._elements.order == "<" else ">"), count)
    return np.asarray(values, dtype=kind).reshape(header.height, header.width)


# --- The picture -----------------------------------------------------------------------------------------------------


def checked_window(window: Any) -> Window:
    """The option, with YAML's list made a tuple.

    Raises:
        ValueError: it is neither ``lung``, ``file`` nor a level and a width of at least 1 HU.
    """
    if isinstance(window, str) and window in ("lung", "file"):
        return window  # type: ignore[return-value]
    if (
        isinstance(window, list | tuple)
        and len(window) == 2
        and all(isinstance(value, int | float) for value in window)
    ):
        level, width = map(float, window)
        if math.isfinite(level) and 1.0 <= width <= 65535.0:
            return level, width
    raise ValueError(f"dicom_window must be lung, file, or a level and a width of 1 or more in HU, received {window!r}")


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


# --- Patients --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PatientDigests:
    """Who a slice is of, as far as it must be known: the same or not the same.

    Attributes:
        patient: keyed digest of the Patient ID, 32 hexadecimal digits; None where there is none, or a placeholder.
        study: keyed digest of the Study Instance UID; None where there is none.
    """

    patient: str | None = None
    study: str | None = None


def patient_digests(content: bytes, salt: bytes) -> PatientDigests:
    """Digests that are equal for slices of one patient, and of one study.

    Both are needed: one patient has several studies, and de-identified archives give all patients one Patient ID.

    Args:
        content: a file; of anything but DICOM nothing is known.
        salt: secret key, 16 bytes or more; without it a list of known patients could be tried against the digests.

    Raises:
        ValueError: the salt is too short.
    """
    if len(salt) < 16:
        raise ValueError(f"the salt must be 16 bytes or more, received {len(salt)}")
    if not is_dicom(content):
        return PatientDigests()
    try:
        values = _Values(read_elements(content, frozenset((_PATIENT_ID, _STUDY))))
    except SliceError:
        return PatientDigests()
    patient, study = values.text(_PATIENT_ID), values.text(_STUDY)
    nobody = patient.casefold() in _NOBODY or set(patient) <= _FILLERS
    return PatientDigests(
        None if nobody else _digest("patient", patient, salt), _digest("study", study, salt) if study else None
    )


def _digest(kind: str, value: str, salt: bytes) -> str:
    return hmac.new(salt, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()[:32]

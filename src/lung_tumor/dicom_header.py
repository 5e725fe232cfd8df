"""What the header of a DICOM file says: whether it is one CT slice that can be read, and how its pixels are stored.

No message repeats a value that could name a patient.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lung_tumor.dicom_codecs import NATIVE, READABLE, name_of
from lung_tumor.dicom_elements import Elements, Values, read_elements
from lung_tumor.dicom_window import LUNG_WINDOW
from lung_tumor.errors import SliceError

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
        elements: the file's elements, its pixels among them.
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
    elements: Elements = field(repr=False, compare=False)


def read_header(content: bytes) -> DicomHeader:
    """Check whether a DICOM file is one CT slice that can be read; no pixel is decoded yet.

    Raises:
        SliceError: it is not; names the modality, the transfer syntax or the size at most, never another value.
    """
    elements = read_elements(content, _WANTED)
    values = Values(elements)
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
        elements=elements,
    )


def _require_ct(values: Values) -> None:
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


def _require_one_grey_frame(values: Values, elements: Elements) -> None:
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


def _padding(values: Values, signed: bool) -> tuple[int, int] | None:
    if _PADDING not in values:
        return None
    first = values.integer(_PADDING, 0, signed)
    last = values.integer(_PADDING_LIMIT, first, signed)
    return min(first, last), max(first, last)


def _file_window(values: Values) -> tuple[float, float] | None:
    pairs = zip(values.decimals(_LEVEL), values.decimals(_WIDTH), strict=False)
    return min((pair for pair in pairs if pair[1] >= 1.0), key=lambda pair: abs(pair[0] - LUNG_WINDOW[0]), default=None)


def _flipped(values: Values) -> tuple[bool, bool]:
    """Directions of rows and columns against the patient's (PS3.3, C.7.6.2.1.1: x to the left, y to the back)."""
    directions = values.decimals(_ORIENTATION)
    if len(directions) != 6:
        return False, False
    if abs(directions[0]) < 0.7 or abs(directions[4]) < 0.7:
        raise SliceError("the DICOM slice is not axial; give the axial slices of the series")
    return directions[0] < 0.0, directions[4] < 0.0

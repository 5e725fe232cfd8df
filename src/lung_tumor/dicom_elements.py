"""Which bytes of a DICOM file belong to which element (PS3.5 and PS3.10), and the text or number that they are.

pydicom decodes the compressed pixels, but the way to them is walked here, for two reasons. A value that nobody asks for
is stepped over: it never becomes an object, a warning or a line of a log, so no patient's name can leak. And the walk is
one loop with bounds: nested, inflated or endless files cost milliseconds.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from lung_tumor.errors import SliceError

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

CUT_SHORT = "the DICOM file is cut short or damaged before its pixels"

_SYNTAX, _PIXEL_DATA = 0x0002_0010, 0x7FE0_0010
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_UNDEFINED = 0xFFFF_FFFF

_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO"}
    | {b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)

_LONGEST_VALUE = 1024
_MOST_ELEMENTS = 50_000
_DEEPEST = 64
_LARGEST_INFLATED = 40 * 2**20


class Element(NamedTuple):
    """One element: tag as ``group << 16 | element``, VR (empty where implicit), length and start of its value."""

    tag: int
    vr: bytes
    length: int
    start: int


@dataclass(frozen=True)
class Elements:
    """What was asked for, and the pixels.

    Attributes:
        syntax: UID of the transfer syntax; where the file names none, the one that its first element is written in.
        order: ``<`` or ``>``, byte order of the numbers.
        values: tag to raw value, of the elements that were asked for.
        pixels: value of Pixel Data, cut short where the file is; None where there is none.
        encapsulated: whether the pixels are a sequence of fragments.
        inflated: bytes that a deflated file was inflated to, which the pixels keep in memory; 0 of any other.
    """

    syntax: str
    order: str
    values: dict[int, bytes] = field(repr=False)
    pixels: memoryview | None = field(repr=False)
    encapsulated: bool
    inflated: int = 0


def is_dicom(content: bytes) -> bool:
    """Whether the content is DICOM: by its prefix, or, where a file lacks it, by what its first elements look like."""
    if content[128:132] == b"DICM":
        return content[132:134] in (b"\x02\x00", b"\x08\x00", b"") or not any(content[:128])
    if content[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return False
    try:
        implicit, order = _writing(content, 0)
        tags = [element.tag for element, _ in zip(_Walk(content, order).outer(0, implicit), range(4), strict=False)]
    except SliceError:
        return False
    return len(tags) == 4 and tags == sorted(tags) and tags[-1] >> 16 in (0x0002, 0x0008)


def read_elements(content: bytes, wanted: frozenset[int]) -> Elements:
    """Walk to the pixels and keep the values of ``wanted`` tags of the outermost level, 1024 bytes of each at most.

    Raises:
        SliceError: cut short, damaged, nested too deeply, or inflating to more than a slice needs.
    """
    syntax, at = _read_meta(content, 132 if content[128:132] == b"DICM" else 0)
    inflated = 0
    if syntax == DEFLATED_LITTLE:
        content, at = _inflated(content[at:]), 0
        inflated = len(content)
    implicit, order = _writing(content, at)
    syntax = syntax or (EXPLICIT_BIG if order == ">" else IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE)
    values: dict[int, bytes] = {}
    for element in _Walk(content, order).outer(at, implicit):
        if element.tag == _PIXEL_DATA:
            undefined = element.length == _UNDEFINED
            end = len(content) if undefined else element.start + element.length
            return Elements(syntax, order, values, memoryview(content)[element.start : end], undefined, inflated)
        if element.tag in wanted and element.length != _UNDEFINED:
            end = element.start + min(element.length, _LONGEST_VALUE)
            values.setdefault(element.tag, content[element.start : end])
    return Elements(syntax, order, values, None, False)


_SHARED_GROUPS, _GROUPS_OF_FRAMES = 0x5200_9229, 0x5200_9230
_GROUPS = frozenset((0x0020_9113, 0x0020_9116, 0x0028_9110, 0x0028_9132, 0x0028_9145))
"""Sequences to look into where an implicit VR does not tell them: position, orientation, measures, window, rescaling."""


def read_groups(content: bytes, wanted: frozenset[int]) -> tuple[dict[int, bytes], list[dict[int, bytes]]]:
    """Values of ``wanted`` tags in the functional groups of an enhanced file (PS3.3, C.7.6.16).

    Returns:
        those that all frames share, and those of each frame.

    Raises:
        SliceError: cut short or damaged.
    """
    syntax, at = _read_meta(content, 132 if content[128:132] == b"DICM" else 0)
    if syntax == DEFLATED_LITTLE:
        content, at = _inflated(content[at:]), 0
    implicit, order = _writing(content, at)
    walk = _Walk(content, order)
    shared: dict[int, bytes] = {}
    frames: list[dict[int, bytes]] = []
    for element in walk.outer(at, implicit):
        if element.tag == _SHARED_GROUPS:
            shared = next(iter(walk.items(element, implicit, wanted)), {})
        elif element.tag == _GROUPS_OF_FRAMES:
            frames = walk.items(element, implicit, wanted)
    return shared, frames


def _read_meta(content: bytes, at: int) -> tuple[str, int]:
    """Transfer syntax of the file meta information at ``at``, empty where it names none, and where the data set starts."""
    syntax = ""
    for element in _Walk(content, "<").outer(at, implicit=False):
        if element.tag >> 16 != 0x0002:
            break
        at = element.start + element.length
        if element.tag == _SYNTAX:
            # A UID has 64 characters at most; a longer one is none of ours.
            syntax = content[element.start : min(at, element.start + 65)].decode("ascii", "replace").strip(" \0")
    return syntax, at


def _writing(content: bytes, at: int) -> tuple[bool, str]:
    """How the data set at ``at`` is written: implicit VR or not, and the order. Told by its first element: headers lie."""
    if len(content) < at + 8:
        raise SliceError(CUT_SHORT)
    implicit = content[at + 4 : at + 6] not in _LONG | _SHORT
    # The first group is a small number: read in the wrong order it is 256 or more.
    big = not implicit and content[at] == 0 and content[at + 1] != 0
    return implicit, ">" if big else "<"


class _Walk:
    """One pass over elements, with a bound on how many it looks at."""

    def __init__(self, content: bytes, order: str) -> None:
        self._content = content
        self._order = order
        self._left = _MOST_ELEMENTS

    def outer(self, at: int, implicit: bool) -> Iterator[Element]:
        """Elements of the outermost level up to and with Pixel Data; what they nest is stepped over."""
        while at < len(self._content):
            element = self._element(at, implicit)
            yield element
            # Only the pixels may be cut: how many there are is checked where their size is known.
            if element.tag == _PIXEL_DATA:
                return
            undefined = element.length == _UNDEFINED
            at = self._end_of_nest(element, implicit) if undefined else element.start + element.length
            if at > len(self._content):
                raise SliceError(CUT_SHORT)

    def items(self, sequence: Element, implicit: bool, wanted: frozenset[int]) -> list[dict[int, bytes]]:
        """Of each item of a sequence the values of ``wanted`` tags, however deep they lie in it."""
        found: list[dict[int, bytes]] = []
        at, ends = sequence.start, [self._end(sequence)]
        while ends:
            if at >= ends[-1]:
                ends.pop()
                continue
            if len(ends) > _DEEPEST:
                raise SliceError(f"the DICOM file nests sequences more than {_DEEPEST} deep")
            element = self._element(at, implicit)
            at = element.start
            if element.tag in (_END_OF_ITEM, _END_OF_SEQUENCE):
                ends.pop()
            elif element.tag == _ITEM or element.vr == b"SQ" or element.tag in _GROUPS or element.length == _UNDEFINED:
                if element.tag == _ITEM and len(ends) == 1:
                    found.append({})
                ends.append(self._end(element))
            else:
                at += element.length
                if element.tag in wanted and found:
                    end = element.start + min(element.length, _LONGEST_VALUE)
                    found[-1].setdefault(element.tag, self._content[element.start : end])
        return found

    def _end(self, element: Element) -> int:
        return len(self._content) if element.length == _UNDEFINED else element.start + element.length

    def _element(self, at: int, implicit: bool) -> Element:
        self._left -= 1
        if self._left < 0:
            raise SliceError(f"the DICOM file holds more than {_MOST_ELEMENTS:,} elements before its pixels")
        content, order = self._content, self._order
        try:
            group, number = struct.unpack_from(order + "HH", content, at)
            tag = group << 16 | number
            if implicit or group == 0xFFFE:
                return Element(tag, b"", struct.unpack_from(order + "L", content, at + 4)[0], at + 8)
            vr = content[at + 4 : at + 6]
            if vr in _SHORT:
                return Element(tag, vr, struct.unpack_from(order + "H", content, at + 6)[0], at + 8)
            return Element(tag, vr, struct.unpack_from(order + "L", content, at + 8)[0], at + 12)
        except struct.error:
            raise SliceError(CUT_SHORT) from None

    def _end_of_nest(self, outer: Element, implicit: bool) -> int:
        """Position behind the delimiter of an element of undefined length, however deep sequences nest in it."""
        # Inside an element of unknown VR everything is implicit (PS3.5, 6.2.2, note 2 on UN).
        nest, at = [implicit or outer.vr == b"UN"], outer.start
        while nest:
            if len(nest) > _DEEPEST:
                raise SliceError(f"the DICOM file nests sequences more than {_DEEPEST} deep")
            element = self._element(at, nest[-1])
            at = element.start
            if element.tag in (_END_OF_ITEM, _END_OF_SEQUENCE):
                nest.pop()
            elif element.length == _UNDEFINED:
                nest.append(nest[-1] or element.vr == b"UN")
            else:
                at += element.length
        return at


def _inflated(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(packed, _LARGEST_INFLATED)
    except zlib.error:
        raise SliceError(CUT_SHORT) from None
    if unpacker.unconsumed_tail:
        raise SliceError(f"the deflated DICOM file inflates to more than {_LARGEST_INFLATED:,} bytes")
    if not unpacker.eof:
        raise SliceError(CUT_SHORT)
    return content


def fragments(pixels: memoryview) -> list[memoryview]:
    """The offset table and the fragments of encapsulated pixels (PS3.5, A.4).

    Raises:
        SliceError: the table, a fragment, or the delimiter after the last is missing.
    """
    items: list[memoryview] = []
    at = 0
    while at + 8 <= len(pixels) and len(items) <= _MOST_ELEMENTS:
        group, number, length = struct.unpack_from("<HHL", pixels, at)
        tag = group << 16 | number
        if tag == _END_OF_SEQUENCE and items:
            return items
        if tag != _ITEM or at + 8 + length > len(pixels):
            break
        items.append(pixels[at + 8 : at + 8 + length])
        at += 8 + length
    raise SliceError("the DICOM file's pixels are cut short or damaged")


class Values:
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

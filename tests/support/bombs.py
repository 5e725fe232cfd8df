"""Small pictures that ask a decoder for far more than any picture needs."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.support.dicom_files import JPEG_2000, dataset_of, written
from tests.support.pictures import encoded

SIDE = 512


def drawn(side: int = SIDE) -> np.ndarray:
    """Grey values of a disc, (side, side) uint8."""
    y, x = np.mgrid[:side, :side]
    return np.where((x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 3) ** 2, 180, 20).astype(np.uint8)


# --- PNG and JPEG -----------------------------------------------------------------------------------------------------


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and sum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_chunks(chunk: bytes, count: int) -> bytes:
    """A whole PNG that repeats a chunk before its pixels."""
    content = encoded(drawn(64))
    return content[:33] + count * chunk + content[33:]


def png_in_pieces(count: int) -> bytes:
    """A whole PNG whose pixels come in one chunk and so many empty ones."""
    content = encoded(drawn(64))
    return content[:33] + count * png_chunk(b"IDAT", b"") + content[33:]


def jpeg(side: int = 64, **options: object) -> bytes:
    """A whole grey JPEG."""
    return encoded(drawn(side), "JPEG", **options)


def jpeg_of_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    content = jpeg(progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + count * content[last:-2] + content[-2:]


def jpeg_of_segments(count: int, segment: bytes = b"\xff\xe5\x00\x02") -> bytes:
    """A whole JPEG with so many further segments before its picture, empty ones by default."""
    return b"\xff\xd8" + count * segment + jpeg()[2:]


# --- JPEG 2000 --------------------------------------------------------------------------------------------------------


def jpeg_2000(side: int = SIDE, **options: object) -> bytes:
    """A whole grey codestream; ``options`` as Pillow knows them."""
    buffer = io.BytesIO()
    Image.fromarray(drawn(side)).save(buffer, "JPEG2000", no_jp2=True, **options)
    return buffer.getvalue()


def coding(layers: int = 1, levels: int = 5, block: int = 4, precinct: int | None = None) -> bytes:
    """A COD segment (ITU-T T.800, A.6.1); ``block`` and ``precinct`` are exponents, a block's less two."""
    sizes = b"" if precinct is None else bytes([precinct * 0x11]) * (levels + 1)
    body = struct.pack(">BBHBBBBBB", precinct is not None, 0, layers, 0, levels, block, block, 0, 1) + sizes
    return b"\xff\x52" + struct.pack(">H", len(body) + 2) + body


def component_coding(levels: int = 5, block: int = 4, precinct: int = 1) -> bytes:
    """A COC segment (A.6.2) for the only component."""
    body = struct.pack(">BBBBBBB", 0, 1, levels, block, block, 0, 1) + bytes([precinct * 0x11]) * (levels + 1)
    return b"\xff\x53" + struct.pack(">H", len(body) + 2) + body


def with_coding(stream: bytes, segment: bytes) -> bytes:
    """The codestream with another COD."""
    at = stream.index(b"\xff\x52")
    return stream[:at] + segment + stream[at + 2 + int.from_bytes(stream[at + 2 : at + 4]) :]


def with_segment(stream: bytes, segment: bytes) -> bytes:
    """The codestream with a further segment at the end of its main header."""
    at = stream.index(b"\xff\x90")
    return stream[:at] + segment + stream[at:]


def with_segment_of_tile(stream: bytes, segment: bytes) -> bytes:
    """The codestream with a further segment in the header of its first tile."""
    at = stream.index(b"\xff\x90")
    length = int.from_bytes(stream[at + 6 : at + 10])
    head = stream[at : at + 6] + struct.pack(">L", length + len(segment) if length else 0) + stream[at + 10 : at + 12]
    return stream[:at] + head + segment + stream[at + 12 :]


def in_dicom(stream: bytes, side: int = SIDE, syntax: str = JPEG_2000) -> bytes:
    """A CT slice of (side, side) pixels of 8 bits, whose compressed pixels are the stream."""
    dataset = dataset_of(np.zeros((side, side), np.int16), bits=(8, 8), intercept=0.0)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return written(dataset)


JPEG_2000_BOMBS = {
    "precincts of two by two pixels": with_coding(jpeg_2000(), coding(precinct=1)),
    "precincts of two by two pixels in one component": with_segment(jpeg_2000(), component_coding()),
    "precincts of two by two pixels in one tile": with_segment_of_tile(jpeg_2000(), coding(precinct=1)),
    "precincts of two by two pixels in one component of one tile": with_segment_of_tile(
        jpeg_2000(), component_coding()
    ),
    "65,535 layers of small precincts": with_coding(jpeg_2000(), coding(layers=65_535, precinct=6)),
    "33 levels": with_coding(jpeg_2000(), coding(levels=33)),
    "a coding hidden in an unknown segment": with_segment(
        jpeg_2000(), b"\xff\x30" + struct.pack(">H", 2 + len(coding(precinct=1))) + coding(precinct=1)
    ),
    "twenty thousand comments": with_segment(jpeg_2000(), 20_000 * b"\xff\x64\x00\x04\x00\x01"),
}

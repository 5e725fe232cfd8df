"""Uploads that mean harm, or that no careful person would send; every one drawn from a seed."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.support.bombs import (
    JPEG_2000_BOMBS,
    in_dicom,
    jpeg_of_scans,
    jpeg_of_segments,
    png_chunk,
    png_in_pieces,
    png_of_chunks,
)
from tests.support.dicom_files import (
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    compressed,
    ct_file,
    dataset_of,
    phantom_hounsfield,
    written,
)
from tests.support.pictures import encoded, png_claiming
from tests.support.slice_files import zipped

Random = np.random.Generator


def slice_png(side: int = 128) -> bytes:
    """A drawn chest, small."""
    hounsfield = phantom_hounsfield()[:: 512 // side, :: 512 // side]
    return encoded(np.clip((hounsfield + 1350) * (255 / 1500), 0, 255).astype(np.uint8))


def slice_dicom(side: int = 128) -> bytes:
    """The same as a DICOM file."""
    return ct_file(phantom_hounsfield()[:: 512 // side, :: 512 // side].copy())


@cache
def compressed_dicom(syntax: str, side: int = 64) -> bytes:
    """The same, compressed."""
    return compressed(dataset_of(phantom_hounsfield()[:: 512 // side, :: 512 // side].copy()), syntax)


@cache
def multi_frame_dicom(frames: int, side: int = 32) -> bytes:
    """Several slices in one file."""
    dataset = dataset_of(phantom_hounsfield()[:: 512 // side, :: 512 // side].copy())
    dataset.NumberOfFrames = frames
    dataset.PixelData = frames * dataset.PixelData
    return written(dataset)


@cache
def inflating_dicom(frames: int, side: int = 64) -> bytes:
    """A file of 39 KB that inflates to 38 MiB: a few small frames, and what belongs to none of them."""
    dataset = dataset_of(phantom_hounsfield()[:: 512 // side, :: 512 // side].copy())
    dataset.NumberOfFrames = frames
    dataset.PixelData = (frames * dataset.PixelData).ljust(38 * 2**20, b"\0")
    return written(dataset, DeflatedExplicitVRLittleEndian)


def rare_dicom(random: Random) -> bytes:
    """Compressed or of several frames, and most often damaged."""
    content = [
        *(compressed_dicom(syntax) for syntax in (RLE, JPEG_LOSSLESS, JPEG_LS, JPEG_2000)),
        multi_frame_dicom(3),
        multi_frame_dicom(40),
    ][int(random.integers(6))]
    return damaged(content, random) if random.random() < 0.85 else content


def large_dicom(random: Random) -> bytes:
    """A header that claims up to 65,535 rows and columns, with pixels for few of them or, packed, for all."""
    rows, columns = (int(side) for side in random.choice([512, 4096, 5000, 65_535], 2))
    if random.random() < 0.5:
        return ct_file(phantom_hounsfield()[::8, ::8].copy(), Rows=rows, Columns=columns)
    dataset = dataset_of(phantom_hounsfield()[::8, ::8].copy(), Rows=rows, Columns=columns)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.PixelData = bytes(min(2 * rows * columns, 60 * 2**20))
    return written(dataset)


def bomb_of_parts(random: Random) -> bytes:
    """Scans, segments, chunks or precincts without end."""
    count = int(random.choice([100, 3_000, 100_000]))
    makers = [
        lambda: jpeg_of_scans(min(count, 5_000)),
        lambda: jpeg_of_segments(count),
        lambda: jpeg_of_segments(1, b"\xff" * count),
        lambda: jpeg_of_segments(1, b"\xff\xe5\x00\x02" + bytes(count)),
        lambda: png_in_pieces(count),
        lambda: png_of_chunks(png_chunk(b"tEXt", b"a\0b"), count),
        lambda: png_of_chunks(png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**6), 9)), min(count, 5_000)),
        *(lambda stream=stream: in_dicom(stream) for stream in JPEG_2000_BOMBS.values()),
    ]
    return makers[int(random.integers(len(makers)))]()


def damaged(content: bytes, random: Random) -> bytes:
    """Some bytes changed, cut out, repeated or cut off."""
    found = bytearray(content)
    for _ in range(int(random.integers(1, 9))):
        at, many = int(random.integers(len(found))), int(random.integers(1, 60))
        match int(random.integers(5)):
            case 0:
                found[at] = int(random.integers(256))
            case 1:
                found[at : at + many] = random.bytes(many)
            case 2:
                del found[at : at + many]
            case 3:
                found[at:at] = found[at : at + many]
            case 4 if at > 8:
                del found[at:]
        if not found:
            break
    return bytes(found)


def bomb_png(random: Random) -> bytes:
    """A header that claims more than anyone has memory for, or rows that unpack to a thousand times their size."""
    side = int(random.choice([4097, 20_000, 65_535, 2**31 - 1]))
    if random.random() < 0.5:
        return png_claiming(side, side)
    text = b"\x00\x00\x00\x00zTXt" + b"a\x00\x00" + zlib.compress(bytes(10**7), 9)
    content = bytearray(slice_png())
    chunk = struct.pack(">I", len(text) - 8) + text[4:]
    content[33:33] = chunk + struct.pack(">I", zlib.crc32(chunk[4:]))
    return bytes(content)


def bomb_zip(random: Random) -> bytes:
    """A small zip of something enormous, in one file or in several."""
    return zipped({f"{number}.png": bytes(30 * 2**20) for number in range(int(random.integers(1, 3)))})


def crowded_zip(random: Random) -> bytes:
    """Ten thousand entries, or so many that the list alone is megabytes."""
    count = int(random.choice([600, 10_000]))
    return zipped({f"{'x' * int(random.integers(1, 90))}{number}": b"" for number in range(count)}, zipfile.ZIP_STORED)


def nested_zip(random: Random) -> bytes:
    """Zips in zips in zips."""
    content = slice_png()
    for _ in range(int(random.integers(2, 6))):
        content = zipped({"inner.zip": content})
    return content


def odd_zip(random: Random) -> bytes:
    """Names that climb out, are absolute, hidden, endless or no text at all; entries damaged, encrypted or not there."""
    names = [
        "../../etc/passwd",
        "/root/x.png",
        "C:\\x.png",
        ".hidden.png",
        "__MACOSX/._a.png",
        "a" * 60_000,
        "\ud800.png",
    ]
    names += ["..", "a\nb.png", "\u202egnp.exe", "con", "<script>.png", "x/" * 50 + "y.png", "DICOMDIR"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in random.choice(names, 3, replace=False):
            packed.writestr(str(name).encode("utf-8", "replace").decode(), slice_png(64))
    content = bytearray(buffer.getvalue())
    match int(random.integers(4)):
        case 0:
            content[content.index(b"PK\x01\x02") + 8] |= 1
        case 1:
            content[content.index(b"PK\x01\x02") + 10] = int(random.integers(1, 99))
        case 2:
            return damaged(bytes(content), random)
    return bytes(content)


def polyglot(random: Random) -> bytes:
    """Two or three kinds of file at once."""
    png, dicom, packed = slice_png(), slice_dicom(), zipped({"a.png": slice_png()})
    html, pdf = b"<!doctype html><script>alert(1)</script>", b"%PDF-1.7\n"
    return [
        png + packed,
        packed + png,
        png + html,
        html + png,
        pdf + packed,
        png[:8] + dicom,
        packed[:100].ljust(128, b"\0") + dicom[128:],
        png[:128].ljust(128, b"\0") + dicom[128:],
        b"\xff\xd8\xff" + packed,
        b"GIF89a" + png,
        dicom + packed,
        b"PK\x03\x04" + png,
    ][int(random.integers(12))]


def wrong_kind(random: Random) -> bytes:
    """Nothing, noise, text, or a picture of a kind that is not taken."""
    kinds = [b"", b"\0", random.bytes(int(random.integers(1, 5000))), b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]
    kinds += [bytes(128) + b"DICM", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"\x7fELF" + bytes(64), b"\xff" * 4000]
    kinds += [encoded(Image.new("L", (64, 64), 9), kind) for kind in ("GIF", "BMP", "TIFF", "WEBP")]
    return kinds[int(random.integers(len(kinds)))]


def odd_picture(random: Random) -> bytes:
    """A true picture of a kind or size that is rare."""
    mode = str(random.choice(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr"]))
    width, height = (int(side) for side in random.choice([1, 2, 31, 32, 33, 700, 3000], 2))
    pixels = Image.fromarray(random.integers(0, 256, (height, width), dtype=np.uint8))
    if mode == "I;16":
        return encoded(np.asarray(pixels, dtype=np.uint16) * 257)
    return encoded(pixels.convert(mode), "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")


_MAKERS: tuple[tuple[float, Callable[[Random], bytes]], ...] = (
    (0.22, lambda random: damaged(slice_png(), random)),
    (0.10, lambda random: damaged(encoded(Image.open(io.BytesIO(slice_png())), "JPEG"), random)),
    (0.26, lambda random: damaged(slice_dicom(64), random)),
    (0.08, bomb_png),
    (0.01, bomb_zip),
    (0.02, crowded_zip),
    (0.05, nested_zip),
    (0.06, odd_zip),
    (0.08, polyglot),
    (0.07, wrong_kind),
    (0.05, odd_picture),
    (0.10, rare_dicom),
    (0.02, large_dicom),
    (0.05, bomb_of_parts),
    (0.02, lambda random: inflating_dicom(int(random.integers(1, 60)))),
)

NAMES = (
    "slice.png",
    "",
    "a" * 5000,
    "../../x.png",
    "DOE^JANE.dcm",
    "\u202egnp.exe",
    'a"b.png',
    "a\\b;c.png",
    "é 漢.png",
    "%00.png",
)


def uploads(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Name and content of ``count`` uploads, each kind in its share."""
    random = np.random.default_rng(seed)
    shares = np.array([share for share, _ in _MAKERS])
    for _ in range(count):
        maker = _MAKERS[int(random.choice(len(_MAKERS), p=shares / shares.sum()))][1]
        yield NAMES[int(random.integers(len(NAMES)))], maker(random)

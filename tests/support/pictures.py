"""Small drawn slices and their encodings, for tests that care about pixels."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lung_tumor.class_folders import SliceFile
from lung_tumor.sources import SliceSource

Pixels = npt.NDArray[np.uint8]

CLASSES = ("adenocarcinoma", "normal", "squamous_cell_carcinoma", "large_cell_carcinoma")


def encoded(picture: Image.Image | npt.NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """A picture's file content."""
    buffer = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(height: int = 48, width: int = 64) -> Pixels:
    """Grey values rising from 0 on the left to 255 on the right, a little brighter in odd rows."""
    row = np.linspace(0, 250, width)
    return (row[np.newaxis] + 5 * (np.arange(height)[:, np.newaxis] % 2)).astype(np.uint8)


def disc(height: int, width: int, centre: tuple[float, float], radius: float, grey: int = 180) -> Pixels:
    """A bright disc, ``centre`` as (row, column), on black."""
    y, x = np.mgrid[:height, :width]
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    return np.where(inside, grey, 0).astype(np.uint8)


def speckled(grey: int, seed: int, height: int = 40, width: int = 44) -> Pixels:
    """Noise of standard deviation 12 about ``grey``: unlike any other seed's."""
    values = np.random.default_rng(seed).normal(grey, 12, (height, width))
    return np.clip(values, 0, 255).astype(np.uint8)


def png_claiming(width: int, height: int) -> bytes:
    """A few bytes whose PNG header claims an 8-bit grey picture of any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def source_of(root: Path, files: dict[str, bytes], *, synthetic: bool = False) -> SliceSource:
    """A source of the given files; the label is the first folder of each path. Content ``None`` leaves the file out."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (root / path).write_bytes(content)
    slices = tuple(SliceFile(path, path.split("/")[0], root / path) for path in sorted(files))
    return SliceSource("made-up slices", synthetic, root, slices)


def tiny_source(root: Path, classes: Sequence[str], each: int = 8) -> SliceSource:
    """Slices that brightness tells apart, ``each`` pictures a class and one exact copy under another format."""
    files = {}
    for number, label in enumerate(classes):
        grey = 40 + 170 * number // max(len(classes) - 1, 1)
        for index in range(each):
            files[f"{label}/{index}.png"] = encoded(speckled(grey, seed=100 * number + index))
        files[f"{label}/copy of 0.bmp"] = encoded(speckled(grey, seed=100 * number), "BMP")
    return source_of(root, files)

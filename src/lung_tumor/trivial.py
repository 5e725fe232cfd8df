"""What is known about a picture without looking at its anatomy: its size, its file, its brightness, an 8×8 thumbnail."""

from __future__ import annotations

import cv2
import numpy as np

from lung_tumor.imaging import DecodedSlice, Pixels

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
"""Percentages at which the grey values are read."""

THUMBNAIL_SIDE = 8
"""Side of the thumbnail, pixels: too coarse for a nodule, fine enough for a frame, a table or a habit of cropping."""

BLACK = 10
"""Largest grey value that counts as black: lossy compression leaves a black border not quite at 0."""

_WORDS = {
    "width": "the width in pixels",
    "height": "the height in pixels",
    "aspect": "width divided by height",
    "bytes": "the file size",
    "mean": "the mean brightness",
    "deviation": "the contrast (standard deviation of the grey values)",
    "black_share": "the share of black pixels",
}


def of_file(size_in_bytes: int, decoded: DecodedSlice) -> dict[str, float | str]:
    """Trivial numbers of a file as it came.

    Args:
        size_in_bytes: size of the file.
        decoded: what :func:`lung_tumor.imaging.decode` made of it.

    Returns:
        ``width``, ``height`` (pixels), ``aspect`` (width / height), ``bytes``, ``mode`` and ``format`` (words, all others
        numbers), and what :func:`of_prepared` returns. The keys are the same, in the same order, for every picture.
    """
    height, width = decoded.pixels.shape
    size: dict[str, float | str] = {
        "width": float(width),
        "height": float(height),
        "aspect": width / height,
        "bytes": float(size_in_bytes),
        "mode": decoded.mode,
        "format": decoded.format,
    }
    return size | _of_pixels(decoded.pixels)


def of_prepared(pixels: Pixels) -> dict[str, float]:
    """Trivial numbers that still mean something once every picture has one size and one format.

    Args:
        pixels: prepared slice, (size, size) uint8, 0 to 255.

    Returns:
        ``mean``, ``deviation`` and ``percentile_1`` to ``percentile_99`` in grey values, 0 to 255; ``black_share``, 0 to 1,
        of pixels at most :data:`BLACK`; ``thumb_00`` to ``thumb_63``, the thumbnail row by row, 0 to 255.
    """
    return _of_pixels(pixels)


def in_words(name: str) -> str:
    """A name of :func:`of_file` as a reader would say it, such as ``the mean brightness``.

    Raises:
        ValueError: there is no such number.
    """
    if name in _WORDS:
        return _WORDS[name]
    kind, _, number = name.partition("_")
    value = int(number) if number.isdecimal() else -1
    if kind == "percentile" and value in PERCENTILES:
        return f"the {value}{'st' if value == 1 else 'th'} percentile of the grey values"
    if kind == "thumb" and value in range(THUMBNAIL_SIDE**2):
        row, column = divmod(value, THUMBNAIL_SIDE)
        return f"the brightness in row {row + 1}, column {column + 1} of an 8×8 thumbnail"
    raise ValueError(f"there is no trivial number called {name!r}; known are those that trivial.of_file returns")


def _of_pixels(pixels: Pixels) -> dict[str, float]:
    # Everything but the thumbnail follows from the histogram, which costs far less than sorting the pixels.
    counts = cv2.calcHist([pixels], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    greys = np.arange(256, dtype=np.float64)
    mean = float(counts @ greys) / pixels.size
    deviation = float(np.sqrt(counts @ (greys - mean) ** 2 / pixels.size))
    # The smallest grey value that at least this share of the pixels does not exceed.
    at = np.searchsorted(np.cumsum(counts), np.array(PERCENTILES) / 100.0 * pixels.size)
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    thumbnail = cv2.resize(pixels, side, interpolation=cv2.INTER_AREA).ravel().tolist()
    return {
        "mean": mean,
        "deviation": deviation,
        **{f"percentile_{share}": float(grey) for share, grey in zip(PERCENTILES, at.tolist(), strict=True)},
        "black_share": float(counts[: BLACK + 1].sum()) / pixels.size,
        **{f"thumb_{place:02d}": float(grey) for place, grey in enumerate(thumbnail)},
    }

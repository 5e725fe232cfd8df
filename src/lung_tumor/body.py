"""Where the patient is in a slice: without the table, the air around, the frame and the letters of the archive.

Everything is measured on a small copy: an outline needs no more precision, and the cost no longer depends on the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, reduce
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

_SIDE = 256
"""Longest side of the small copy, pixels; a chest of 35 cm then has about 1.5 mm a pixel."""

_STRANDS = 7
"""Width below which something bright is no part of the body, pixels of the small copy: sheets, tubes, shells of the table."""

_SLABS = 17
"""Width below which something that hangs on the filled body is none of it: the table top."""

_HOLES = 0.05
"""Smallest share of the body that lungs take in a slice of the chest."""

_WITHIN = 0.6
"""Share of the picture's edge from which on it lies within the body, cropped tight, and all of it is kept."""

_SMALLEST = 0.1
"""Smallest share of the picture that can be a body; less means that the threshold found something else."""

_FRAME_RANGE = 12
"""Grey values by which a row or column of a frame may differ; that many survive in a JPEG."""


@dataclass(frozen=True)
class Body:
    """Where the body is.

    Attributes:
        rows: first row, and the row after the last.
        columns: first column, and the column after the last.
        outline: convex outline, (n, 2) float32, as (column, row) of the whole picture.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    outline: npt.NDArray[np.float32]

    def crop(self, pixels: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Cut a picture, or a mask of its size, to the body's bounding box."""
        return np.ascontiguousarray(pixels[slice(*self.rows), slice(*self.columns)])

    def inside(self, height: int, width: int) -> Mask:
        """True within the outline, (height, width) bool."""
        canvas = np.zeros((height, width), dtype=np.uint8)
        cv2.fillConvexPoly(canvas, np.rint(self.outline).astype(np.int32), 1)
        return canvas.view(np.bool_)


def find_body(pixels: Pixels) -> Body | None:
    """Find the convex outline of the body, or None where nothing looks like one.

    Otsu's threshold (1979) parts tissue from air and lungs. Through a narrow window fat falls on the wrong side, so the
    threshold then comes down towards the grey of what the tissue encloses, the lungs: fat is brighter than they are, air is
    not. Opening removes the table; the hull closes what a tight crop or a bad threshold left open.

    Args:
        pixels: grey values, (height, width) uint8.
    """
    top, bottom, left, right = _without_frame(pixels)
    inner = pixels[top:bottom, left:right]
    small, scale = _small_copy(inner)
    found = _above_black(small) or _above_air(small)
    if found is None:
        return None
    bright, solid = found
    edge = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    if edge.mean() > _WITHIN:
        solid = np.ones_like(bright)
    if cv2.countNonZero(solid) < _SMALLEST * pixels.size * scale.prod():
        return None
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours)).reshape(-1, 2).astype(np.float32)
    # Half a pixel of the small copy on every side: contours run through the centres of the outermost pixels.
    low, high = hull.min(axis=0) / scale, (hull.max(axis=0) + 1.0) / scale
    (x0, y0), (x1, y1) = np.maximum(low, 0.0), np.minimum(high, inner.shape[::-1])
    centre = (hull.min(axis=0) + hull.max(axis=0)) / 2.0
    outline = (hull + 0.5 + np.sign(hull - centre) * 0.5) / scale + np.array([left, top], dtype=np.float32)
    return Body(
        (top + int(y0), top + int(np.ceil(y1))), (left + int(x0), left + int(np.ceil(x1))), outline.astype(np.float32)
    )


def _without_frame(pixels: Pixels) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what lies within rows and columns of one grey value, black or white."""
    top, left = 0, 0
    bottom, right = pixels.shape
    # Twice: a frame's sides are of one grey value only between its top and its bottom, and the other way round.
    for _ in range(2):
        before = (top, bottom, left, right)
        rows = np.flatnonzero(np.ptp(pixels[top:bottom, left:right], axis=1) > _FRAME_RANGE)
        if rows.size == 0:
            return 0, pixels.shape[0], 0, pixels.shape[1]
        top, bottom = top + int(rows[0]), top + int(rows[-1]) + 1
        columns = np.flatnonzero(np.ptp(pixels[top:bottom, left:right], axis=0) > _FRAME_RANGE)
        if columns.size == 0:
            return 0, pixels.shape[0], 0, pixels.shape[1]
        left, right = left + int(columns[0]), left + int(columns[-1]) + 1
        if (top, bottom, left, right) == before:
            break
    return top, bottom, left, right


def _small_copy(pixels: Pixels) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """A smoothed copy and its size over the picture's, (across, along)."""
    height, width = pixels.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.GaussianBlur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), (0, 0), 1.2)
    return np.asarray(small, dtype=np.uint8), np.array([size[0] / width, size[1] / height])


def _above_air(small: Pixels) -> tuple[Pixels, Pixels] | None:
    """What is body rather than air, and what of it :func:`_solid` leaves, each 0 or 1; None where nothing is."""
    otsu, parted = cv2.threshold(small, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = np.asarray(parted, dtype=np.uint8)
    core = _solid(bright)
    if core is None:
        return None
    holes = small[(core == 1) & (bright == 0)]
    if holes.size < _HOLES * core.sum():
        return bright, core
    lungs = float(np.median(holes))
    bright = np.asarray(small > lungs + 0.35 * (otsu - lungs), dtype=np.uint8)
    core = _solid(bright)
    return None if core is None else (bright, core)


def _above_black(small: Pixels) -> tuple[Pixels, Pixels] | None:
    """All that is not black, as :func:`_above_air`, where the window clipped air and lungs alike; None where it did not.

    Otsu's threshold would then part muscle from fat, or bone from muscle. Black must be found within the body too: around
    the field of view it says nothing.
    """
    low, high = _quantile(small, 0.005), _quantile(small, 0.99)
    bright = np.asarray(small > low + max(8.0, 0.05 * (high - low)), dtype=np.uint8)
    if 1.0 - bright.mean() < 0.25:
        return None
    core = _solid(bright)
    if core is None or (core > bright).sum() < _HOLES * core.sum():
        return None
    return bright, core


def _quantile(pixels: Pixels, share: float) -> float:
    """As NumPy's, from a histogram: several times faster on grey values."""
    cumulative = np.cumsum(cv2.calcHist([pixels], [0], None, [256], [0, 256]))
    rank = share * (pixels.size - 1)
    below, above = np.searchsorted(cumulative, (int(rank), int(rank) + 1), side="right")
    return float(below + (above - below) * (rank % 1.0))


def _solid(bright: Pixels) -> Pixels | None:
    """The largest region, filled, without what is thin or hangs on it; 0 or 1, None where there is none."""
    found = _largest(_opened(bright, _STRANDS))
    if found is None:
        return None
    # What follows touches only the region and what it encloses. One pixel around tells an edge of it from one of the picture.
    (top, bottom), (left, right) = ((max(0, low - 1), high + 1) for low, high in found.box)
    filled = _filled(np.ascontiguousarray(found.mask[top:bottom, left:right]))
    trimmed = _largest(_opened(filled, _SLABS))
    solid = np.zeros_like(bright)
    solid[top:bottom, left:right] = filled if trimmed is None else trimmed.mask
    return solid


def _opened(mask: Pixels, side: int) -> Pixels:
    # Beyond the picture the body goes on: without a replicated border the opening would round off a tight crop.
    padded = cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_REPLICATE)
    eroded = reduce(cv2.bitwise_and, (cv2.erode(padded, part) for part in _disc(side)))
    opened = reduce(cv2.bitwise_or, (cv2.dilate(eroded, part) for part in _disc(side)))
    return np.ascontiguousarray(opened[side:-side, side:-side])


@cache
def _disc(side: int) -> tuple[Pixels, ...]:
    """OpenCV's disc as the rectangles that it is the union of: with these OpenCV is twice as fast, and the result is the same.

    What an element erodes is what all of its parts erode, what it dilates what any of them does.
    """
    widths = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).sum(axis=1)
    return tuple(np.ones((int((widths >= width).sum()), int(width)), dtype=np.uint8) for width in np.unique(widths))


class _Region(NamedTuple):
    mask: Pixels
    box: tuple[tuple[int, int], tuple[int, int]]


def _largest(mask: Pixels) -> _Region | None:
    """The largest region of ones, and its first row and the one after the last, and columns; None where there is none."""
    # Without OpenCV's own statistics, which take five times as long as the regions: sizes come from a histogram of the labels.
    # 16 bits are enough: of the small copy's pixels at most every second is a region of its own.
    count, labels = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_16U)
    if count < 2:
        return None
    sizes = cv2.calcHist([labels], [0], None, [count], [0, count]).ravel()
    region = np.asarray(labels == 1 + int(np.argmax(sizes[1:])), dtype=np.uint8)
    left, top, width, height = cv2.boundingRect(region)
    return _Region(region, ((top, top + height), (left, left + width)))


def _filled(mask: Pixels) -> Pixels:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    return filled

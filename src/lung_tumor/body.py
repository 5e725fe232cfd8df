"""Where the patient is in a slice: without the table, the air around, the frame and the letters of the archive.

Everything is measured on a small copy: an outline needs no more precision, and the cost no longer depends on the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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
        part = pixels[top:bottom, left:right]
        # Along rows OpenCV is four times as fast as NumPy, along columns NumPy seven times as fast as OpenCV.
        ranges = cv2.subtract(cv2.reduce(part, 1, cv2.REDUCE_MAX), cv2.reduce(part, 1, cv2.REDUCE_MIN))
        rows = np.flatnonzero(ranges > _FRAME_RANGE)
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
    holes = core & (1 - bright)
    if cv2.countNonZero(holes) < _HOLES * cv2.countNonZero(core):
        return bright, core
    lungs = _quantile(_histogram(small, holes), 0.5)
    bright = _brighter(small, lungs + 0.35 * (otsu - lungs))
    core = _solid(bright)
    return None if core is None else (bright, core)


def _above_black(small: Pixels) -> tuple[Pixels, Pixels] | None:
    """All that is not black, as :func:`_above_air`, where the window clipped air and lungs alike; None where it did not.

    Otsu's threshold would then part muscle from fat, or bone from muscle. Black must be found within the body too: around
    the field of view it says nothing.
    """
    counts = _histogram(small)
    low, high = _quantile(counts, 0.005), _quantile(counts, 0.99)
    bright = _brighter(small, low + max(8.0, 0.05 * (high - low)))
    if 1.0 - cv2.countNonZero(bright) / bright.size < 0.25:
        return None
    core = _solid(bright)
    if core is None or np.count_nonzero(core > bright) < _HOLES * cv2.countNonZero(core):
        return None
    return bright, core


def _brighter(pixels: Pixels, grey: float) -> Pixels:
    """1 where a pixel is brighter, else 0."""
    return np.asarray(cv2.threshold(pixels, grey, 1, cv2.THRESH_BINARY)[1], dtype=np.uint8)


def _histogram(pixels: Pixels, mask: Pixels | None = None) -> npt.NDArray[np.float32]:
    """How many pixels are of each grey value, of all or of those that a mask marks."""
    return np.asarray(cv2.calcHist([pixels], [0], mask, [256], [0, 256]), dtype=np.float32).ravel()


def _quantile(counts: npt.NDArray[np.float32], share: float) -> float:
    """As NumPy's, from a histogram: several times faster on grey values."""
    cumulative = np.cumsum(counts)
    rank = share * (float(cumulative[-1]) - 1.0)
    below, above = np.searchsorted(cumulative, (int(rank), int(rank) + 1), side="right")
    return float(below + (above - below) * (rank % 1.0))


def _solid(bright: Pixels) -> Pixels | None:
    """The largest region, filled, without what is thin or hangs on it; 0 or 1, None where there is none."""
    solid = np.zeros_like(bright)
    within = _around(cv2.boundingRect(bright))
    found = _largest(_opened(bright[within], _STRANDS))
    if found is None:
        return None
    # What follows touches only the region and what it encloses.
    around = _around(found.box)
    filled = _filled(np.ascontiguousarray(found.mask[around]))
    trimmed = _largest(_opened(filled, _SLABS))
    solid[within][around] = filled if trimmed is None else trimmed.mask
    return solid


def _around(box: Sequence[int]) -> tuple[slice, slice]:
    """A box of (column, row, width, height) and a pixel around, which tells an edge of it from one of the picture."""
    left, top, width, height = box
    return slice(max(0, top - 1), top + height + 1), slice(max(0, left - 1), left + width + 1)


def _opened(mask: Pixels, side: int) -> Pixels:
    """Without what OpenCV's disc of so many pixels across does not fit into."""
    # Beyond the picture the body goes on: without a replicated border the opening would round off a tight crop.
    padded = np.asarray(cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_REPLICATE), dtype=np.uint8)
    opened = _swept(_swept(padded, side, np.bitwise_and), side, np.bitwise_or)
    return np.ascontiguousarray(opened[side:-side, side:-side])


def _swept(mask: Pixels, side: int, combine: np.ufunc) -> Pixels:
    """Each pixel combined with all that the disc around it covers: ``and`` erodes, ``or`` dilates.

    The disc is a stack of runs; those of all lengths take few operations, each on the whole picture as one row, which is twice
    as fast as OpenCV. Pixels nearer to the edge than the disc's radius come out wrong.
    """
    flat, row = mask.ravel(), mask.shape[1]
    disc = _disc(side)
    run, length, runs = flat, 1, {}
    for width in sorted(set(disc)):
        while length < width:
            step = min(length, width - length)
            run, length = combine(run[:-step], run[step:]), length + step
        runs[width] = run
    swept = flat.copy()
    margin = side // 2 * (row + 1)
    inner = swept[margin:-margin]
    for below, width in enumerate(disc, -(side // 2)):
        start = margin + below * row - width // 2
        combine(inner, runs[width][start : start + inner.size], out=inner)
    return swept.reshape(mask.shape)


@cache
def _disc(side: int) -> tuple[int, ...]:
    """Lengths of the rows of OpenCV's disc."""
    return tuple(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).sum(axis=1).tolist())


_UNSEEN, _LARGEST = 255, 1
"""While the largest region is sought: what is yet to be looked at, and the largest so far."""


class _Region(NamedTuple):
    mask: Pixels
    box: Sequence[int]


def _largest(mask: Pixels) -> _Region | None:
    """The largest region of ones, and its (column, row, width, height); None where there is none."""
    # Filled one by one until what is left cannot be larger, nearly always after the first: labelling all of them takes OpenCV
    # five times as long.
    unseen = mask * np.uint8(_UNSEEN)
    left, largest, seed = cv2.countNonZero(mask), 0, None
    box: Sequence[int] = ()
    while left > largest:
        smaller = cv2.minMaxLoc(unseen)[3]
        size, _, _, around = cv2.floodFill(unseen, None, smaller, _LARGEST, flags=4)
        left -= size
        if size > largest:
            largest, box, seed, smaller = size, around, smaller, seed
        if smaller is not None:
            cv2.floodFill(unseen, None, smaller, 0, flags=4)
    if seed is None:
        return None
    return _Region((unseen == _LARGEST).view(np.uint8), box)


def _filled(mask: Pixels) -> Pixels:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    return filled

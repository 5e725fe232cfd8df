"""Colour in what should be grey: pen strokes, arrows and boxes burnt into a slice, or a picture that is no slice at all."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lung_tumor.errors import SliceError

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_CLEARLY = 32
"""Largest minus smallest of red, green and blue above which a pixel is clearly coloured; chroma noise of JPEG stays below."""

_MOST = 0.10
"""Largest share of clearly coloured pixels in a slice. Of 343 published slices with pen strokes and arrows none has more
than 0.004; of photographs and colour maps few have less than 0.2."""

_PAPER, _ON_PAPER = (245, 0.5), 0.002
"""Grey value and share of the picture that make it a white page, and the coloured share that then makes it a plot."""

_FRINGE = 2
"""Pixels around a stroke, at the width of a CT slice, that anti-aliasing and compression coloured too."""

_REACH = 3.0
"""Pixels around a point from which it is filled."""


def find_strokes(rgb: npt.NDArray[np.uint8]) -> tuple[float, Mask | None]:
    """Measure colour.

    Args:
        rgb: (height, width, 3) uint8.

    Returns:
        The share of clearly coloured pixels, 0 to 1, and where they stand together in strokes, (height, width) bool, or
        None where they do not.

    Raises:
        SliceError: too much is coloured for a slice with marks on it.
    """
    red, green, blue = cv2.split(rgb)
    chroma = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    coloured = np.asarray(cv2.threshold(chroma, _CLEARLY, 1, cv2.THRESH_BINARY)[1], dtype=np.uint8)
    share = cv2.countNonZero(coloured) / coloured.size
    if share == 0.0:
        return 0.0, None
    paper = cv2.countNonZero(cv2.threshold(green, _PAPER[0], 1, cv2.THRESH_BINARY)[1]) / coloured.size
    if share > _MOST or (share > _ON_PAPER and paper > _PAPER[1]):
        raise SliceError(
            f"the picture is not greyscale-like, {share:.1%} of it is clearly coloured; give CT slices, not photographs "
            "or plots"
        )
    # A stroke fills a fifth of some 5×5 square; a stray pixel of noise does not.
    near = cv2.boxFilter(coloured, -1, (5, 5), normalize=False, borderType=cv2.BORDER_CONSTANT)
    strokes = (coloured == 1) & (near >= 5)
    return share, strokes if strokes.any() else None


def fill_strokes(pixels: Pixels, strokes: Mask) -> Pixels:
    """Replace strokes and the fringe around them from their surroundings (Telea, J. Graphics Tools 2004).

    Args:
        pixels: grey values, (height, width) uint8.
        strokes: where to, (height, width) bool.

    Returns:
        A new picture of the same size.
    """
    fringe = 2 * max(1, round(_FRINGE * max(pixels.shape) / 512)) + 1
    wide = cv2.dilate(strokes.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (fringe, fringe)))
    return np.asarray(cv2.inpaint(pixels, wide, _REACH, cv2.INPAINT_TELEA), dtype=np.uint8)

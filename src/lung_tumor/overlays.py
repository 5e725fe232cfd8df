"""A slice with what speaks for a class laid over it in colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lung_tumor.imaging import Pixels

Evidence = npt.NDArray[np.floating[Any]]

# Okabe and Ito's vermillion (2008), of middle brightness: seen on black lung and on white bone alike, and by colour-blind
# readers, since it differs from grey along blue and yellow. Only its opacity tells how much, so nothing hints at steps.
COLOUR = (213, 94, 0)
"""Red, green and blue of evidence, wherever it is shown."""

_OPACITY = 0.85


def strongest(maps: Iterable[Evidence]) -> float:
    """One scale for many maps: their largest evidence; 1 where none is positive."""
    most = max((float(found.max()) for found in maps), default=0.0)
    return most if most > 0.0 else 1.0


def finer(evidence: Evidence, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Positive evidence, of (rows, columns), on the slice's own grid, (height, width) float32, 0 or more.

    Bicubic, so that the peak may lie between cells. Whatever shows evidence, or judges where it lies, does so on this grid.
    """
    positive = np.maximum(evidence, 0.0).astype(np.float32)
    fine = cv2.resize(positive, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.maximum(fine, 0.0), dtype=np.float32)


def overlay(pixels: Pixels, evidence: Evidence, scale: float) -> Pixels:
    """Lay positive evidence over a slice: transparent where there is none, orange where there is much.

    Args:
        pixels: (height, width) uint8.
        evidence: (rows, columns), positive where a position speaks for the class.
        scale: evidence that is drawn strongest, above 0; one for all slices that are to be compared.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: the scale is not above 0, or the map has not two axes.
    """
    if not scale > 0.0:
        raise ValueError(f"scale must be above 0, received {scale}")
    if evidence.ndim != 2:
        raise ValueError(f"evidence must have the shape (rows, columns), received {evidence.shape}")
    height, width = pixels.shape
    strength = np.minimum(finer(np.minimum(evidence / scale, 1.0), (height, width)), 1.0)[..., np.newaxis]
    opacity = _OPACITY * np.sqrt(strength)
    mixed = (1.0 - opacity) * pixels[..., np.newaxis] + opacity * np.array(COLOUR, dtype=np.float32)
    return np.asarray(mixed.round(), dtype=np.uint8)


def legend() -> Pixels:
    """The colours from no evidence to the strongest, (12, 240, 3) uint8, over white."""
    ramp = np.linspace(0.0, 1.0, 240, dtype=np.float32)[np.newaxis]
    return overlay(np.full((12, 240), 255, np.uint8), ramp, 1.0)

"""Grey values that mean the same whatever window a slice was exported through.

Constants alone, nothing learnt from a collection: the app cannot differ from training.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Table = npt.NDArray[np.float32]

Normalisation = Literal["none", "percentile", "window", "landmarks", "equalise"]

LUNG_GREY, TISSUE_GREY = 40.0, 225.0
"""Where ``landmarks`` puts lungs and soft tissue: about where the lung window shows them, stretched a little."""


def standardise(
    pixels: Pixels,
    method: Normalisation,
    percentiles: tuple[float, float],
    window: tuple[float, float],
    inside: Mask | None = None,
) -> Pixels:
    """Map grey values by one monotone table.

    Args:
        pixels: (height, width) uint8.
        method: ``percentile`` stretches between two percentiles and ``window`` between two grey values; ``landmarks`` puts
            lungs and soft tissue where :data:`LUNG_GREY` and :data:`TISSUE_GREY` say; ``equalise`` makes every grey value
            equally frequent, so that no monotone change of greys is seen.
        percentiles: lower and upper, 0 to 100, for ``percentile``.
        window: lower and upper grey value for ``window``.
        inside: the pixels that are counted, (height, width) bool; None counts all.

    Returns:
        (height, width) uint8.
    """
    if method == "none":
        return pixels
    if method == "window":
        table = _stretch(*window)
    else:
        counts = _histogram(pixels, inside)
        match method:
            case "percentile":
                table = _stretch(*_percentiles(counts, percentiles))
            case "landmarks":
                table = _landmarks(counts)
            case "equalise":
                table = _equalise(counts)
    return np.asarray(cv2.LUT(pixels, np.rint(np.clip(table, 0.0, 255.0)).astype(np.uint8)), dtype=np.uint8)


def _histogram(pixels: Pixels, inside: Mask | None) -> npt.NDArray[np.float64]:
    mask = None if inside is None else inside.view(np.uint8)
    return np.asarray(cv2.calcHist([pixels], [0], mask, [256], [0, 256]), dtype=np.float64).ravel()


def _stretch(low: float, high: float, bottom: float = 0.0, top: float = 255.0) -> Table:
    slope = (top - bottom) / max(high - low, 1.0)
    return np.asarray((np.arange(256) - low) * slope + bottom, dtype=np.float32)


def _percentiles(counts: npt.NDArray[np.float64], percentiles: tuple[float, float]) -> tuple[float, float]:
    """Smallest grey values that at least these percentages of the pixels, and at least one pixel, do not exceed."""
    cumulative = np.cumsum(counts)
    low, high = np.searchsorted(cumulative, np.maximum(np.array(percentiles) / 100.0 * cumulative[-1], 1.0))
    return float(low), float(high)


def _landmarks(counts: npt.NDArray[np.float64]) -> Table:
    """Line through the medians of what Otsu's threshold (1979) parts, after Nyúl and Udupa (1999) with two landmarks."""
    below, above = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    total = below[-1]
    parted = below * (total - below)
    between = np.divide(
        (above[-1] * below / max(total, 1.0) - above) ** 2, parted, out=np.zeros(256), where=parted > 0.0
    )
    dark = below[int(np.argmax(between))]
    bright = total - dark
    lungs, tissue = np.searchsorted(below, (max(0.5 * dark, 1.0), dark + max(0.5 * bright, 1.0)))
    # Without lungs, or without contrast, the line would blow up noise.
    if min(dark, bright) < 0.03 * total or tissue - lungs < 16:
        return _stretch(*_percentiles(counts, (1.0, 99.0)))
    return _stretch(float(lungs), float(tissue), LUNG_GREY, TISSUE_GREY)


def _equalise(counts: npt.NDArray[np.float64]) -> Table:
    """Each grey value becomes the share of pixels that are darker, counting half of its equals, times 255."""
    cumulative = np.cumsum(counts)
    return np.asarray((cumulative - 0.5 * counts) * (255.0 / max(cumulative[-1], 1.0)), dtype=np.float32)

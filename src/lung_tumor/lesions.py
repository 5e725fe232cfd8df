"""Where lesions are known to lie: outlines in the coordinates of the prepared slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Outline = list[list[list[int]]]
"""Closed polygons, each a list of [column, row], pixels."""


def outline(mask: Mask) -> Outline:
    """Polygons around a mask, (height, width) bool; filled again they give the same mask, holes aside."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [polygon[:, 0].tolist() for polygon in found]


def mask_of(polygons: Sequence[Sequence[Sequence[int]]], size: int) -> Mask:
    """The mask, (size, size) bool, that :func:`outline` was given."""
    filled = np.zeros((size, size), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(filled, [np.asarray(polygon, np.int32)], 1)
    return filled.astype(np.bool_)


def masks_of(outlines: Mapping[str, Any], digests: Sequence[str], size: int) -> list[Mask | None]:
    """For each slice, by its pixel digest, the mask of its lesion; None where no outline is known."""
    return [mask_of(outlines[digest], size) if outlines.get(digest) else None for digest in digests]

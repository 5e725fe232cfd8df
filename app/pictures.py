"""Pictures that travel inside an answer."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lung_tumor.imaging import Pixels
from lung_tumor.overlays import COLOUR, finer

_OPAQUE = 200
"""Alpha of the strongest evidence: what lies under it still shows."""


def png_uri(pixels: Pixels) -> str:
    """Grey or BGRA pixels, uint8, as a PNG that needs no second request and no file."""
    # The lightest compression: the answer is read once, and the time belongs to the model.
    _, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode('ascii')}"


def evidence_overlay(evidence: npt.NDArray[np.floating[Any]], side: int, strength: float = 1.0) -> Pixels:
    """What speaks for a class, to be laid over the prepared slice.

    Args:
        evidence: (rows, columns), in logits; only what is positive is shown, its largest value most.
        side: of the prepared slice, pixels.
        strength: how opaque the largest value is, 0 to 1.

    Returns:
        (side, side, 4) uint8, blue, green, red and alpha as OpenCV encodes them.
    """
    positive = finer(evidence, (side, side))
    alpha = positive * (_OPAQUE * min(max(strength, 0.0), 1.0) / max(float(positive.max()), 1e-12))
    overlay = np.empty((side, side, 4), dtype=np.uint8)
    overlay[..., :3] = COLOUR[::-1]
    overlay[..., 3] = np.rint(alpha)
    return overlay

"""Which Hounsfield units become black and white."""

from __future__ import annotations

import math
from typing import Any, Literal

Window = Literal["lung", "file"] | tuple[float, float]
"""Which Hounsfield units become black and white: the lung window, one that the file names, or (level, width) in HU."""

LUNG_WINDOW = (-600.0, 1500.0)
"""Level and width of the usual lung window, HU."""


def checked_window(window: Any) -> Window:
    """The option, with YAML's list made a tuple.

    Raises:
        ValueError: it is neither ``lung``, ``file`` nor a level and a width of at least 1 HU.
    """
    if isinstance(window, str) and window in ("lung", "file"):
        return window  # type: ignore[return-value]
    if (
        isinstance(window, list | tuple)
        and len(window) == 2
        and all(isinstance(value, int | float) for value in window)
    ):
        level, width = map(float, window)
        if math.isfinite(level) and 1.0 <= width <= 65535.0:
            return level, width
    raise ValueError(f"dicom_window must be lung, file, or a level and a width of 1 or more in HU, received {window!r}")

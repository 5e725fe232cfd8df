"""Manifests written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

_DEFAULTS = {
    "verdict": "accepted",
    "reason": "",
    "format": "PNG",
    "mode": "L",
    "width": 64,
    "height": 64,
    "synthetic": False,
}


def manifest_of(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row a file; ``digest``, ``pixels`` and ``group`` are made up from the path unless given."""
    full = []
    for row in rows:
        pixels = row.get("pixels", f"pixels of {row['path']}")
        full.append({**_DEFAULTS, "digest": f"digest of {row['path']}", "pixels": pixels, "group": pixels, **row})
    return pd.DataFrame(full)


def many(counts: dict[str, int]) -> pd.DataFrame:
    """So many different pictures of each class."""
    return manifest_of(
        {"path": f"{label}/{index}.png", "label": label} for label, count in counts.items() for index in range(count)
    )

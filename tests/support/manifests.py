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
    "copy_of": "",
    "given_split": "",
    "preparation": "",
    "coloured": 0.0,
    "patient": "",
    "study": "",
    "synthetic": False,
}
PAIRS = ["first", "second", "kind"]


def manifest_of(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row a file; ``digest``, ``pixels``, ``picture`` and ``group`` are made up from the path unless given."""
    full = []
    for row in rows:
        pixels = row.get("pixels", f"pixels of {row['path']}")
        made_up = {"digest": f"digest of {row['path']}", "pixels": pixels, "picture": pixels, "group": pixels}
        full.append({**_DEFAULTS, **made_up, **row})
    return pd.DataFrame(full)


def pairs_of(*ends: tuple[str, str], kind: str = "copy") -> pd.DataFrame:
    """Verified near-duplicates, by path."""
    return pd.DataFrame([(first, second, kind) for first, second in ends], columns=PAIRS)


def many(counts: dict[str, int]) -> pd.DataFrame:
    """So many different pictures of each class."""
    return manifest_of(
        {"path": f"{label}/{index}.png", "label": label} for label, count in counts.items() for index in range(count)
    )

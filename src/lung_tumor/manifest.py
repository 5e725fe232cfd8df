"""Reading the manifest: one row per file of a source, written by :mod:`lung_tumor.audit`."""

from __future__ import annotations

import pandas as pd

ACCEPTED = "accepted"
QUARANTINED = "quarantined"
"""The two values of the column ``verdict``."""


def accepted(manifest: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """Accepted rows, of one split if named, with a fresh index."""
    chosen = manifest["verdict"] == ACCEPTED
    if split is not None:
        chosen &= manifest["split"] == split
    return manifest[chosen].reset_index(drop=True)

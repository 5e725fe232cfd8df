"""Adapters between the catalog and the library."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from lung_tumor import figures
from lung_tumor.consistency import manifest_digest
from lung_tumor.imaging import PreparationOptions, decode, prepare
from lung_tumor.manifest import accepted
from lung_tumor.prepared import Partitions, read_slices
from lung_tumor.sources import SliceSource

SHEET_SLICES = 32
"""Slices on one contact sheet: as many as a page shows legibly."""


def prepare_slices(
    source: SliceSource, manifest: pd.DataFrame, options: PreparationOptions
) -> dict[str, Callable[[], Image.Image]]:
    """One lazy picture per accepted picture, by its pixel digest: prepared when saved, so that one is held at a time."""
    files = {file.path: file for file in source.files}

    def prepared(path: str) -> Image.Image:
        return Image.fromarray(prepare(decode(files[path].read_bytes(), options.dicom_window).pixels, options))

    unique = accepted(manifest).drop_duplicates("pixels")
    return {digest: partial(prepared, path) for digest, path in zip(unique["pixels"], unique["path"], strict=True)}


def describe_source(
    source: SliceSource, manifest: pd.DataFrame, slices: Partitions, options: PreparationOptions
) -> dict[str, Any]:
    """Facts about the source that everything made from it must carry; written last, when ``slices`` are all prepared."""
    return {
        "source": source.name,
        "synthetic": bool(manifest["synthetic"].any()),
        "classes": sorted(accepted(manifest)["label"].unique()),
        "files": len(manifest),
        "accepted": len(accepted(manifest)),
        "prepared": len(slices),
        "manifest_digest": manifest_digest(manifest),
        "preparation": options.to_dict(),
    }


def draw_contact_sheets(slices: Partitions, manifest: pd.DataFrame, provenance: dict[str, Any]) -> dict[str, Figure]:
    """One sheet per class, its slices spread evenly over the manifest."""
    sheets = {}
    for label, rows in accepted(manifest).drop_duplicates("pixels").groupby("label"):
        chosen = rows.iloc[:: max(1, -(-len(rows) // SHEET_SLICES))]
        sheets[str(label)] = figures.contact_sheet(
            list(read_slices(slices, chosen)),
            list(chosen["split"]),
            f"{label}: {len(chosen)} of {len(rows)} pictures as the network sees them",
            synthetic=provenance["synthetic"],
        )
    return sheets

"""One row of facts for every file of a source: what it is, whether it can be used, which picture it shows."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pandas as pd
from tqdm import tqdm

from lung_tumor.dicom import Window
from lung_tumor.errors import SliceError, SourceError
from lung_tumor.imaging import PreparationOptions, decode
from lung_tumor.manifest import ACCEPTED, QUARANTINED
from lung_tumor.sources import SliceFile, SliceSource

logger = logging.getLogger(__name__)

_THREADS = 2


def audit(source: SliceSource, options: PreparationOptions) -> pd.DataFrame:
    """Look into every file of a source.

    Args:
        source: its files are read one at a time.
        options: of the preparation, for what decides how a DICOM slice becomes a picture.

    Returns:
        One row per file, sorted by path: ``path`` (relative to the source), ``label``, ``verdict`` (accepted or
        quarantined), ``reason`` (empty for accepted), ``format``, ``mode``, ``width``, ``height``, ``digest`` (SHA-256 of
        the bytes), ``pixels`` (SHA-256 of the decoded grey values), ``group`` (the same for pictures that must never
        stand on two sides of a split) and ``synthetic``.

    Raises:
        SourceError: a class is left without a single accepted file.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        looked = pool.map(partial(_look, window=options.dicom_window), source.files)
        rows = list(tqdm(looked, total=len(source.files), desc="Audit", unit="file"))
    manifest = pd.DataFrame(rows).sort_values("path", ignore_index=True)
    manifest = _quarantine_conflicts(manifest)
    manifest["group"] = manifest["pixels"].where(manifest["pixels"] != "", manifest["digest"]).str[:16]
    manifest["synthetic"] |= source.synthetic
    _require_every_class(manifest, source.classes)
    return manifest


def _look(file: SliceFile, window: Window) -> dict[str, Any]:
    row: dict[str, Any] = {
        "path": file.path,
        "label": file.label,
        "verdict": QUARANTINED,
        "reason": "",
        "format": "",
        "mode": "",
    }
    row |= {"width": 0, "height": 0, "digest": "", "pixels": "", "synthetic": False}
    try:
        content = file.read_bytes()
        row["digest"] = hashlib.sha256(content).hexdigest()
        decoded = decode(content, window)
    except SliceError as error:
        return row | {"reason": str(error)}
    height, width = decoded.pixels.shape
    shape = f"{width}x{height}:".encode()
    return row | {
        "verdict": ACCEPTED,
        "format": decoded.format,
        "mode": decoded.mode,
        "synthetic": decoded.synthetic,
        "width": width,
        "height": height,
        "pixels": hashlib.sha256(shape + decoded.pixels.tobytes()).hexdigest(),
    }


def _quarantine_conflicts(manifest: pd.DataFrame) -> pd.DataFrame:
    """Quarantine every picture that stands under two labels: one of them is wrong, and no one can say which."""
    accepted = manifest[manifest["verdict"] == ACCEPTED]
    labels = accepted.groupby("pixels")["label"].transform("nunique")
    conflicts = accepted.index[labels > 1]
    manifest = manifest.copy()
    manifest.loc[conflicts, "verdict"] = QUARANTINED
    manifest.loc[conflicts, "reason"] = "the same picture stands under another label too"
    return manifest


def _require_every_class(manifest: pd.DataFrame, classes: Iterable[str]) -> None:
    quarantined = manifest[manifest["verdict"] == QUARANTINED]
    if len(quarantined):
        logger.warning("%d of %d files quarantined; the manifest says why.", len(quarantined), len(manifest))
    for label in classes:
        if not ((manifest["label"] == label) & (manifest["verdict"] == ACCEPTED)).any():
            reasons = quarantined.loc[quarantined["label"] == label, "reason"].value_counts()
            raise SourceError(
                f"class {label!r} has no file that can be used ({reasons.sum()} quarantined; most often: "
                f"{reasons.index[0] if len(reasons) else 'none listed'}); mend its files or leave the folder out"
            )

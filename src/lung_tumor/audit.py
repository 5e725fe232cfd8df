"""One row of facts for every file of a source: what it is, and whether it can be used."""

from __future__ import annotations

import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pandas as pd
from tqdm import tqdm

from lung_tumor import trivial
from lung_tumor.dicom_patients import patient_digests
from lung_tumor.dicom_window import Window
from lung_tumor.errors import SliceError, SourceError
from lung_tumor.imaging import PreparationOptions, decode
from lung_tumor.manifest import ACCEPTED, QUARANTINED
from lung_tumor.sources import SliceFile, SliceSource

logger = logging.getLogger(__name__)

_THREADS = 2
_SALT_BYTES = 16


def audit(source: SliceSource, options: PreparationOptions) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look into every file of a source.

    Args:
        source: its files are read one at a time.
        options: of the preparation, for what decides how a DICOM slice becomes a picture.

    Returns:
        First, one row per file, sorted by path: ``path`` (relative to the source), ``label``, ``verdict`` (accepted or
        quarantined), ``reason`` (empty for accepted), ``format``, ``mode``, ``width``, ``height``, ``coloured`` (share of
        clearly coloured pixels), ``digest`` (SHA-256 of the bytes), ``pixels`` (SHA-256 of the decoded grey values),
        ``given_split``, ``synthetic``, and ``patient`` and ``study``: digests of what DICOM says, under a key that is drawn
        for this call and forgotten, to be compared and then dropped. Second, one row per accepted file with ``path`` and
        its :func:`~lung_tumor.trivial.of_file` numbers.
    """
    salt = os.urandom(_SALT_BYTES)
    with ThreadPoolExecutor(_THREADS) as pool:
        looked = pool.map(partial(_look, window=options.dicom_window, salt=salt), source.files)
        rows = list(tqdm(looked, total=len(source.files), desc="Audit", unit="file"))
    files = pd.DataFrame([row for row, _ in rows]).sort_values("path", ignore_index=True)
    files["synthetic"] |= source.synthetic
    numbers = pd.DataFrame([{"path": row["path"], **found} for row, found in rows if found] or {"path": []})
    return files, numbers.sort_values("path", ignore_index=True)


def _look(file: SliceFile, window: Window, salt: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    row: dict[str, Any] = {"path": file.path, "label": file.label, "verdict": QUARANTINED, "reason": ""}
    row |= {"format": "", "mode": "", "width": 0, "height": 0, "coloured": 0.0, "digest": "", "pixels": ""}
    row |= {"given_split": file.given_split, "synthetic": False, "patient": "", "study": ""}
    try:
        content = file.read_bytes()
        row["digest"] = hashlib.sha256(content).hexdigest()
        decoded = decode(content, window)
    except SliceError as error:
        return row | {"reason": str(error)}, {}
    height, width = decoded.pixels.shape
    shape = f"{width}x{height}:".encode()
    who = patient_digests(content, salt)
    return row | {
        "verdict": ACCEPTED,
        "format": decoded.format,
        "mode": decoded.mode,
        "width": width,
        "height": height,
        "coloured": decoded.coloured,
        "pixels": hashlib.sha256(shape + decoded.pixels.tobytes()).hexdigest(),
        "synthetic": decoded.synthetic,
        "patient": who.patient or "",
        "study": who.study or "",
    }, trivial.of_file(len(content), decoded)


def require_every_class(files: pd.DataFrame) -> pd.DataFrame:
    """Pass the rows on if every class has an accepted file.

    Raises:
        SourceError: one has none; the message says what became of its files.
    """
    quarantined = files[files["verdict"] == QUARANTINED]
    if len(quarantined):
        logger.warning("%d of %d files quarantined; the manifest says why.", len(quarantined), len(files))
    for label, rows in files.groupby("label"):
        if not (rows["verdict"] == ACCEPTED).any():
            reasons = rows["reason"].value_counts()
            raise SourceError(
                f"class {label!r} has no file that can be used ({len(rows)} quarantined; most often: {reasons.index[0]}); "
                "mend its files or leave the folder out"
            )
    return files

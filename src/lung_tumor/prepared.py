"""Prepared slices, written and read back one at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from lung_tumor.errors import SliceError
from lung_tumor.imaging import Pixels, PreparationOptions, decode, prepare

Partitions = Mapping[str, Callable[[], Any]]
"""Prepared slices by pixel digest; a call opens one, (size, size) uint8 or a picture of that."""


def name_preparation(manifest: pd.DataFrame, options: PreparationOptions) -> pd.DataFrame:
    """Add the column ``preparation``, so that slices prepared otherwise do not pass for those of this manifest."""
    text = json.dumps(options.to_dict(), sort_keys=True)
    return manifest.assign(preparation=hashlib.sha256(text.encode()).hexdigest()[:16])


def prepare_file(content: bytes, options: PreparationOptions) -> Pixels:
    """The prepared slice, (size, size) uint8, of a file of a source.

    Raises:
        SliceError: it cannot be read.
    """
    decoded = decode(content, options.dicom_window)
    return prepare(decoded.pixels, options, decoded.strokes)


def with_progress(openers: Partitions, title: str) -> dict[str, Callable[[], Any]]:
    """The same calls behind one progress bar, which begins with the first and ends once there were as many as openers.

    For what is made as it is saved; what is called again later does not count.
    """
    bar = cache(partial(tqdm, total=len(openers), desc=title, unit="slice", disable=None))

    def opened(opener: Callable[[], Any]) -> Any:
        made, shown = opener(), bar()
        if shown.n < len(openers):
            shown.update()
            if shown.n == len(openers):
                shown.close()
        return made

    return {digest: partial(opened, opener) for digest, opener in openers.items()}


def read_slices(partitions: Partitions, rows: pd.DataFrame) -> Iterator[Pixels]:
    """Yield the prepared slice, (size, size) uint8, of each manifest row in turn.

    Raises:
        SliceError: a row has no prepared slice.
    """
    return (opened() for opened in slice_openers(partitions, rows))


def slice_openers(partitions: Partitions, rows: pd.DataFrame) -> list[Callable[[], Pixels]]:
    """For each manifest row a call that opens its prepared slice, (size, size) uint8.

    Raises:
        SliceError: a row has no prepared slice.
    """
    for path, digest in zip(rows["path"], rows["pixels"], strict=True):
        if digest not in partitions:
            raise SliceError(f"{path} has no prepared slice; run `kedro run --pipeline=data_ingestion` again")
    return [partial(_opened, partitions[digest]) for digest in rows["pixels"]]


def _opened(partition: Callable[[], Any]) -> Pixels:
    return np.asarray(partition(), dtype=np.uint8)

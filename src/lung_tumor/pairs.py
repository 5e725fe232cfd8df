"""The pictures of a source as the near-duplicate search wants them, and its findings as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from lung_tumor.duplicates import DuplicateOptions, View, find_duplicates
from lung_tumor.imaging import Pixels, PreparationOptions, decode
from lung_tumor.manifest import ACCEPTED
from lung_tumor.sources import SliceSource


def distinct_files(files: pd.DataFrame) -> pd.DataFrame:
    """One readable row for every distinct content, the first by path, with a fresh index."""
    return files[files["verdict"] == ACCEPTED].drop_duplicates("pixels").reset_index(drop=True)


def open_pictures(
    source: SliceSource, rows: pd.DataFrame, options: PreparationOptions
) -> Sequence[Callable[[], Pixels]]:
    """For each row a call that decodes its file, (height, width) uint8: one picture is held at a time."""
    located = {file.path: file for file in source.files}

    def opened(path: str) -> Pixels:
        return decode(located[path].read_bytes(), options.dicom_window).pixels

    return [partial(opened, path) for path in rows["path"]]


def find_pairs(
    source: SliceSource,
    files: pd.DataFrame,
    views: Sequence[View],
    preparation: PreparationOptions,
    options: DuplicateOptions,
) -> pd.DataFrame:
    """Verified pairs of files that show the same picture, or the same slice through two windows.

    Args:
        source: of the files.
        files: rows of :func:`lung_tumor.audit.audit`.
        views: further descriptions of :func:`distinct_files` in which candidates are sought.
        preparation: for the window of DICOM.
        options: of the search.

    Returns:
        ``first`` and ``second`` (paths) and the fields of :class:`~lung_tumor.geometry.Verification`, sorted. Files of equal
        pixels are not listed.
    """
    rows = distinct_files(files)
    found = find_duplicates(open_pictures(source, rows, preparation), options, views).pairs
    paths = rows["path"].to_numpy()
    ends = {end: paths[found[end].to_numpy(dtype=int)] for end in ("first", "second")}
    return found.assign(**ends).sort_values(["first", "second"], ignore_index=True)

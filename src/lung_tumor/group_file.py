"""``groups.csv``: what a source's owner knows of which slices belong together, such as those of one patient."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lung_tumor.class_folders import SliceFile
from lung_tumor.errors import SourceError
from lung_tumor.source_options import printable

_log = logging.getLogger(__name__)

NAME = "groups.csv"
_MOST_BYTES = 64 * 2**20


def read_groups(root: Path, files: Sequence[SliceFile], name: str) -> dict[str, str]:
    """Group by path of every file that the source's ``groups.csv`` names; empty if there is none.

    It lies beside the class folders (or split folders), or in a folder above them; its columns ``path`` and ``group`` stand
    in the first line, and its paths are relative to its own folder.

    Raises:
        SourceError: it cannot be read, lacks a column, names a file twice, or none of the source's files, or lies within a
            class or a split.
    """
    places = [PurePosixPath(*parts) for parts in _folders_above_all(files)]
    above = {root / place for place in places}
    for folder in {parent for file in files for parent in file.location.parents if parent.is_relative_to(root)} - above:
        if (folder / NAME).is_file():
            raise SourceError(
                f"{name}: {NAME} in {printable(folder.relative_to(root).as_posix())} speaks for a part of the files only; make "
                "one of them all, beside the class or split folders"
            )
    place = next((place for place in places if (root / place / NAME).is_file()), None)
    if place is None:
        return {}
    known = {file.path for file in files}
    groups: dict[str, str] = {}
    strangers = 0
    for number, (path, group) in enumerate(_rows(root / place / NAME, name), start=2):
        below = "/".join(map(printable, (place / path.replace("\\", "/")).parts))
        if below not in known:
            strangers += 1
            continue
        if groups.setdefault(below, group) != group:
            raise SourceError(f"{name}: {NAME}, line {number}: {below} stands in two groups")
    if not groups:
        raise SourceError(f"{name}: {NAME} names none of its files; paths must be relative to the folder of {NAME}")
    if strangers or len(groups) < len(known):
        _log.warning(
            "%s: %s knows %d of %d files; %d of its lines name none", name, NAME, len(groups), len(known), strangers
        )
    return groups


def _folders_above_all(files: Sequence[SliceFile]) -> list[tuple[str, ...]]:
    """The source's root, and every folder below it that holds all files."""
    parts = [PurePosixPath(file.path).parts[:-1] for file in files]
    shared = 0
    while all(len(each) > shared for each in parts) and len({each[shared] for each in parts}) == 1:
        shared += 1
    return [parts[0][:depth] for depth in range(shared + 1)]


def _rows(path: Path, name: str) -> list[tuple[str, str]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SourceError(f"{name}: {NAME} is larger than {_MOST_BYTES:,} bytes")
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), restval="")
        if not {"path", "group"} <= set(reader.fieldnames or ()):
            # What stands there instead may be somebody's name: it is not repeated.
            raise SourceError(f"{name}: the first line of {NAME} must name the columns path and group")
        rows = [(row["path"].strip(), row["group"].strip()) for row in reader]
    except (OSError, UnicodeError, csv.Error) as error:
        raise SourceError(f"{name}: {NAME} cannot be read as UTF-8 text: {type(error).__name__}") from None
    return [(path, group) for path, group in rows if path and group]

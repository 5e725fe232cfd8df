"""Finding the classes in a folder: one subfolder per class, at any depth, any names.

The rule: the **class level** is the shallowest level with two or more sibling folders that hold files; the label of a
file is the name of the class folder above it, however deep the file lies (patients, series). Single folders above are
wrappers and are passed through. If the siblings are all named like splits (``train``, ``valid``, ``test`` …) the classes
are the folders one level below.

Listed is every regular file in a class folder except what is plainly no picture: hidden files, an operating system's
own (``__MACOSX``, ``Thumbs.db``, ``desktop.ini``) and documents by suffix (:data:`DOCUMENTS`). A damaged picture, or a
file without suffix, is listed: what cannot be decoded is set aside later, with its reason.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from lung_tumor.archives import is_hidden
from lung_tumor.errors import SliceError, SourceError
from lung_tumor.source_options import printable

_log = logging.getLogger(__name__)

MAX_FILE_BYTES = 256 * 2**20
"""Largest file that is read as one slice; a film or an archive in a class folder is set aside unread."""

DOCUMENTS = frozenset(
    {".txt", ".csv", ".tsv", ".json", ".md", ".rst", ".xml", ".html", ".htm", ".pdf", ".yml", ".yaml"}
    | {".doc", ".docx", ".xls", ".xlsx", ".ini", ".log", ".py", ".ipynb"}
)
"""Suffixes of files that stand beside slices in public archives and are never one."""

SPLITS = frozenset({"train", "training", "valid", "validation", "val", "test", "testing"})
"""Folder names, in lower case, that mean a split and not a class."""


@dataclass(frozen=True)
class SliceFile:
    """One file that may be a slice.

    Attributes:
        path: posix path relative to the source's root, printable Unicode, unique within the source.
        label: name of its class folder, printable Unicode.
        location: where the file is.
    """

    path: str
    label: str
    location: Path

    def read_bytes(self) -> bytes:
        """Content of the file.

        Raises:
            SliceError: it cannot be read, or is too large to be one slice.
        """
        try:
            size = self.location.stat().st_size
            if size > MAX_FILE_BYTES:
                raise SliceError(f"{self.path} has {size:,} bytes; a slice has at most {MAX_FILE_BYTES:,}")
            return self.location.read_bytes()
        except OSError as error:
            raise SliceError(f"{self.path} cannot be read: {error.strerror or type(error).__name__}") from None


def list_slices(root: Path, name: str, max_files: int) -> tuple[SliceFile, ...]:
    """The files of all classes below ``root``, sorted by path.

    Args:
        root: the source's folder.
        name: the source, as messages show it.
        max_files: largest number of entries that are looked at.

    Raises:
        SourceError: fewer than two classes, splits beside other folders, too many entries, or no permission.
    """
    try:
        files = list(_walk(root.resolve(), name, max_files))
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror or type(error).__name__}") from None
    depth = _class_depth([file.parts for file in files], name)
    slices = [
        SliceFile("/".join(map(printable, file.parts)), printable(file.parts[depth]), root / file)
        for file in files
        if len(file.parts) > depth + 1
    ]
    if len(slices) < len(files):
        _log.warning("%s: %d files lie above the class folders and are ignored", name, len(files) - len(slices))
    if len({file.label for file in slices}) < 2:
        raise SourceError(_too_few(name, Counter(file.label for file in slices), len(files)))
    return tuple(sorted(slices, key=lambda file: file.path))


def _class_depth(paths: list[tuple[str, ...]], name: str) -> int:
    """Position of the class folder in the paths of the files."""
    depth, inside_split = 0, False
    while True:
        folders = {parts[depth] for parts in paths if len(parts) > depth + 1}
        splits = set() if inside_split else {folder for folder in folders if folder.lower() in SPLITS}
        if splits and splits != folders:
            raise SourceError(
                f"{name} has the split folders {_some(splits)} beside {_some(folders - splits)}; put one folder per "
                "class at the top, or nothing but splits with the classes inside"
            )
        # A single folder is a wrapper if folders follow inside, else the only class.
        wrapper = len(folders) == 1 and any(len(parts) > depth + 2 for parts in paths)
        if not splits and not wrapper:
            return depth
        inside_split = inside_split or bool(splits)
        depth += 1


def _too_few(name: str, labels: Counter[str], files: int) -> str:
    expected = "two or more class folders are expected, such as adenocarcinoma/ and normal/, each with its slices"
    if not files:
        return f"{name} holds no files that could be slices; {expected}"
    if not labels:
        return f"{name} holds {files} files but no class folders; {expected}"
    [(label, count)] = labels.items()
    return f"{name} holds one class only, {label!r} with {count} files; {expected}"


def _some(names: set[str]) -> str:
    shown = ", ".join(printable(name)[:60] for name in sorted(names)[:5])
    return shown + (" …" if len(names) > 5 else "")


def _walk(root: Path, name: str, max_files: int) -> Iterator[PurePath]:
    """Paths, relative to ``root``, of the regular files that may be slices. Links are followed to files inside only."""
    pending, seen, outside = [root], 0, 0
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                seen += 1
                if seen > max_files:
                    raise SourceError(f"{name} holds more than {max_files:,} entries; raise source_options.max_files")
                if is_hidden(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif entry.is_symlink() and not _stays_inside(entry, root):
                    outside += 1
                elif entry.is_file() and PurePath(entry.name).suffix.lower() not in DOCUMENTS:
                    yield PurePath(entry.path).relative_to(root)
    if outside:
        _log.warning(
            "%s: %d links to folders, or to files outside it, are ignored; copy what they lead to", name, outside
        )


def _stays_inside(link: os.DirEntry[str], root: Path) -> bool:
    try:
        target = Path(link.path).resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target.is_file() and target.is_relative_to(root)

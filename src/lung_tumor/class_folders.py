"""Finding the classes in a folder: one subfolder per class, at any depth, any names.

The rule: the **class level** is the shallowest level with two or more sibling folders that hold files; the label of a
file is the name of the class folder above it, however deep the file lies (patients, series). Single folders above are
wrappers and are passed through. If the siblings are all named like splits (``train``, ``valid``, ``test`` …) the classes
are the folders one level below, and each file knows in which split it was found.

Listed is everything in a class folder except what is plainly no picture: hidden files, an operating system's
own (``__MACOSX``, ``Thumbs.db``, ``desktop.ini``) and documents by suffix (:data:`DOCUMENTS`). A damaged picture, a file
without suffix, a broken link or an empty folder named like a picture is listed: what cannot be decoded is set aside
later, with its reason.
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
from lung_tumor.manifest import TEST, TRAINING, VALIDATION
from lung_tumor.source_options import printable

_log = logging.getLogger(__name__)

MAX_FILE_BYTES = 256 * 2**20
"""Largest file that is read as one slice; a film or an archive in a class folder is set aside unread."""

DOCUMENTS = frozenset(
    {".txt", ".csv", ".tsv", ".json", ".md", ".rst", ".xml", ".html", ".htm", ".pdf", ".yml", ".yaml"}
    | {".doc", ".docx", ".xls", ".xlsx", ".ini", ".log", ".py", ".ipynb"}
)
"""Suffixes of files that stand beside slices in public archives and are never one."""

SPLIT_FOLDERS = {
    "train": TRAINING,
    "training": TRAINING,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
"""Folder names, in lower case, that mean a split and not a class."""

_UNREADABLE = "the folder cannot be read"

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".dcm"})
"""Suffixes by which an empty folder is taken for a picture gone wrong."""


@dataclass(frozen=True)
class SliceFile:
    """One file that may be a slice.

    Attributes:
        path: posix path relative to the source's root, printable Unicode, unique within the source.
        label: name of its class folder, printable Unicode.
        location: where the file is.
        given_split: the split whose folder it was found in, one of :data:`~lung_tumor.manifest.SPLITS`, or empty.
        problem: why it is not even opened, or empty.
    """

    path: str
    label: str
    location: Path
    given_split: str = ""
    problem: str = ""

    def read_bytes(self) -> bytes:
        """Content of the file.

        Raises:
            SliceError: it cannot be read, or is too large to be one slice.
        """
        if self.problem:
            raise SliceError(self.problem)
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
        found = dict(_walk(root.resolve(), name, max_files))
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror or type(error).__name__}") from None
    depth, split_depth = _class_depth([file.parts for file in found], name)
    slices = [
        SliceFile(
            path="/".join(map(printable, file.parts)),
            label=printable(file.parts[depth]),
            location=root / file,
            given_split="" if split_depth is None else SPLIT_FOLDERS[file.parts[split_depth].lower()],
            problem=problem,
        )
        for file, problem in found.items()
        if len(file.parts) > depth + 1
    ]
    if above := [file for file in found if len(file.parts) <= depth + 1 and found[file].startswith(_UNREADABLE)]:
        raise SourceError(f"{name}: {found[above[0]]}: {printable(str(above[0]))}; allow reading it, or take it out")
    if len(slices) < len(found):
        _log.warning("%s: %d files lie above the class folders and are ignored", name, len(found) - len(slices))
    if len({file.label for file in slices}) < 2:
        raise SourceError(_too_few(name, Counter(file.label for file in slices), len(found)))
    return tuple(sorted(slices, key=lambda file: file.path))


def _class_depth(paths: list[tuple[str, ...]], name: str) -> tuple[int, int | None]:
    """Position of the class folder in the paths of the files, and that of the split folder if there are splits."""
    depth, split_depth = 0, None
    while True:
        folders = {parts[depth] for parts in paths if len(parts) > depth + 1}
        splits = set() if split_depth is not None else {name for name in folders if name.lower() in SPLIT_FOLDERS}
        if splits and splits != folders:
            raise SourceError(
                f"{name} has the split folders {_some(splits)} beside {_some(folders - splits)}; put one folder per "
                "class at the top, or nothing but splits with the classes inside"
            )
        # A single folder is a wrapper if folders follow inside, else the only class.
        wrapper = len(folders) == 1 and any(len(parts) > depth + 2 for parts in paths)
        if not splits and not wrapper:
            return depth, split_depth
        if splits:
            split_depth = depth
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


def _walk(root: Path, name: str, max_files: int) -> Iterator[tuple[PurePath, str]]:
    """Paths, relative to ``root``, of what may be a slice, each with the problem that keeps it from being opened.

    Links are followed to files inside ``root`` only: an archive must not make other files of this machine part of it.
    """
    pending, seen = [root], 0
    while pending:
        folder = pending.pop()
        shown = 0
        try:
            for entry in _scan(folder):
                seen += 1
                if seen > max_files:
                    raise SourceError(f"{name} holds more than {max_files:,} entries; raise source_options.max_files")
                if is_hidden(entry.name):
                    continue
                shown += 1
                path = PurePath(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif path.suffix.lower() not in DOCUMENTS:
                    yield path.relative_to(root), _problem(entry, root)
        except OSError as error:
            if folder == root:
                raise
            yield folder.relative_to(root), f"{_UNREADABLE}: {error.strerror or type(error).__name__}"
        else:
            if not shown and folder.suffix.lower() in PICTURES and folder != root:
                yield folder.relative_to(root), "it is an empty folder named like a picture"


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries


def _problem(entry: os.DirEntry[str], root: Path) -> str:
    if entry.is_symlink() and not _stays_inside(entry, root):
        return "it is a link to a folder, out of the source, or to nothing; copy what it leads to"
    return "" if entry.is_file() else "it is no regular file"


def _stays_inside(link: os.DirEntry[str], root: Path) -> bool:
    try:
        target = Path(link.path).resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target.is_file() and target.is_relative_to(root)

"""Cache entries that are complete or absent, whoever dies half-way and however many runs want the same one.

An entry is a folder ``<cache>/<key>`` with the slices under ``slices`` and its origin in ``source.json``. It is built
in the hidden ``<cache>/.incoming`` under a lock that the operating system frees when its holder dies, and takes its
place by one rename.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lung_tumor.archives import remove_tree
from lung_tumor.errors import SourceError

_log = logging.getLogger(__name__)

FACTS = "source.json"
SLICES = "slices"


@dataclass(frozen=True)
class Entry:
    """One complete cache entry.

    Attributes:
        folder: its place in the cache.
        facts: content of ``source.json``: ``source``, ``synthetic``, ``files`` and what else its maker noted.
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def slices(self) -> Path:
        """Folder that holds the slices."""
        return self.folder / SLICES


@dataclass(frozen=True)
class Workspace:
    """Where an entry is made.

    Attributes:
        entry: new empty folder that becomes the entry.
        download: folder for what is fetched; it outlives a failure, so that the next run can continue.
    """

    entry: Path
    download: Path


def key_of(name: str, digest: str) -> str:
    """A folder name that can be read, and that ``digest`` makes unique."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40].rstrip("-.")
    return f"{readable}-{digest[:12]}"


def read_facts(folder: Path) -> dict[str, Any] | None:
    """``source.json`` of a folder, None where there is none that can be read."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def find(cache: Path, key: str) -> Entry | None:
    """The complete entry ``key``, or None.

    Raises:
        SourceError: files were added to the entry or removed from it since it was made.
    """
    folder = cache / key
    facts = read_facts(folder)
    if facts is None:
        return None
    found = _count_files(folder)
    if found != facts.get("files"):
        raise SourceError(
            f"the cache entry {folder} holds {found} files where {facts.get('files')} were written; "
            "remove that folder and run again"
        )
    return Entry(folder, facts)


def materialise(cache: Path, key: str, build: Callable[[Workspace], Mapping[str, Any]]) -> Entry:
    """The entry ``key``, made by ``build`` if it is not there.

    Args:
        cache: folder of all entries.
        key: name of the entry.
        build: fills ``workspace.entry`` and returns the facts for ``source.json``.

    Raises:
        SourceError: ``build`` failed, or the cache cannot be written.
    """
    if (entry := find(cache, key)) is not None:
        return entry
    incoming = cache / ".incoming"
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        with _locked(incoming, key):
            # Another run may have made it while this one waited.
            if (entry := find(cache, key)) is not None:
                return entry
            _remove_leftovers(incoming, key)
            return _build(cache, key, incoming / key, build)
    except OSError as error:
        raise SourceError(
            f"the cache {cache} cannot be written: {error.strerror or type(error).__name__}; free space there, "
            "or allow writing"
        ) from None


@contextlib.contextmanager
def _locked(incoming: Path, key: str) -> Iterator[None]:
    lock = FileLock(incoming / f"{key}.lock")
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        _log.info("another run is fetching %s; waiting for it", key)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(cache: Path, key: str, work: Path, build: Callable[[Workspace], Mapping[str, Any]]) -> Entry:
    workspace = Workspace(entry=work / "entry", download=work / "download")
    remove_tree(workspace.entry)
    workspace.entry.mkdir(parents=True)
    try:
        facts = dict(build(workspace))
        facts["files"] = _count_files(workspace.entry)
        text = json.dumps(facts, indent=2, ensure_ascii=True) + "\n"
        (workspace.entry / FACTS).write_text(text, encoding="utf-8")
        workspace.entry.rename(cache / key)
    except BaseException:
        remove_tree(workspace.entry)
        if not workspace.download.is_dir() or not any(workspace.download.iterdir()):
            remove_tree(work)
        raise
    remove_tree(work)
    return Entry(cache / key, facts)


def _remove_leftovers(incoming: Path, key: str) -> None:
    """Remove what killed runs left half unpacked; what they had downloaded stays, so that it can be continued."""
    for work in incoming.iterdir():
        if not work.is_dir() or work.name == key:
            continue
        try:
            with FileLock(incoming / f"{work.name}.lock", timeout=0):
                remove_tree(work / "entry")
        except Timeout:
            continue


def _count_files(folder: Path) -> int:
    """Number of files below ``folder``, without its ``source.json``."""
    count = sum(len(files) for _, _, files in os.walk(folder))
    return count - (folder / FACTS).is_file()

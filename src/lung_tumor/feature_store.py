"""Activations of the frozen part, remembered by what they were made from.

One SQLite file: its transactions survive a run that is killed at any moment, any SQLite tool can look into it, and many
small records cost no more than their bytes. A record is found by the digest of everything that decides its numbers, so
that it can be missing but never stale; its checksum tells when its bytes are no longer what was written.
"""

from __future__ import annotations

import hashlib
import io
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lung_tumor.errors import StoreError
from lung_tumor.imaging import Pixels

logger = logging.getLogger(__name__)

Arrays = list[npt.NDArray[np.float32]]
"""Activations of one slice, without an axis of slices."""

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS activations (
        key BLOB PRIMARY KEY,
        made_by TEXT NOT NULL,
        content BLOB NOT NULL,
        checksum BLOB NOT NULL,
        bytes INTEGER NOT NULL,
        used INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS by_use ON activations (used);
"""
_VERSION = 1
_AT_ONCE = 400
"""Records asked for in one query: SQLite takes some thousand variables."""

_DIGEST = 16


def key_of(pixels: Pixels, made_by: str) -> bytes:
    """Name of one slice's activations: a digest of the prepared pixels and of what they are sent through.

    Args:
        pixels: prepared slice, (size, size) uint8.
        made_by: everything else that decides the numbers: weights, cut, view, precision, engine.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST)
    digest.update(f"{_VERSION}|{pixels.shape}|{made_by}|".encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.digest()


class FeatureStore:
    """A store that grows up to a budget and then forgets what was not used for longest.

    A damaged record is dropped and counted as missing; a damaged file is set aside whole, and a new one is begun.
    """

    def __init__(self, path: Path, budget_bytes: int) -> None:
        if budget_bytes < 1:
            raise ValueError(f"budget_bytes must be at least 1, received {budget_bytes}")
        self._path = path
        self._budget = budget_bytes

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Arrays]:
        """The records that are there, one array for each activation; the rest must be made and :meth:`put`."""
        wanted = list(dict.fromkeys(keys))
        found: dict[bytes, Arrays] = {}
        damaged = []
        with closing(self._open()) as store, store:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = store.execute(f"SELECT key, content, checksum FROM activations WHERE key IN ({marks})", some)  # noqa: S608
                for key, content, checksum in rows.fetchall():
                    if _checksum(content) == checksum:
                        found[key] = _unpacked(content)
                    else:
                        damaged.append((key,))
            now = _next_use(store)
            store.executemany("UPDATE activations SET used = ? WHERE key = ?", [(now, key) for key in found])
            store.executemany("DELETE FROM activations WHERE key = ?", damaged)
        if damaged:
            logger.warning("%d damaged records of %s dropped; they are made again", len(damaged), self._path.name)
        return found

    def put(self, records: Mapping[bytes, Sequence[npt.NDArray[np.float32]]], made_by: str) -> None:
        """Keep records, all or none, and forget the least recently used beyond the budget."""
        with closing(self._open()) as store, store:
            now = _next_use(store)
            rows = []
            for key, arrays in records.items():
                content = _packed(arrays)
                rows.append((key, made_by, content, _checksum(content), len(content), now))
            store.executemany("INSERT OR REPLACE INTO activations VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._evict(store)

    def summary(self) -> list[dict[str, int | str]]:
        """Records and bytes by what made them, most bytes first."""
        with closing(self._open()) as store:
            rows = store.execute(
                "SELECT made_by, COUNT(*), SUM(bytes) FROM activations GROUP BY made_by ORDER BY SUM(bytes) DESC, made_by"
            ).fetchall()
        return [{"made_by": made_by, "records": count, "bytes": size} for made_by, count, size in rows]

    def _evict(self, store: sqlite3.Connection) -> None:
        (total,) = store.execute("SELECT COALESCE(SUM(bytes), 0) FROM activations").fetchone()
        if total <= self._budget:
            return
        oldest = store.execute("SELECT key, bytes FROM activations ORDER BY used, key").fetchall()
        gone = []
        for key, size in oldest:
            if total <= self._budget:
                break
            gone.append((key,))
            total -= size
        store.executemany("DELETE FROM activations WHERE key = ?", gone)
        logger.info("%s is full: %d records not used for longest are forgotten", self._path.name, len(gone))

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connected(self._path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"{self._path.name} cannot be opened ({error}); is another run using it?") from None
            # Nothing in it is worth more than the time to make it again, but a file is never deleted for being unreadable.
            aside = self._path.with_suffix(".damaged")
            self._path.replace(aside)
            logger.warning(
                "%s is damaged (%s): set aside as %s, a new one is begun", self._path.name, error, aside.name
            )
            return _connected(self._path)


def _connected(path: Path) -> sqlite3.Connection:
    store = sqlite3.connect(path, timeout=60.0)
    try:
        # Pages of forgotten records go back to the file system, a few at each commit.
        store.execute("PRAGMA auto_vacuum = FULL")
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("PRAGMA synchronous = NORMAL")
        store.executescript(_SCHEMA)
    except sqlite3.Error:
        store.close()
        raise
    return store


def _next_use(store: sqlite3.Connection) -> int:
    """A counter, not the clock: clocks are set back."""
    (last,) = store.execute("SELECT COALESCE(MAX(used), 0) FROM activations").fetchone()
    return int(last) + 1


def _packed(arrays: Sequence[npt.NDArray[np.float32]]) -> bytes:
    buffer = io.BytesIO()
    for array in arrays:
        np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _unpacked(content: bytes) -> Arrays:
    buffer = io.BytesIO(content)
    arrays = []
    while buffer.tell() < len(content):
        arrays.append(np.lib.format.read_array(buffer, allow_pickle=False))
    return arrays


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()

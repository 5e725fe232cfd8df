"""Activations of the frozen part, remembered by what they were made from.

One SQLite file: its transactions survive a run that is killed at any moment, any SQLite tool can look into it, and many
small records cost no more than their bytes. A record is one activation of one slice, found by the digest of everything that
decides its numbers, so that it can be missing but never stale; its checksum tells when its bytes are no longer what was
written. What changes at every reading stands in a table of its own, beside the contents.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lung_tumor.errors import StoreError
from lung_tumor.imaging import Pixels

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Result = TypeVar("Result")

_VERSION = 2
_SCHEMA = (
    "CREATE TABLE makers (id INTEGER PRIMARY KEY, made_by TEXT NOT NULL UNIQUE)",
    """CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        maker INTEGER NOT NULL REFERENCES makers,
        bytes INTEGER NOT NULL,
        used INTEGER NOT NULL
    )""",
    "CREATE INDEX by_use ON records (used)",
    """CREATE TABLE contents (
        id INTEGER PRIMARY KEY REFERENCES records,
        shape TEXT NOT NULL,
        kind TEXT NOT NULL,
        checksum BLOB NOT NULL,
        content BLOB NOT NULL
    )""",
)
_FORMER = "activations"
"""The one table of version 1, whose records held all activations of a slice."""

_TIMEOUT = 60.0
"""Seconds that one run waits for another to finish writing; a write takes milliseconds."""
_AT_ONCE = 400
"""Records asked for in one query: SQLite takes some thousand variables."""
_DIGEST = 16


def digest_of(pixels: Pixels) -> bytes:
    """Digest of one prepared slice, (size, size) uint8, and of its shape."""
    digest = hashlib.blake2b(f"{pixels.shape}|".encode(), digest_size=_DIGEST)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def key_of(digest: bytes, made_by: str) -> bytes:
    """Name of one activation of one slice.

    Args:
        digest: of the prepared slice, by :func:`digest_of`.
        made_by: everything else that decides the numbers (:attr:`lung_tumor.frozen_pass.FrozenPass.made_by`).
    """
    return hashlib.blake2b(digest + made_by.encode(), digest_size=_DIGEST).digest()


def stored_bytes(values: Floats) -> int:
    """Bytes that a record of these numbers takes of a store's budget."""
    return len(_packed(values)[2])


class FeatureStore:
    """A store that grows up to a budget and then forgets what was not used for longest.

    A damaged record is dropped and counted as missing; a damaged file is set aside whole, and a new one is begun. Every
    method raises :class:`~lung_tumor.errors.StoreError` where the file cannot be used: no right to, no room, or another run
    that does not stop writing.
    """

    def __init__(self, path: Path, budget_bytes: int) -> None:
        if budget_bytes < 1:
            raise ValueError(f"budget_bytes must be at least 1, received {budget_bytes}")
        self._path = path
        self._budget = budget_bytes

    @property
    def path(self) -> Path:
        """Its file."""
        return self._path

    @property
    def budget(self) -> int:
        """Most bytes that it keeps."""
        return self._budget

    def known(self, keys: Iterable[bytes]) -> set[bytes]:
        """The keys of which there are records, without reading those."""
        wanted = list(dict.fromkeys(keys))
        return self._do(lambda store: self._touch(store, wanted))

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Floats]:
        """The activations that are there; the rest must be made and :meth:`put`."""
        wanted = list(dict.fromkeys(keys))
        return self._do(lambda store: self._read(store, wanted))

    def put(self, activations: Mapping[str, Mapping[bytes, Floats]]) -> None:
        """Keep activations by what made them and by key, all or none, and forget the least recently used beyond the budget."""
        self._do(lambda store: self._write(store, activations))

    def summary(self) -> list[dict[str, int | str]]:
        """``made_by``, ``records`` and ``bytes`` of all that was made the same way, most bytes first."""
        query = (
            "SELECT made_by, COUNT(*), SUM(bytes) FROM records JOIN makers ON makers.id = maker "
            "GROUP BY maker ORDER BY SUM(bytes) DESC, made_by"
        )
        rows = self._do(lambda store: store.execute(query).fetchall())
        return [{"made_by": made_by, "records": count, "bytes": size} for made_by, count, size in rows]

    def describe(self) -> str:
        """What it holds, as a table: one line for each way in which activations were made."""
        rows = self.summary()
        records, size = (sum(int(row[name]) for row in rows) for name in ("records", "bytes"))
        lines = [f"{row['records']:>9,} {_megabytes(int(row['bytes'])):>12}  {row['made_by']}" for row in rows]
        total = f"{records:,} activations, {_megabytes(size)} of {_megabytes(self._budget)}"
        return "\n".join([total, "", f"{'records':>9} {'size':>12}  made by", *lines, ""])

    def _touch(self, store: sqlite3.Connection, keys: list[bytes]) -> set[bytes]:
        """The keys that are there, which now count as used: what this run is about to read must not make room for others."""
        found = list(_select(store, "SELECT id, key FROM records WHERE key", keys))
        now = _last_use(store) + 1
        store.executemany("UPDATE records SET used = ? WHERE id = ?", [(now, number) for number, _ in found])
        return {key for _, key in found}

    def _read(self, store: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, Floats]:
        query = (
            "SELECT records.id, key, used, shape, kind, checksum, content "
            "FROM records LEFT JOIN contents ON contents.id = records.id WHERE key"
        )
        found: dict[bytes, Floats] = {}
        damaged, read = [], []
        now = _last_use(store)
        for number, key, used, shape, kind, checksum, content in _select(store, query, keys):
            if content is None or _checksum(key, shape, kind, content) != checksum:
                damaged.append(number)
                continue
            found[key] = _unpacked(shape, kind, content)
            # Only what is not among the latest yet: reading the same again and again, as epochs do, writes nothing.
            if used < now:
                read.append((now, number))
        if read:
            store.executemany("UPDATE records SET used = ? WHERE id = ?", read)
        if damaged:
            _forget(store, damaged)
            logger.warning("%d damaged records of %s dropped; they are made again", len(damaged), self._path.name)
        return found

    def _write(self, store: sqlite3.Connection, activations: Mapping[str, Mapping[bytes, Floats]]) -> None:
        now = _last_use(store) + 1
        for made_by, records in activations.items():
            store.execute("INSERT OR IGNORE INTO makers (made_by) VALUES (?)", [made_by])
            (maker,) = store.execute("SELECT id FROM makers WHERE made_by = ?", [made_by]).fetchone()
            for key, values in records.items():
                shape, kind, content = _packed(values)
                # What is there stays: an engine may round the same slice differently beside others, and what was read before
                # must be read again.
                made = store.execute(
                    "INSERT INTO records (key, maker, bytes, used) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (key) DO NOTHING RETURNING id",
                    [key, maker, len(content), now],
                ).fetchone()
                if made is not None:
                    row = (made[0], shape, kind, _checksum(key, shape, kind, content), content)
                    store.execute("INSERT INTO contents VALUES (?, ?, ?, ?, ?)", row)
        self._evict(store)

    def _evict(self, store: sqlite3.Connection) -> None:
        (total,) = store.execute("SELECT COALESCE(SUM(bytes), 0) FROM records").fetchone()
        if total <= self._budget:
            return
        gone = []
        for number, size in store.execute("SELECT id, bytes FROM records ORDER BY used, id"):
            if total <= self._budget:
                break
            gone.append(number)
            total -= size
        _forget(store, gone)
        logger.info("%s is full: %d records not used for longest are forgotten", self._path.name, len(gone))

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do ``work`` in one transaction; in a new file where the present one is no database any more."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._attempt(work)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                # SQLite says "malformed" and "not a database" by the first of these classes; what comes of use has other
                # subclasses of it. Tables that contradict each other break a constraint, and Python cannot read words of a
                # damaged schema.
                if type(error) not in (sqlite3.DatabaseError, sqlite3.IntegrityError, UnicodeDecodeError):
                    raise
                self._set_aside(error)
                return self._attempt(work)
        except (OSError, sqlite3.OperationalError) as error:
            advice = "another run is writing to it; wait for that to end" if "locked" in str(error) else "see to it"
            raise StoreError(f"{self._path.name} cannot be used ({error}): {advice}, or name another file") from None

    def _attempt(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        with closing(sqlite3.connect(self._path, timeout=_TIMEOUT)) as store:
            # Text that a flipped bit made undecodable is for the checksum to find: SQLite would refuse the whole query.
            store.text_factory = lambda text: text.decode(errors="replace")
            _prepare(store, self._path)
            with store:
                return work(store)

    def _set_aside(self, error: Exception) -> None:
        # Nothing in it is worth more than the time to make it again, but a file is never deleted for being unreadable.
        aside = self._path.with_suffix(".damaged")
        self._path.replace(aside)
        for suffix in ("-wal", "-shm"):
            # The journal of the damaged file must not be played into the new one.
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        logger.warning("%s is damaged (%s): set aside as %s, a new one is begun", self._path.name, error, aside.name)


def _prepare(store: sqlite3.Connection, path: Path) -> None:
    (version,) = store.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise StoreError(
            f"{path.name} is of version {version}, this library reads {_VERSION}: name another file, or remove it"
        )
    if version < _VERSION:
        # Two records of 512 numbers would just not share a page of 4,096 bytes, the default. The size must be said first.
        store.execute("PRAGMA page_size = 16384")
        # Pages of forgotten records go back to the file system, a few at each commit.
        store.execute("PRAGMA auto_vacuum = FULL")
        store.execute("PRAGMA journal_mode = WAL")
        _create(store, path)
    store.execute("PRAGMA synchronous = NORMAL")


def _create(store: sqlite3.Connection, path: Path) -> None:
    """Make the tables, all or none, once: of two runs that begin together the second finds them made."""
    store.execute("BEGIN IMMEDIATE")
    with store:
        if store.execute("PRAGMA user_version").fetchone() == (_VERSION,):
            return
        names = {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if _FORMER in names:
            store.execute(f"DROP TABLE {_FORMER}")
            logger.info("%s is of an earlier version: its activations are dropped and made again", path.name)
        for statement in _SCHEMA:
            store.execute(statement)
        store.execute(f"PRAGMA user_version = {_VERSION}")


def _select(store: sqlite3.Connection, query: str, keys: list[bytes]) -> Iterator[tuple[Any, ...]]:
    """Rows of a query that ends in ``WHERE key``, for some hundred keys at a time."""
    remaining = iter(keys)
    while some := list(islice(remaining, _AT_ONCE)):
        yield from store.execute(f"{query} IN ({','.join('?' * len(some))})", some).fetchall()


def _forget(store: sqlite3.Connection, numbers: Iterable[int]) -> None:
    rows = [(number,) for number in numbers]
    store.executemany("DELETE FROM contents WHERE id = ?", rows)
    store.executemany("DELETE FROM records WHERE id = ?", rows)


def _last_use(store: sqlite3.Connection) -> int:
    """A counter of writings, not the clock: clocks are set back."""
    (last,) = store.execute("SELECT COALESCE(MAX(used), 0) FROM records").fetchone()
    return int(last)


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _packed(values: Floats) -> tuple[str, str, bytes]:
    """Shape, kind and bytes; numbers that are bfloat16 in truth take two bytes each, without loss."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    shape = "x".join(map(str, values.shape))
    if (bits & 0xFFFF).any():
        return shape, "float32", bits.tobytes()
    return shape, "bfloat16", (bits >> 16).astype("<u2").tobytes()


def _unpacked(shape: str, kind: str, content: bytes) -> Floats:
    sides = [int(side) for side in shape.split("x")]
    if kind == "float32":
        return np.frombuffer(content, "<f4").reshape(sides)
    return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4").reshape(sides)


def _checksum(key: bytes, shape: str, kind: str, content: bytes) -> bytes:
    """Of the key too: a record that comes under another's name is damaged as well."""
    digest = hashlib.blake2b(key + f"|{shape}|{kind}|".encode(), digest_size=_DIGEST)
    digest.update(content)
    return digest.digest()

"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from lung_tumor.errors import StaleError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that takes its place once the block ends without an error.

    A reader, or a run killed half-way, sees the old file or the new one, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name per target: what a killed run left behind is overwritten by the next, not added to.
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        temporary.write_bytes(b"")
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def record_of(path: Path) -> Path:
    """Where the SHA-256 of a recorded file lies: beside it."""
    return path.with_name(f"{path.name}.sha256")


def write_recorded(path: Path, content: bytes) -> None:
    """Write ``content`` and its record, in the form of ``sha256sum``, each whole or not at all.

    The record comes last: until it does, and for good if the run is cut short between them, the new file is none that
    :func:`require_recorded` lets through.
    """
    write_atomically(path, content)
    write_atomically(record_of(path), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())


def require_recorded(path: Path, digest: str) -> None:
    """Refuse another file than the one that was recorded; one without a record is let through.

    Args:
        path: the file.
        digest: SHA-256 of the content that was read from it, hexadecimal.

    Raises:
        StaleError: its record names another digest.
    """
    record = record_of(path)
    if record.is_file() and record.read_text(encoding="utf-8").split()[:1] != [digest]:
        raise StaleError(
            f"{path} is not the file that was saved: {record.name} names another SHA-256 than {digest}; "
            "restore it, or remove both and make a new one with `kedro run`"
        )

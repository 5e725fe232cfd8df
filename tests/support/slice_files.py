"""Folders and archives of made-up files, for tests that care about names and bytes and not about pictures."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

PICTURE = b"\x89PNG\r\n\x1a\n made up"

TWO_CLASSES = {
    "Chest-CT-Scan-data/adenocarcinoma/a 1.png": b"\x89PNG a1",
    "Chest-CT-Scan-data/adenocarcinoma/a (2) - Copy.jpg": b"\xff\xd8\xff a2",
    "Chest-CT-Scan-data/normal/n1.png": b"\x89PNG n1",
    "__MACOSX/Chest-CT-Scan-data/normal/._n1.png": b"fork",
    "Chest-CT-Scan-data/.DS_Store": b"mac",
}
"""The shape of the field's public archive, with what a Mac adds to it."""

LISTED = [
    ("Chest-CT-Scan-data/adenocarcinoma/a (2) - Copy.jpg", "adenocarcinoma"),
    ("Chest-CT-Scan-data/adenocarcinoma/a 1.png", "adenocarcinoma"),
    ("Chest-CT-Scan-data/normal/n1.png", "normal"),
]


def noise(count: int, seed: int = 0) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(count)


def write_folder(root: Path, files: Iterable[str] | Mapping[str, bytes]) -> Path:
    """Write files, each with made-up content unless given."""
    contents = files if isinstance(files, Mapping) else dict.fromkeys(files, PICTURE)
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w:gz", extra: Iterable[tarfile.TarInfo] = ()) -> bytes:
    """A tar archive; ``extra`` members have no content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as packed:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
        for member in extra:
            packed.addfile(member)
    return buffer.getvalue()


def visible(cache: Path) -> list[str]:
    """What of a cache looks like a source: everything that is not hidden."""
    return sorted(path.name for path in cache.iterdir() if not path.name.startswith(".")) if cache.is_dir() else []


def leftovers(cache: Path) -> list[str]:
    """What lies in the hidden working folder, except locks."""
    incoming = cache / ".incoming"
    return sorted(
        path.relative_to(incoming).as_posix()
        for path in incoming.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )

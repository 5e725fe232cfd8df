"""Unpacking an archive nobody vouches for: inside one folder, within bounds, whole or with a clear error.

Zip and tar (plain, gzip, bzip2, xz) are told apart by their content. Names that climb out, links, devices and encrypted
members are refused; sizes are counted as bytes are written, whatever the headers say.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tqdm import tqdm

from lung_tumor.errors import SourceError
from lung_tumor.source_options import SourceOptions, printable

_BLOCK = 2**20
_LARGEST_READ = 16 * 2**20
_PROGRESS_FROM = 32 * 2**20
_LONGEST_NAME = 200

_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_FOREIGN = {
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\x89PNG": "one picture",
    b"\xff\xd8\xff": "one picture",
    b"%PDF": "a PDF document",
}
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError)


class Allowance:
    """Counts what is written for one source and stops it at the bounds of the options.

    Args:
        name: the source, as messages show it.
        options: where ``max_unpacked_bytes`` and ``max_files`` stand.
        show: draw a progress bar where there is a terminal.
    """

    def __init__(self, name: str, options: SourceOptions, *, show: bool = False) -> None:
        self.name = name
        self._options = options
        self._bytes = 0
        self._entries = 0
        self._bar = tqdm(desc=name, unit="B", unit_scale=True, disable=None if show else True)

    def take_entry(self) -> None:
        """Count one more file or folder."""
        self._entries += 1
        if self._entries > self._options.max_files:
            raise SourceError(
                f"{self.name} holds more than {self._options.max_files:,} entries; "
                "if it can be trusted, raise source_options.max_files"
            )

    def take_bytes(self, count: int) -> None:
        """Count ``count`` more bytes."""
        self._bytes += count
        self._bar.update(count)
        if self._bytes > self._options.max_unpacked_bytes:
            raise SourceError(
                f"{self.name} holds more than {self._options.max_unpacked_bytes:,} bytes; "
                "if it can be trusted, raise source_options.max_unpacked_bytes"
            )

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(name: str, actual: str, options: SourceOptions) -> None:
    """Compare an archive's digest with ``options.sha256``.

    Raises:
        SourceError: another digest is expected.
    """
    if options.sha256 not in (None, actual):
        raise SourceError(
            f"{name} is not the archive that was pinned: expected SHA-256 {options.sha256}, received {actual}; "
            "nothing of it is kept. Fetch it again, or correct source_options.sha256 if the archive really changed"
        )


def member_path(name: str, source: str) -> PurePosixPath | None:
    r"""Where a member of an archive or a remote folder may be written, relative to the target.

    Hidden files and ``__MACOSX`` give None. A part longer than file systems take is cut and told apart by its digest.

    Raises:
        SourceError: the name is absolute, climbs out with ``..`` or holds a null byte.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    drive_letter = len(name) > 1 and name[1] == ":" and name[0].isalpha()
    if name.startswith("/") or drive_letter or ".." in parts or "\0" in name:
        raise SourceError(
            f"{source} holds a member that would be written outside its folder: {printable(name)[:120]!r}; "
            "it is not unpacked. Use an archive from a source that you trust"
        )
    if any(is_hidden(part) for part in parts):
        return None
    return PurePosixPath(*map(_shortened, parts)) if parts else None


def is_hidden(name: str) -> bool:
    """Whether a file or folder is an operating system's own: hidden, a thumbnail cache, a Mac's resource fork."""
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini")


def _shortened(part: str) -> str:
    raw = part.encode("utf-8", "surrogatepass")
    if len(raw) <= _LONGEST_NAME:
        return part
    suffix = PurePosixPath(part).suffix
    return f"{part[:40]}~{hashlib.sha256(raw).hexdigest()[:12]}{suffix if len(suffix) <= 16 else ''}"


def unpack(archive: Path, target: Path, name: str, options: SourceOptions) -> None:
    """Unpack ``archive`` into the new folder ``target``; after an error the caller removes ``target``.

    Args:
        archive: zip or tar file, told by its content.
        target: folder to make.
        name: the source, as messages show it.
        options: the bounds.

    Raises:
        SourceError: no archive, a damaged, cut, encrypted, hostile or oversized one, or the disk is full.
    """
    with archive.open("rb") as file:
        head = file.read(1024)
    allowance = Allowance(name, options, show=archive.stat().st_size >= _PROGRESS_FROM)
    with _explained(name), contextlib.closing(allowance):
        target.mkdir(parents=True)
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            _unpack_zip(archive, target, allowance)
            return
        opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
        if opener is None and head[257:262] != b"ustar" and not tarfile.is_tarfile(archive):
            raise SourceError(_not_an_archive(name, head))
        with opener(archive, "rb") if opener else archive.open("rb") as stream:
            _unpack_tar(_BoundedStream(stream, name, options), target, allowance)


def _not_an_archive(name: str, head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        found = "a web page where an archive was expected: the link asks for a login, or leads to a page about the file"
    elif not head:
        found = "an empty file"
    else:
        found = next((kind for magic, kind in _FOREIGN.items() if head.startswith(magic)), "no archive that is known")
    return f"{name} is {found}; give a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz with one folder per class"


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the unpackers raise into one clear :class:`SourceError`."""
    try:
        yield
    except SourceError:
        raise
    except NotImplementedError:  # zipfile lacks the method that an entry is compressed with
        reason = "is compressed in a way that cannot be read; pack it again as a plain zip or tar.gz"
    except RuntimeError:  # zipfile's word for an entry that is encrypted
        reason = "cannot be unpacked without a password; unpack it yourself and give the folder"
    except OSError as error:
        # gzip and bz2 report damage as an OSError without a number; one with a number comes from the disk.
        if error.errno is None:
            reason = f"is damaged or cut short ({type(error).__name__}); fetch or copy it again"
        else:
            reason = f"could not be unpacked: {error.strerror}; free space, or look at the names inside"
    except _DAMAGE as error:
        reason = f"is damaged or cut short ({type(error).__name__}); fetch or copy it again"
    else:
        return
    raise SourceError(f"{name} {reason}") from None


def _write(stream: IO[bytes], path: Path, allowance: Allowance) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        while block := stream.read(_BLOCK):
            allowance.take_bytes(len(block))
            out.write(block)


def _unpack_zip(archive: Path, target: Path, allowance: Allowance) -> None:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            allowance.take_entry()
            # Old Windows tools write backslashes; reading them as separators also bars that way out.
            path = member_path(member.filename.replace("\\", "/"), allowance.name)
            if path is None or member.is_dir():
                continue
            if member.flag_bits & 0x1:
                raise RuntimeError("encrypted")
            kind = member.external_attr >> 28
            if member.create_system == 3 and kind not in (0, 0o10):
                raise SourceError(_refused_kind(allowance.name, member.filename))
            with packed.open(member) as stream:
                _write(stream, target / path, allowance)


def _unpack_tar(stream: _BoundedStream, target: Path, allowance: Allowance) -> None:
    with tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as packed:  # type: ignore[call-overload]
        for member in packed:
            allowance.take_entry()
            path = member_path(member.name, allowance.name)
            if path is None or member.isdir():
                continue
            content = packed.extractfile(member) if member.isreg() else None
            if content is None:
                raise SourceError(_refused_kind(allowance.name, member.name))
            with content:
                _write(content, target / path, allowance)
            packed.members = []  # Kept by tarfile for look-ups by name; a bomb of small members would fill the memory.
        stream.seek(packed.offset)
    # tarfile takes a broken header after the first for the end, in silence.
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError
    # gzip, bzip2 and xz check their sums at the end of the stream, behind the last member.
    while stream.read(_BLOCK):
        pass


def _refused_kind(name: str, member: str) -> str:
    return (
        f"{name} holds a link or device, {printable(member)[:120]!r}, which is not unpacked; "
        "pack it again with links resolved (tar --dereference --hard-dereference)"
    )


class _BoundedStream:
    """A decompressed tar that cannot make its reader hold or skip more than the bounds allow."""

    def __init__(self, stream: Any, name: str, options: SourceOptions) -> None:
        self._stream = stream
        self._name = name
        # Headers and padding come on top of the members' own bytes.
        self._end = options.max_unpacked_bytes + (options.max_files + 64) * 4 * tarfile.BLOCKSIZE

    def _check(self, position: int) -> None:
        if position > self._end:
            raise SourceError(
                f"{self._name} unpacks to more than source_options.max_unpacked_bytes allows; "
                "if it can be trusted, raise that bound"
            )

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes; a single huge read is a header that lies about its length."""
        if not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError("a header asks for too much")
        content: bytes = self._stream.read(size)
        self._check(self._stream.tell())
        return content

    def seek(self, position: int) -> int:
        """Move to an absolute position."""
        self._check(position)
        moved: int = self._stream.seek(position)
        return moved

    def tell(self) -> int:
        """The position in decompressed bytes."""
        position: int = self._stream.tell()
        return position

    def close(self) -> None:
        """Leave the underlying stream to its owner."""


def remove_tree(path: Path) -> None:
    """Remove a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

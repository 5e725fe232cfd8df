"""Reading an upload: in memory, bounded, and never by its name."""

from __future__ import annotations

import io
import time
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flask import current_app, request
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnprocessableEntity,
    UnsupportedMediaType,
)

from app.admission import Room, this_client
from lung_tumor.dicom import is_dicom

FIELD = "file"
"""The form field that carries the slices."""

WRONG_TYPE = "The file is not a PNG, JPEG or DICOM picture. Save the slice as PNG and send that file."

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZIP_DIRECTORY = 2**20
"""Largest table of contents of a zip that is read, in bytes: ten thousand names, parsed in milliseconds."""
_LONGEST_NAME = 255
_NOT_SLICES = ("thumbs.db", "desktop.ini", "dicomdir")


class Upload(NamedTuple):
    """One file to be judged, by itself or out of a zip.

    Attributes:
        name: what the client called it; to be shown to that client and to nobody else.
        file: index of the uploaded file that it is or was in.
        content: its bytes, or why it has none.
        after: files that follow it in the same zip.
    """

    name: str
    file: int
    content: bytes | HTTPException
    after: int = 0


def uploaded(at_most: int | None = None) -> list[tuple[str, bytes]]:
    """Name and content of the files in field ``file`` of this request, in their order; at least one.

    Args:
        at_most: number of files accepted; by default the app's ``MAX_FILES``.

    Raises:
        BadRequest: the field is missing or holds no file.
        RequestEntityTooLarge: more files, or more bytes than ``MAX_CONTENT_LENGTH``.
        UnsupportedMediaType: the body is no form that can hold a file.
    """
    at_most = at_most or int(current_app.config["MAX_FILES"])
    if request.mimetype not in ("", "multipart/form-data"):
        raise UnsupportedMediaType(f"Send multipart/form-data with the slice in the field `{FIELD}`.")
    # A form that was submitted without choosing a file still carries the field, with an empty name and no content.
    files = [file for file in request.files.getlist(FIELD) if file.filename]
    if not files:
        raise BadRequest(f"No file was sent. Send multipart/form-data with the slice in the field `{FIELD}`.")
    if len(files) > at_most:
        raise RequestEntityTooLarge(f"{len(files)} files were sent; send at most {at_most} at a time.")
    return [(str(file.filename), file.read()) for file in files]


def unpacked(
    files: Sequence[tuple[str, bytes]], config: Mapping[str, Any], room: Room, until: float
) -> Iterator[Upload]:
    """The files, and in place of each zip what it holds; one is unpacked at a time, and none to the disk.

    Args:
        files: name and content, as uploaded.
        config: ``MAX_ENTRIES`` of a zip, ``MAX_UNPACKED_BYTES`` of all zips together, ``MAX_CONTENT_LENGTH`` of one file.
        room: for what all requests hold unpacked; a file that finds none is to be sent again.
        until: when the request's time is up, by the monotonic clock; from then on no file has content, and no zip is opened.
    """
    left = [int(config["MAX_UNPACKED_BYTES"])]
    for index, (name, content) in enumerate(files):
        if time.monotonic() > until:
            yield Upload(shown_name(name), index, too_slow())
        # A zip may hide in the 128 bytes before a DICOM file's prefix; it is read as what it says it is for us.
        elif content.startswith(_ZIP) and not is_dicom(content):
            yield from _entries(shown_name(name), index, content, config, left, room, until)
        else:
            yield Upload(shown_name(name), index, content)


def too_slow() -> ServiceUnavailable:
    """What a slice is answered with that is not judged before the request's time is up."""
    words = "There is more to do than fits into one request now. Send fewer slices at a time, or try again later."
    return ServiceUnavailable(words, retry_after=5)


def _entries(
    name: str, index: int, content: bytes, config: Mapping[str, Any], left: list[int], room: Room, until: float
) -> Iterator[Upload]:
    at_most = int(config["MAX_ENTRIES"])
    try:
        archive = zipfile.ZipFile(_ShortReads(content))
        members = [member for member in archive.infolist() if _is_wanted(member)]
    except Exception:  # noqa: BLE001 - zipfile raises nearly anything on hostile bytes.
        yield Upload(name, index, UnprocessableEntity("The zip is damaged or holds too long a list. Pack it again."))
        return
    if len(members) > at_most:
        words = f"The zip holds {len(members):,} files; at most {at_most} are read. Send the slices in several zips."
        yield Upload(name, index, RequestEntityTooLarge(words))
    elif not members:
        yield Upload(name, index, UnprocessableEntity("The zip holds no file. Pack the slices again."))
    client = this_client()
    for after, member in zip(range(len(members))[::-1], members, strict=True) if len(members) <= at_most else ():
        largest = int(config["MAX_CONTENT_LENGTH"])
        # What it says of itself is the most that zipfile gives.
        size = min(member.file_size, largest + 1)
        if time.monotonic() > until or not room.enter(client, size):
            yield Upload(shown_name(member.filename), index, too_slow(), after)
            continue
        # Held as long as the file is: until its last frame was judged.
        try:
            yield Upload(shown_name(member.filename), index, _content(archive, member, largest, left), after)
        finally:
            room.leave(client, size)


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    """Whether an entry is neither a folder nor an operating system's own file."""
    parts = member.filename.replace("\\", "/").split("/")
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not member.is_dir() and not hidden and parts[-1].lower() not in _NOT_SLICES


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, largest: int, left: list[int]) -> bytes | HTTPException:
    if member.flag_bits & 0x1:
        return UnprocessableEntity("This file of the zip needs a password. Pack it again without one.")
    # Of the other ways, zipfile inflates four thousand bytes at once to whatever they claim.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return UnprocessableEntity("This file of the zip is compressed in a way that is not read. Pack it again.")
    try:
        with archive.open(member) as stream:
            content = stream.read(min(left[0], largest) + 1)
    except Exception:  # noqa: BLE001 - zipfile raises nearly anything on hostile bytes.
        return UnprocessableEntity("This file of the zip is damaged. Pack it again.")
    left[0] = max(0, left[0] - len(content))
    if left[0] == 0 or len(content) > largest:
        return RequestEntityTooLarge("The zip unpacks to more than is read at a time. Send fewer slices.")
    if content.startswith(_ZIP) and not is_dicom(content):
        return UnsupportedMediaType("A zip within a zip is not read. Send the inner one.")
    return content


class _ShortReads(io.BytesIO):
    """A zip whose table of contents is not read beyond a bound: its length is the file's own claim."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = len(self.getbuffer()) - self.tell()
        if left > _ZIP_DIRECTORY and not 0 <= (-1 if size is None else size) <= _ZIP_DIRECTORY:
            raise zipfile.BadZipFile("the table of contents is too long")
        return super().read(size)


def shown_name(name: str) -> str:
    """A name that can be written anywhere: no lone surrogates or control characters, and not endless."""
    # Python calls no space printable but the common one.
    spaced = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in name[:_LONGEST_NAME])
    clean = "".join(letter if letter.isprintable() else "�" for letter in spaced)
    return clean.encode("utf-8", "replace").decode()

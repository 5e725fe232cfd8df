"""The single slices that uploads hold, each opened only when it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnprocessableEntity

from app.admission import Room, this_client
from app.model import Resources
from app.problems import sentence
from app.uploads import Upload, too_slow, unpacked
from lung_tumor.dicom_frames import split_frames
from lung_tumor.errors import SliceError


class Slice(NamedTuple):
    """One slice to be judged.

    Attributes:
        name: what the client called its file, with the number of the frame where that holds several.
        file: index of the uploaded file that it is or was in.
        content: makes the bytes of a file that holds this slice alone, or why there are none.
    """

    name: str
    file: int
    content: Callable[[], bytes] | HTTPException


def slices_of(files: Sequence[tuple[str, bytes]], resources: Resources, until: float) -> Iterator[Slice]:
    """The slices of uploads: files, files of zips, and frames of multi-frame DICOM files, up to ``MAX_SLICES`` in all.

    Args:
        files: name and content, as uploaded.
        resources: limits, and room for what is held unpacked; it is given back when the next slice is asked for, or the
            iterator closed.
        until: when the request's time is up, by the monotonic clock; nothing is unpacked from then on.
    """
    left = most = int(resources.config["MAX_SLICES"])
    for upload in unpacked(files, resources.config, resources.unpacked, until):
        for part in _frames(upload, most, resources.unpacked):
            left -= 1
            if left < 0:
                words = f"More than {most} slices were sent. Send the rest separately."
                yield Slice(upload.name, upload.file, RequestEntityTooLarge(words))
                return
            yield part


def _frames(upload: Upload, most: int, room: Room) -> Iterator[Slice]:
    if not isinstance(upload.content, bytes):
        yield Slice(upload.name, upload.file, upload.content)
        return
    try:
        frames = split_frames(upload.content, most)
    except SliceError as error:
        yield Slice(upload.name, upload.file, UnprocessableEntity(sentence(str(error))))
        return
    # A deflated file of several frames stays inflated until its last one was judged.
    client, held = this_client(), frames.inflated
    if held and not room.enter(client, held):
        del frames
        yield Slice(upload.name, upload.file, too_slow())
        return
    try:
        for number, opened in enumerate(frames.files, start=1):
            name = upload.name if len(frames.files) == 1 else f"{upload.name} (frame {number})"
            yield Slice(name, upload.file, opened)
    finally:
        if held:
            room.leave(client, held)

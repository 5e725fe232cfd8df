"""The single slices that uploads hold, each opened only when it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, ServiceUnavailable, UnprocessableEntity

from app.admission import Room, this_client
from app.model import Resources
from app.problems import sentence
from app.uploads import Upload, shown_name, too_slow, unpacked
from lung_tumor.dicom_frames import split_frames
from lung_tumor.errors import SliceError


class Slice(NamedTuple):
    """One slice to be judged.

    Attributes:
        name: what the client called its file, with the number of the frame where that holds several.
        file: index of the uploaded file that it is or was in.
        number: of the slice in that file, from 0.
        content: makes the bytes of a file that holds this slice alone, or why there are none.
        after: slices that follow it in the uploaded file, as far as can be told unopened: a file of a zip counts as one.
    """

    name: str
    file: int
    number: int
    content: Callable[[], bytes] | HTTPException
    after: int = 0


def slices_of(files: Sequence[tuple[str, bytes]], resources: Resources, until: float, skip: int = 0) -> Iterator[Slice]:
    """The slices of uploads: files, files of zips, and frames of multi-frame DICOM files, up to ``MAX_SLICES`` to be judged.

    Beyond these, each uploaded file that is not judged, or not to its end, has one more, which says so.

    Args:
        files: name and content, as uploaded.
        resources: limits, and room for what is held unpacked; it is given back when the next slice is asked for, or the
            iterator closed.
        until: when the request's time is up, by the monotonic clock; nothing is unpacked from then on.
        skip: slices at the beginning that are not to be judged. They come all the same: only so is known how many there are.
    """
    most, file = int(resources.config["MAX_SLICES"]), -1
    room = resources.unpacked
    parts = _numbered(
        part for upload in unpacked(files, resources.config, room, until) for part in _frames(upload, most, room)
    )
    for part in islice(parts, skip + most):
        file = part.file
        yield part
    beyond = next(parts, None)
    # What it holds unpacked is let go before anything is said of it.
    parts.close()
    if beyond is not None:
        yield from _beyond(files, beyond, file, most)


def _numbered(parts: Iterator[Slice]) -> Generator[Slice]:
    """The same with their numbers; of a file, none is to be judged behind one that there was no time or room to look into.

    Nobody knows how many slices that one holds, and so which numbers the others have.
    """
    file, number, unknown = -1, 0, False
    for part in parts:
        file, number, unknown = (file, number + 1, unknown) if part.file == file else (part.file, 0, False)
        unknown = unknown or isinstance(part.content, ServiceUnavailable)
        yield part._replace(number=number, content=too_slow() if unknown else part.content)


def _beyond(files: Sequence[tuple[str, bytes]], first: Slice, judged: int, most: int) -> Iterator[Slice]:
    """What is said of the ``first`` slice beyond the limit and of all files after it; ``judged`` is the last file before."""
    limit, unopened = f"At most {most} slices are judged at a time", first.file
    if first.file == judged:
        unopened += 1
        number = 1 + first.after
        one = "this one, the last of its file, was not. Send it by itself."
        more = f"the last {number} of this file, from this one on, were not. Send them in a file of their own."
        words = f"{limit}: {one if number == 1 else more}"
        yield Slice(first.name, first.file, first.number, RequestEntityTooLarge(words))
    words = f"{limit}, and the files before this one hold as many. Send it again by itself."
    for index in range(unopened, len(files)):
        yield Slice(shown_name(files[index][0]), index, 0, RequestEntityTooLarge(words))


def _frames(upload: Upload, most: int, room: Room) -> Iterator[Slice]:
    if not isinstance(upload.content, bytes):
        yield Slice(upload.name, upload.file, 0, upload.content, upload.after)
        return
    try:
        frames = split_frames(upload.content, most)
    except SliceError as error:
        yield Slice(upload.name, upload.file, 0, UnprocessableEntity(sentence(str(error))), upload.after)
        return
    # A deflated file of several frames stays inflated until its last one was judged.
    client, held = this_client(), frames.inflated
    if held and not room.enter(client, held):
        del frames
        yield Slice(upload.name, upload.file, 0, too_slow(), upload.after)
        return
    try:
        for number, opened in enumerate(frames.files, start=1):
            name = upload.name if len(frames.files) == 1 else f"{upload.name} (frame {number})"
            yield Slice(name, upload.file, 0, opened, len(frames.files) - number + upload.after)
    finally:
        if held:
            room.leave(client, held)

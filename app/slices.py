"""The single slices that uploads hold, each opened only when it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnprocessableEntity

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
        content: makes the bytes of a file that holds this slice alone, or why there are none.
        after: slices that follow it in the uploaded file, as far as can be told unopened: a file of a zip counts as one.
    """

    name: str
    file: int
    content: Callable[[], bytes] | HTTPException
    after: int = 0


def slices_of(files: Sequence[tuple[str, bytes]], resources: Resources, until: float) -> Iterator[Slice]:
    """The slices of uploads: files, files of zips, and frames of multi-frame DICOM files, up to ``MAX_SLICES`` in all.

    Beyond these, each uploaded file that is not judged, or not to its end, has one more, which says so.

    Args:
        files: name and content, as uploaded.
        resources: limits, and room for what is held unpacked; it is given back when the next slice is asked for, or the
            iterator closed.
        until: when the request's time is up, by the monotonic clock; nothing is unpacked from then on.
    """
    most, file = int(resources.config["MAX_SLICES"]), -1
    room = resources.unpacked
    parts = (part for upload in unpacked(files, resources.config, room, until) for part in _frames(upload, most, room))
    for part in islice(parts, most):
        file = part.file
        yield part
    beyond = next(parts, None)
    # What it holds unpacked is let go before anything is said of it.
    parts.close()
    if beyond is not None:
        yield from _beyond(files, beyond, file, most)


def _beyond(files: Sequence[tuple[str, bytes]], first: Slice, judged: int, most: int) -> Iterator[Slice]:
    """What is said of the ``first`` slice beyond the limit and of all files after it; ``judged`` is the last file before."""
    limit, unopened = f"At most {most} slices are judged at a time", first.file
    if first.file == judged:
        unopened += 1
        number = 1 + first.after
        one = "this one, the last of its file, was not. Send it by itself."
        more = f"the last {number} of this file, from this one on, were not. Send them in a file of their own."
        yield Slice(first.name, first.file, RequestEntityTooLarge(f"{limit}: {one if number == 1 else more}"))
    words = f"{limit}, and the files before this one hold as many. Send it again by itself."
    for index in range(unopened, len(files)):
        yield Slice(shown_name(files[index][0]), index, RequestEntityTooLarge(words))


def _frames(upload: Upload, most: int, room: Room) -> Iterator[Slice]:
    if not isinstance(upload.content, bytes):
        yield Slice(upload.name, upload.file, upload.content, upload.after)
        return
    try:
        frames = split_frames(upload.content, most)
    except SliceError as error:
        yield Slice(upload.name, upload.file, UnprocessableEntity(sentence(str(error))), upload.after)
        return
    # A deflated file of several frames stays inflated until its last one was judged.
    client, held = this_client(), frames.inflated
    if held and not room.enter(client, held):
        del frames
        yield Slice(upload.name, upload.file, too_slow(), upload.after)
        return
    try:
        for number, opened in enumerate(frames.files, start=1):
            name = upload.name if len(frames.files) == 1 else f"{upload.name} (frame {number})"
            yield Slice(name, upload.file, opened, len(frames.files) - number + upload.after)
    finally:
        if held:
            room.leave(client, held)

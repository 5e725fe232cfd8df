"""Reading an upload: in memory, bounded, and never by its name."""

from __future__ import annotations

import contextlib
import io
from typing import IO

from flask import Request, current_app, request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

FIELD = "file"
"""The form field that carries the slice."""


class InMemoryRequest(Request):
    """A request whose uploads stay in memory; Werkzeug would write those above 500 kB to a temporary file."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        return io.BytesIO()


def uploaded(at_most: int | None = None) -> list[bytes]:
    """Contents of the files in field ``file`` of this request, in their order; at least one.

    Args:
        at_most: number of files accepted; by default the app's ``MAX_FILES``.

    Raises:
        BadRequest: the field is missing or holds no file.
        RequestEntityTooLarge: more files, or more bytes than ``MAX_CONTENT_LENGTH``.
        UnsupportedMediaType: the body is no form.
    """
    at_most = at_most or int(current_app.config["MAX_FILES"])
    if request.mimetype not in ("", "multipart/form-data", "application/x-www-form-urlencoded"):
        raise UnsupportedMediaType(f"Send multipart/form-data with the slice in the field `{FIELD}`.")
    # A form that was submitted without choosing a file still carries the field, with an empty name and no content.
    files = [file for file in request.files.getlist(FIELD) if file.filename]
    if not files:
        raise BadRequest(f"No file was sent. Send multipart/form-data with the slice in the field `{FIELD}`.")
    if len(files) > at_most:
        raise RequestEntityTooLarge(f"{len(files)} files were sent; send at most {at_most} at a time.")
    return [file.read() for file in files]


def read_on() -> None:
    """Read and forget what the client is still sending, up to four times the limit.

    A client whose upload is cut off sees a broken connection in place of the answer that tells it why.
    """
    if "wsgi.input_terminated" not in request.environ:
        return
    stream, left = request.environ["wsgi.input"], 4 * int(current_app.config["MAX_CONTENT_LENGTH"])
    with contextlib.suppress(OSError):
        while left > 0 and (chunk := stream.read(min(left, 2**16))):
            left -= len(chunk)


def route_for_the_log() -> None:
    """Give the access log the route's name: a path or a query may hold a patient's name, a route cannot."""
    request.environ["lung_tumor.route"] = request.endpoint or "-"

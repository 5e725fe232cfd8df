"""Reading the form of a request: in memory, and bounded in all that a client may make long.

Werkzeug bounds the bytes of a body. A few megabytes of fields, or of lines in the heads of its parts, become as many gigabytes
of small objects and half a minute of work.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import IO

from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.sansio.multipart import (
    BLANK_LINE_RE,
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
    NeedData,
    State,
)

LONGEST_HEAD = 4096
"""Bytes of the head of one part: its name, the file's name and its type."""

LONGEST_FIELDS = 16_384
"""Bytes of a body that holds fields and no file, as the page's samples send it."""

_BLOCK = 65_536

Parsed = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]
"""What is left of the body, its fields and its files."""


class _Decoder(MultipartDecoder):
    """Refuses a part whose head is longer than any client writes, before it is taken apart."""

    def next_event(self) -> Event:
        """What comes next of what was received."""
        is_long = self.state is State.PART and len(self.buffer) > LONGEST_HEAD
        if is_long and not BLANK_LINE_RE.search(self.buffer, 0, LONGEST_HEAD):
            raise RequestEntityTooLarge("The head of a part of the form is too long. Give the file a shorter name.")
        return super().next_event()


class _Parser(FormDataParser):
    """Werkzeug's, with files in memory, where it would write those above 500 kB to a temporary one, and with more bounds."""

    def _parse_multipart(
        self,
        stream: IO[bytes],
        mimetype: str,  # noqa: ARG002
        content_length: int | None,  # noqa: ARG002
        options: Mapping[str, str],
    ) -> Parsed:
        boundary = options.get("boundary", "").encode("ascii")
        if not boundary:
            raise ValueError("no boundary")
        decoder = _Decoder(boundary, self.max_form_memory_size, max_parts=self.max_form_parts)
        fields: list[tuple[str, str]] = []
        files: list[tuple[str, FileStorage]] = []
        content, filename, name = io.BytesIO(), None, ""
        for block in chain(iter(partial(stream.read, _BLOCK), b""), (None,)):
            decoder.receive_data(block)
            while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
                if isinstance(event, Field | File):
                    content, name = io.BytesIO(), event.name
                    filename = event.filename if isinstance(event, File) else None
                elif isinstance(event, Data):
                    content.write(event.data)
                    if filename is None and content.tell() > LONGEST_FIELDS:
                        raise RequestEntityTooLarge("A field of the form is too long. Send a slice as a file.")
                    if not event.more_data and filename is None:
                        fields.append((name, content.getvalue().decode("utf-8", "replace")))
                    elif not event.more_data:
                        # Made of bytes and not written to, it hands out those very bytes when it is read, and no copy.
                        files.append((name, FileStorage(io.BytesIO(content.getvalue()), filename, name)))
        return stream, self.cls(fields), self.cls(files)

    def _parse_urlencoded(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Mapping[str, str]
    ) -> Parsed:
        content = stream.read(LONGEST_FIELDS + 1)
        if len(content) > LONGEST_FIELDS:
            raise RequestEntityTooLarge("The form is too long. Send a slice as a file, with multipart/form-data.")
        return super()._parse_urlencoded(io.BytesIO(content), mimetype, content_length, dict(options))


class InMemoryRequest(Request):
    """A request whose form is read by the bounded parser."""

    form_data_parser_class = _Parser

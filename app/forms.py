"""Reading the form of a request: in memory, and bounded in all that a client may make long.

Werkzeug bounds the bytes of a body. A few megabytes of fields, or of lines in the heads of its parts, become as many gigabytes
of small objects and half a minute of work. Its search for the end of a part goes byte by byte, too; multipart's does not.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO

from flask import Request
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from app.uploads import FIELD

LONGEST_HEAD = 4096
"""Bytes of a line in the head of one part: its name, the file's name and its type."""

LONGEST_HEADS = 262_144
"""Bytes of the heads of all parts: three hundred names as long as any system allows. Lines of a head that are folded cost the
square of their length."""

LONGEST_FIELDS = 16_384
"""Bytes of a body that holds fields and no file, as the page's samples send it."""

_BLOCK = 65_536

Parsed = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]
"""What is left of the body, its fields and its files."""


class _Parser(FormDataParser):
    """Werkzeug's with another decoder, and with files in memory, where it would write those above 500 kB to the disk."""

    def _parse_multipart(
        self,
        stream: IO[bytes],
        mimetype: str,  # noqa: ARG002
        content_length: int | None,  # noqa: ARG002
        options: Mapping[str, str],
    ) -> Parsed:
        fields: list[tuple[str, str]] = []
        files: list[tuple[str, FileStorage]] = []
        content, filename, name, heads = io.BytesIO(), None, "", 0
        try:
            decoder = PushMultipartParser(options.get("boundary", ""), max_header_size=LONGEST_HEAD)
            for event in decoder.parse_blocking(stream.read, _BLOCK):
                if isinstance(event, MultipartSegment):
                    if len(fields) + len(files) == self.max_form_parts:
                        raise RequestEntityTooLarge
                    heads += sum(len(line) for header in event.headerlist for line in header)
                    if heads > LONGEST_HEADS:
                        raise RequestEntityTooLarge("The names of the files are too long. Send fewer files at a time.")
                    # Werkzeug's reading of it knows `filename*`, as old clients write a name that is not ASCII.
                    described = parse_options_header(event["Content-Disposition"])[1]
                    content, name, filename = io.BytesIO(), described.get("name", ""), described.get("filename")
                elif event is not None:
                    content.write(event)
                    if filename is None and content.tell() > LONGEST_FIELDS:
                        raise RequestEntityTooLarge("A field of the form is too long. Send a slice as a file.")
                elif filename is None:
                    fields.append((name, content.getvalue().decode("utf-8", "replace")))
                else:
                    # Made of bytes and not written to, it hands out those very bytes when it is read, and no copy.
                    files.append((name, FileStorage(io.BytesIO(content.getvalue()), filename, name)))
        except ParserLimitReached:
            message = "The head of a part of the form is too long. Give the file a shorter name."
            raise RequestEntityTooLarge(message) from None
        except MultipartError:
            message = "The form cannot be read: it was cut short, or is not as RFC 7578 says."
            raise BadRequest(f"{message} Send multipart/form-data with the slice in the field `{FIELD}`.") from None
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

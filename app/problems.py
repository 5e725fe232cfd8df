"""Errors in words: problem+json (RFC 9457) for a program, a page for a person."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, request
from flask.globals import request_ctx
from werkzeug.exceptions import BadHost, ClientDisconnected, HTTPException

CONTENT_TYPE = "application/problem+json"

_FOR_PROGRAMS = ("/api/", "/healthz", "/readyz", "/metrics")
_OWN_WORDS = {
    404: "There is nothing at this address. The page is at `/`, the API at `/api/v1/predictions`.",
    405: "This address does not take that method. The header `Allow` names those that it takes.",
    500: "The server failed; its log says why. Send the slice again, and tell the operator if that does not help.",
}

_FIX = re.compile(r"; (export|give) ")
"""How the library's reasons name what to do."""

_NOT_SAID = re.compile(r" \(|; use ")
"""Where they go on with the decoder's own words, or with formats that the library reads and the app does not."""


def register(app: Flask, render_page: Callable[[int, str], str]) -> None:
    """Answer every HTTP error, and every exception that nothing else caught, in words.

    Args:
        app: the app.
        render_page: makes a page of a status and a sentence, for whoever asked for a page.
    """

    def answer(error: HTTPException) -> Response:
        # A page has links, and none can be made for a host of no valid name.
        if request.path.startswith(_FOR_PROGRAMS) or not request_ctx.url_adapter:
            return problem_response(error)
        return _response(error, render_page(error.code or 500, _detail(error)), "text/html; charset=utf-8")

    app.register_error_handler(HTTPException, answer)


def problem(error: HTTPException) -> dict[str, Any]:
    """The members of an RFC 9457 problem; its type is ``about:blank``, so that the status says what kind it is."""
    status = HTTPStatus(error.code or 500)
    return {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": _detail(error)}


def sentence(reason: str) -> str:
    """The library's reason of why a slice cannot be judged, as a sentence with a fix."""
    reason = _NOT_SAID.split(reason)[0]
    fix = "" if _FIX.search(reason) else " Export the whole slice again, as PNG, JPEG or DICOM, and send the new file."
    return f"{reason[0].upper()}{reason[1:]}.{fix}"


def problem_response(error: HTTPException, **members: Any) -> Response:
    """``error`` as problem+json, with further members."""
    return _response(error, json.dumps({**problem(error), **members}), CONTENT_TYPE)


def _response(error: HTTPException, body: str, content_type: str) -> Response:
    # Keeps the headers that belong to the status, such as Allow of a 405.
    headers = [(name, value) for name, value in error.get_headers() if name.lower() != "content-type"]
    return Response(body, error.code, headers, content_type=content_type)


def _detail(error: HTTPException) -> str:
    if error.code in _OWN_WORDS:
        return _OWN_WORDS[error.code]
    if isinstance(error, BadHost):
        return "The header `Host` holds no name that a host can have. Ask by the server's name or address."
    if isinstance(error, ClientDisconnected):
        return "The upload broke off or came too slowly. Send it again, fewer files at a time."
    if error.code == 413 and error.description == type(error).description:
        mebibytes = current_app.config["MAX_CONTENT_LENGTH"] / 2**20
        files = current_app.config["MAX_FILES"]
        return f"One upload may hold {mebibytes:g} MiB and {files} files. Send a smaller picture, or fewer at a time."
    return error.description or HTTPStatus(error.code or 500).phrase

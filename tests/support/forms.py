"""Forms as browsers and programs write them."""

from __future__ import annotations

from typing import Any

from urllib3 import encode_multipart_formdata


def sent(*files: bytes, name: str = "slice.png", **fields: str) -> dict[str, Any]:
    """What Werkzeug's test client is to send: a form of fields, and of files in the field ``file``.

    It would itself leave out the line break after a part that is empty.
    """
    parts = [("file", (name, content, "image/png")) for content in files]
    body, content_type = encode_multipart_formdata([*fields.items(), *parts])
    return {"data": body, "content_type": content_type}

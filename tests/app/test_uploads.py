"""Uploads stay in memory, bounded, and leave no name behind; hostile ones are told so."""

from __future__ import annotations

import io
import logging
import struct
import tempfile
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from app import create_app

URL = "/api/v1/predictions"


def send(client, content: bytes, name: str = "slice.png"):
    return client.post(URL, data={"file": (io.BytesIO(content), name)})


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, rows: bytes = b"", depth: int = 8, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def animation() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("L", (64, 64), grey) for grey in (0, 90, 200)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def jpeg_that_claims(width: int, height: int) -> bytes:
    """A whole little JPEG whose header claims another size; the decoder fills in what is missing."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64 * 64).reshape(64, 64).astype(np.uint8)).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


HOSTILE = {
    "empty": (b"", 422),
    "text": (b"hello", 415),
    "signature alone": (b"\x89PNG\r\n\x1a\n", 422),
    "jpeg marker alone": (b"\xff\xd8\xff", 422),
    "bomb of 20000 x 20000": (png(20_000, 20_000, bytes(20_001) * 500), 422),
    "size beyond integers": (png(2**31 - 1, 2**31 - 1), 422),
    "zero size": (png(0, 0), 422),
    "one pixel": (png(1, 1, b"\x00\x00"), 422),
    "long and thin": (png(60_000, 33, b"\x00" + bytes(60_000)), 422),
    "no rows": (png(64, 64), 422),
    "bad colour type": (png(64, 64, colour=9), 422),
    "text chunk bomb": (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0))
        + chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(100_000_000), 9))
        + chunk(b"IEND", b""),
        422,
    ),
    "jpeg of 65000 x 900": (jpeg_that_claims(65_000, 900), 422),
    "jpeg of 7000 x 7000": (jpeg_that_claims(7_000, 7_000), 422),
    "animation": (animation(), 415),
    "zip": (b"PK\x03\x04" + bytes(64), 415),
    "html": (b"<script>alert(1)</script>", 415),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_told_what_is_wrong_with_it(client, case):
    content, status = HOSTILE[case]
    for response in (send(client, content), client.post("/", data={"file": (io.BytesIO(content), "slice.png")})):
        assert response.status_code == status


def test_every_truncation_of_a_slice_is_refused(client, bright):
    for share in np.linspace(0.01, 0.95, 30):
        assert send(client, bright[: int(share * len(bright))]).status_code in (415, 422)


def test_no_damaged_byte_is_worse_than_a_wrong_picture(client, bright, make_slice):
    random = np.random.default_rng(5)
    for content in (bright, make_slice(kind="JPEG")):
        for _ in range(100):
            damaged = bytearray(content)
            for place in random.integers(0, len(content), 4):
                damaged[place] = int(random.integers(256))
            assert send(client, bytes(damaged)).status_code in (200, 415, 422)


def test_a_large_upload_never_touches_the_disk(client, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was opened")

    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    # Written by hand, since Werkzeug's test client spools a large form to disk itself.
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = head + buffer.getvalue() + b"\r\n--x--\r\n"
    assert len(body) > 2_000_000
    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
        monkeypatch.setattr(f"werkzeug.formparser.{name}", refuse, raising=False)
    assert client.post(URL, data=body, content_type="multipart/form-data; boundary=x").status_code == 200


def test_no_file_name_is_logged_or_answered(client, bright, caplog):
    caplog.set_level(logging.DEBUG)
    for content in (bright, bright[:400], b"text"):
        response = send(client, content, name="DOE^JANE 1950.png")
        page = client.post("/", data={"file": (io.BytesIO(content), "DOE^JANE 1950.png")})
        assert "JANE" not in response.text + page.text
    assert "JANE" not in caplog.text


def test_no_more_pictures_are_decoded_at_a_time_than_allowed(predictor, bright, monkeypatch):
    from app import prediction

    inside, most, lock = 0, 0, threading.Lock()
    barrier = threading.Event()
    original = prediction.decode

    def counting(content: bytes, window: str = "lung"):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        barrier.wait(0.05)
        try:
            return original(content, window)
        finally:
            with lock:
                inside -= 1

    monkeypatch.setattr(prediction, "decode", counting)
    app = create_app(predictor, {"JUDGED_AT_ONCE": 2})
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: send(app.test_client(), bright).json["predictions"][0], range(12)))
    assert most == 2
    assert all(answer == answers[0] for answer in answers)

"""Uploads stay in memory, bounded, and leave no name behind; hostile ones are told so."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import struct
import tempfile
import threading
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from app import create_app
from lung_tumor.answers import decide
from lung_tumor.imaging import decode, prepare
from tests.support.dicom_files import ct_file, dataset_of, phantom_hounsfield, written
from tests.support.slice_files import zipped

URL = "/api/v1/predictions"


def send(client, content: bytes, name: str = "slice.png", url: str = URL):
    """The body is written by hand: Werkzeug's test client spools a large form to disk, and leaves it open."""
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    body = head + content + b"\r\n--x--\r\n"
    return client.post(url, data=body, content_type="multipart/form-data; boundary=x")


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
    "broken zip": (b"PK\x03\x04" + bytes(64), 422),
    "empty zip": (zipped({}), 422),
    "zip of zips": (zipped({"a.zip": zipped({"a.png": b"x"})}), 415),
    "zip of ten thousand": (zipped({str(number): b"" for number in range(10_000)}), 413),
    "zip whose list is megabytes": (zipped({f"{number:0>500}": b"" for number in range(3000)}), 422),
    "zip of a bomb": (zipped({"a.png": bytes(70 * 2**20)}), 413),
    "html": (b"<script>alert(1)</script>", 415),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_told_what_is_wrong_with_it(client, case):
    content, status = HOSTILE[case]
    for response in (send(client, content), send(client, content, url="/")):
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
    assert len(buffer.getvalue()) > 2_000_000
    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
        monkeypatch.setattr(f"werkzeug.formparser.{name}", refuse, raising=False)
    assert send(client, buffer.getvalue()).status_code == 200


def test_no_file_name_is_logged(client, bright, caplog):
    caplog.set_level(logging.DEBUG)
    for content in (bright, bright[:400], b"text", zipped({"DOE^JANE/1.png": bright})):
        send(client, content, name="DOE^JANE 1950.png")
        send(client, content, name="DOE^JANE 1950.png", url="/")
    assert "JANE" not in caplog.text


# --- Zips -------------------------------------------------------------------------------------------------------------


def test_a_zip_is_judged_file_by_file(client, bright, dark):
    content = zipped({"series/1.png": bright, "series/2.txt": b"notes", "series/3.png": dark, "4.png": bright[:200]})
    items = send(client, content).json["predictions"]
    assert [(item["name"], item["file"]) for item in items] == [
        ("series/1.png", 0),
        ("series/2.txt", 0),
        ("series/3.png", 0),
        ("4.png", 0),
    ]
    assert [item.get("answer") for item in items] == ["suspected", None, "clear", None]
    assert [item["error"]["status"] for item in items if "error" in item] == [415, 422]


def test_zips_and_files_may_be_mixed(client, bright, dark):
    contents = (bright, zipped({"a.png": dark, "b.png": bright}), dark)
    data = {"file": [(io.BytesIO(content), "x") for content in contents]}
    items = client.post(URL, data=data).json["predictions"]
    assert [(item["file"], item["answer"]) for item in items] == [
        (0, "suspected"),
        (1, "clear"),
        (1, "suspected"),
        (2, "clear"),
    ]


def test_what_an_operating_system_adds_to_a_zip_is_not_judged(client, bright):
    files = {"__MACOSX/._a.png": b"fork", ".DS_Store": b"mac", "a.png": bright, "Thumbs.db": b"x", "DICOMDIR": b"x"}
    items = send(client, zipped({**files, "folder/": b""})).json["predictions"]
    assert [item["name"] for item in items] == ["a.png"]


def test_a_zip_with_a_comment_is_read(client, bright):
    buffer = io.BytesIO(zipped({"a.png": bright}))
    with zipfile.ZipFile(buffer, "a") as packed:
        packed.comment = b"c" * 5000
    assert send(client, buffer.getvalue()).status_code == 200


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_in_a_rare_way_is_422(client, bright, method):
    response = send(client, zipped({"a.png": bright}, method))
    assert response.status_code == 422
    assert "compressed in a way" in response.get_json(force=True)["detail"]


def test_an_encrypted_zip_is_422(client, bright):
    content = bytearray(zipped({"a.png": bright}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    response = send(client, bytes(content))
    assert response.status_code == 422
    assert "password" in response.get_json(force=True)["detail"]


def test_what_zips_unpack_to_is_bounded_over_all_of_them(predictor, bright):
    size = len(bright)
    client = create_app(predictor, {"MAX_UNPACKED_BYTES": 3 * size}).test_client()
    contents = [zipped({"a.png": bright, "b.png": bright}), zipped({"c.png": bright, "d.png": bright})]
    items = client.post(URL, data={"file": [(io.BytesIO(content), "z") for content in contents]}).json["predictions"]
    assert [item.get("error", {}).get("status") for item in items] == [None, None, 413, 413]


def test_a_name_that_is_no_text_does_not_break_the_answer(client, bright):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("xxxx.png", bright)
    content = buffer.getvalue().replace(b"xxxx.png", b"\xff\xd8\n\x00.png")
    assert send(client, content).status_code == 200
    assert client.post("/", data={"file": (io.BytesIO(content), "a.zip")}).status_code == 200


def test_every_kind_of_space_in_a_name_is_told_as_a_space(client, bright):
    form = {"file": (io.BytesIO(bright), "Series\u00a01\u202f2.png")}
    assert b"Series 1 2.png" in client.post("/", data=form).data


# --- DICOM series -----------------------------------------------------------------------------------------------------


def dicom_slice(z: float | None, series: str | None = "1.2.3", **elements: object) -> bytes:
    position = {} if z is None else {"ImagePositionPatient": [-180.0, -170.0, z]}
    named = {} if series is None else {"SeriesInstanceUID": series}
    hounsfield = phantom_hounsfield()[::4, ::4].copy()
    return ct_file(hounsfield, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **position, **named, **elements)


def places(client, *contents: bytes) -> list[tuple[int, float | None]]:
    data = {"file": [(io.BytesIO(content), "x.dcm") for content in contents]}
    return [(item["file"], item["position"]) for item in client.post(URL, data=data).json["predictions"]]


def test_slices_of_a_series_are_put_in_the_order_of_their_position(client):
    contents = [dicom_slice(z) for z in (12.5, -30.0, 0.0, 2.5)]
    assert places(client, *contents) == [(1, -30.0), (2, 0.0), (3, 2.5), (0, 12.5)]


def test_two_series_are_not_mixed_and_stand_where_their_first_slice_stood(client, bright):
    contents = [dicom_slice(5.0), bright, dicom_slice(3.0, "9.9"), dicom_slice(1.0), dicom_slice(-1.0, "9.9")]
    assert places(client, *contents) == [(3, 1.0), (0, 5.0), (1, None), (4, -1.0), (2, 3.0)]


def test_slices_without_a_series_or_a_position_keep_their_order(client):
    contents = [dicom_slice(5.0, None), dicom_slice(None), dicom_slice(1.0, None)]
    assert places(client, *contents) == [(0, 5.0), (1, None), (2, 1.0)]


def test_a_series_in_a_zip_is_ordered_too(client):
    content = zipped({f"{index}.dcm": dicom_slice(z) for index, z in enumerate((3.0, 1.0, 2.0))})
    items = send(client, content).json["predictions"]
    assert [item["name"] for item in items] == ["1.dcm", "2.dcm", "0.dcm"]


def test_each_frame_of_a_multi_frame_file_is_judged(predictor, client):
    hounsfield = phantom_hounsfield()[::4, ::4].copy()
    dataset = dataset_of(hounsfield)
    dataset.NumberOfFrames = 3
    dataset.PixelData = 3 * dataset.PixelData
    content = written(dataset)
    items = send(client, content, "stack.dcm").json["predictions"]
    assert [item["name"] for item in items] == [f"stack.dcm (frame {number})" for number in (1, 2, 3)]
    assert len({item["suspicion"] for item in items}) == 1
    few = create_app(predictor, {"MAX_SLICES": 2}).test_client()
    response = send(few, content)
    assert response.status_code == 422
    assert "3 frames; export it as files of at most 2 each" in response.get_json(force=True)["detail"]


def test_a_file_of_no_frames_is_422_and_not_nothing(client):
    dataset = dataset_of(phantom_hounsfield()[::4, ::4].copy(), SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1")
    dataset.NumberOfFrames = 0
    for url in (URL, "/"):
        assert send(client, written(dataset), url=url).status_code == 422


def test_frames_beyond_the_limit_are_to_be_sent_separately(predictor, bright):
    dataset = dataset_of(phantom_hounsfield()[::4, ::4].copy())
    dataset.NumberOfFrames = 3
    dataset.PixelData = 3 * dataset.PixelData
    client = create_app(predictor, {"MAX_SLICES": 4}).test_client()
    contents = [bright, bright, written(dataset)]
    items = client.post(URL, data={"file": [(io.BytesIO(content), "x") for content in contents]}).json["predictions"]
    assert ["error" in item for item in items] == [False] * 4 + [True]
    assert items[4]["name"] == "x (frame 3)"
    assert "this one, the last of its file, was not. Send it by itself." in items[4]["error"]["detail"]


def test_slices_of_one_series_share_a_key_in_every_answer_and_those_of_two_do_not(client, bright):
    contents = [dicom_slice(5.0), bright, dicom_slice(3.0, "9.9"), dicom_slice(1.0), dicom_slice(1.0, None)]
    data = {"file": [(io.BytesIO(content), "x.dcm") for content in contents]}
    items = sorted(client.post(URL, data=data).json["predictions"], key=lambda item: item["file"])
    one, none, other, same, unnamed = (item["series"] for item in items)
    assert one == same != other
    assert none is unnamed is None
    (again,) = send(client, dicom_slice(7.0)).json["predictions"]
    assert again["series"] == one


def test_no_uid_is_answered_or_logged(client, caplog):
    caplog.set_level(logging.DEBUG)
    uid = "1.2.826.0.1.77777"
    response = send(client, dicom_slice(1.0, uid))
    assert response.status_code == 200
    assert "77777" not in response.text + caplog.text
    # Nor what anybody could make of the UID who has a list of UIDs.
    assert response.json["predictions"][0]["series"] != hashlib.blake2b(uid.encode(), digest_size=8).hexdigest()


# --- Parity -----------------------------------------------------------------------------------------------------------


def test_the_app_gives_the_very_numbers_of_the_library(client, predictor, make_slice):
    """Nothing is added to, and nothing left out of, what training did to a slice."""
    contents = [
        make_slice(120),
        make_slice(200, mode="RGB", kind="JPEG"),
        make_slice(90, mode="RGBA"),
        dicom_slice(1.0),
    ]
    options = predictor.metadata.preparation
    slices = [decode(content, options.dicom_window) for content in contents]
    prepared = np.stack([prepare(decoded.pixels, options, decoded.strokes) for decoded in slices])
    judged = predictor.judge(prepared)
    decisions = decide(judged.probabilities, judged.distances, predictor.metadata)
    data = {"file": [(io.BytesIO(content), "x") for content in contents]}
    items = client.post(f"{URL}?images=true", data=data).json["predictions"]
    for item, pixels, row, decision in zip(items, prepared, judged.probabilities, decisions, strict=True):
        assert list(item["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-6)
        assert item["suspicion"] == pytest.approx(decision.suspicion, abs=1e-6)
        assert item["novelty"]["distance"] == pytest.approx(decision.distance, abs=1e-6)
        assert (item["answer"], item["sentence"]) == (decision.answer, decision.sentence)
        shown = base64.b64decode(item["images"]["slice"].partition(",")[2])
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_UNCHANGED), pixels)


def test_no_more_pictures_are_decoded_at_a_time_than_allowed(predictor, bright, monkeypatch):
    from app import prediction

    inside, most, lock = 0, 0, threading.Lock()
    barrier = threading.Event()
    original = prediction.decode

    def counting(*arguments: object):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        barrier.wait(0.05)
        try:
            return original(*arguments)
        finally:
            with lock:
                inside -= 1

    monkeypatch.setattr(prediction, "decode", counting)
    app = create_app(predictor, {"JUDGED_AT_ONCE": 2})
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: send(app.test_client(), bright).json["predictions"][0], range(12)))
    assert most == 2
    assert all(answer == answers[0] for answer in answers)

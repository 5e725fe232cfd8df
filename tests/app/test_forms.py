"""A form is read in memory, as browsers and programs write it, and bounded in all that a client may make long."""

from __future__ import annotations

import io
import tracemalloc

import pytest

from app import api
from app.forms import LONGEST_FIELDS, LONGEST_HEAD

URL = "/api/v1/predictions"
MULTIPART = "multipart/form-data; boundary=x"
URLENCODED = "application/x-www-form-urlencoded"


def part(content: bytes, name: str = "file", filename: str | None = "a.png", head: bytes = b"") -> bytes:
    described = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
    return b"--x\r\nContent-Disposition: " + described.encode() + b"\r\n" + head + b"\r\n" + content + b"\r\n"


def post(client, *parts: bytes, url: str = URL):
    return client.post(url, data=b"".join(parts) + b"--x--\r\n", content_type=MULTIPART)


def detail(response, status: int) -> str:
    assert response.status_code == status
    return response.get_json(force=True)["detail"]


def test_files_and_fields_may_stand_in_any_order(client, bright, dark):
    fields = part(b"true", "images", None), part(b"x", "other", None)
    for parts in ((part(bright), *fields, part(dark)), (*fields, part(bright), part(dark))):
        items = post(client, *parts).json["predictions"]
        assert [item["answer"] for item in items] == ["suspected", "clear"]
        assert all("images" in item for item in items)


def test_a_file_that_looks_like_the_end_of_a_part_stays_whole(client, bright):
    content = bright + b"\r\n--y\r\n\r\n--\r\n"
    (item,) = post(client, part(content, head=b"Content-Type: image/png\r\n")).json["predictions"]
    assert item["answer"] == "suspected"


@pytest.mark.parametrize("filename", ["a.png", None])
@pytest.mark.parametrize(
    "head",
    [b"a:\r\n" * LONGEST_HEAD, b"X: " + b";a=b" * LONGEST_HEAD + b"\r\n", b"a" * 400_000],
    ids=["lines", "options", "one line"],
)
def test_a_part_with_an_endless_head_is_413_before_it_is_taken_apart(client, bright, filename, head):
    response = post(client, part(bright), part(bright, filename=filename, head=head))
    assert "head of a part" in detail(response, 413)


def test_a_name_as_long_as_any_system_allows_is_no_endless_head(client, bright):
    (item,) = post(client, part(bright, filename="ä" * 255)).json["predictions"]
    assert item["name"] == "ä" * 255


def test_a_field_too_long_is_413(client, bright):
    assert post(client, part(b"x" * LONGEST_FIELDS, "note", None), part(bright)).status_code == 200
    response = post(client, part(bright), part(b"x" * (LONGEST_FIELDS + 1), "images", None))
    assert "Send a slice as a file" in detail(response, 413)


def test_a_name_that_is_not_ascii_may_be_written_either_way(client, bright):
    for filename in (b'filename="\xc3\xa4.png"', b"filename*=utf-8''%C3%A4.png"):
        body = part(bright).replace(b'filename="a.png"', filename)
        assert [item["name"] for item in post(client, body).json["predictions"]] == ["ä.png"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        part(b"x")[:-2],
        part(b"x") + b"--x",
        part(b"x").replace(b"\r\n", b"\n") + b"--x--\n",
        b"--x\r\nContent-Type: image/png\r\n\r\nx\r\n--x--\r\n",
        part(b"x", head=b"\xff\xfe\r\n") + b"--x--\r\n",
    ],
    ids=["empty", "no form", "cut short", "no end", "line feeds", "undescribed", "no text"],
)
def test_a_form_that_cannot_be_read_is_400_and_says_how_one_is_written(client, body):
    response = client.post(URL, data=body, content_type=MULTIPART)
    assert "Send multipart/form-data with the slice in the field `file`" in detail(response, 400)


def test_a_form_without_a_boundary_is_400(client, bright):
    response = client.post(URL, data=part(bright) + b"--x--\r\n", content_type="multipart/form-data")
    assert "Send multipart/form-data with the slice in the field `file`" in detail(response, 400)


def test_heads_of_folded_lines_are_413_before_they_cost_seconds(client, bright):
    head = b"X" * 2000 + b": a\r\n" + 400 * b" a\r\n"
    response = post(client, *[part(bright[:90], head=7 * head) for _ in range(300)])
    assert "Send fewer files at a time" in detail(response, 413)


def test_three_hundred_names_as_long_as_any_system_allows_are_not_too_long(client, bright):
    assert (
        len(post(client, *[part(bright[:90], filename="ä" * 255) for _ in range(256)]).get_json(force=True)["errors"])
        == 256
    )


def test_a_form_that_can_hold_no_file_is_415_for_the_api_and_not_read(client, bright):
    for content in (b"file=x", b"a&" * 10**6, bright):
        assert "multipart/form-data" in detail(client.post(URL, data=content, content_type=URLENCODED), 415)


def test_the_page_takes_a_short_form_without_a_file_alone(client):
    assert client.post("/", data=b"sample=mass.jpg", content_type=URLENCODED).status_code == 200
    response = client.post("/", data=b"sample=mass.jpg&" + b"a&" * LONGEST_FIELDS, content_type=URLENCODED)
    assert response.status_code == 413
    assert "The form is too long" in response.text


def test_an_upload_is_held_once(client, bright, monkeypatch):
    held = []
    judge = api.judge_uploads

    def judged(*arguments):
        held.append(tracemalloc.get_traced_memory()[0])
        return judge(*arguments)

    monkeypatch.setattr(api, "judge_uploads", judged)
    body = part(bright + bytes(8 * 2**20)) + b"--x--\r\n"
    tracemalloc.start()
    # What Werkzeug's test client makes of the body is its own.
    response = client.post(URL, input_stream=io.BytesIO(body), content_type=MULTIPART, content_length=len(body))
    tracemalloc.stop()
    assert response.status_code == 200
    assert held[0] < 1.5 * len(body)

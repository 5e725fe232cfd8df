"""A file that there was no time for in full is sent again without what was judged of it."""

from __future__ import annotations

import pytest

from app import create_app, prediction
from app.model import served_model
from app.turns import Turns
from tests.support.forms import sent
from tests.support.hostile import multi_frame_dicom
from tests.support.slice_files import zipped

URL = "/api/v1/predictions"


def packed(*contents: bytes) -> bytes:
    return zipped({f"{index}.png": content for index, content in enumerate(contents)})


def judged(response) -> list[tuple[int, str]]:
    assert response.status_code == 200
    return [(item["slice"], item["name"]) for item in response.json["predictions"]]


def test_each_slice_has_its_number_in_its_file(client, bright, dark):
    items = client.post(URL, **sent(bright, packed(dark, b"text"), multi_frame_dicom(2))).json["predictions"]
    assert [(item["file"], item["slice"]) for item in items] == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]


@pytest.mark.parametrize("as_field", [True, False])
def test_what_is_skipped_is_neither_decoded_nor_answered(client, bright, dark, monkeypatch, as_field):
    decoded, decode = [], prediction.decode
    monkeypatch.setattr(prediction, "decode", lambda *arguments: decoded.append(1) or decode(*arguments))
    content = packed(bright, bright, dark, bright)
    response = (
        client.post(URL, **sent(content, skip="2")) if as_field else client.post(f"{URL}?skip=2", **sent(content))
    )
    assert judged(response) == [(2, "2.png"), (3, "3.png")]
    assert [item["answer"] for item in response.json["predictions"]] == ["clear", "suspected"]
    assert len(decoded) == 2


def test_frames_are_skipped_too(client):
    response = client.post(f"{URL}?skip=2", **sent(multi_frame_dicom(3)))
    assert judged(response) == [(2, "slice.png (frame 3)")]


def test_a_file_of_more_slices_than_are_judged_at_a_time_is_judged_in_several_requests(predictor, bright):
    client = create_app(predictor, {"MAX_SLICES": 2}).test_client()
    numbers, skip = [], 0
    while True:
        items = client.post(f"{URL}?skip={skip}", **sent(packed(*5 * [bright]))).json["predictions"]
        numbers.append([item["slice"] for item in items if "error" not in item])
        beyond = [item["slice"] for item in items if item.get("error", {}).get("status") == 413]
        if not beyond:
            break
        (skip,) = beyond
    assert numbers == [[0, 1], [2, 3], [4]]


def test_behind_a_file_of_a_zip_that_finds_no_room_none_is_judged_for_nobody_knows_its_number(predictor, bright):
    stack = multi_frame_dicom(3)
    content = zipped({"a.png": bright, "stack.dcm": stack, "b.png": bright, "c.png": bright})
    client = create_app(predictor, {"MAX_BYTES_AT_ONCE": len(stack), "CLIENT_SHARE": 1.0}).test_client()
    # What is let in although it is larger than all the room keeps the larger one out.
    with client.application.app_context():
        room = served_model().resources.unpacked
    assert room.enter("another", len(stack) - len(bright))
    items = client.post(URL, **sent(content)).json["predictions"]
    assert [(item["slice"], item.get("error", {}).get("status")) for item in items] == [
        (0, None),
        *((n, 503) for n in (1, 2, 3)),
    ]
    # Among those to be skipped it is, too, no answer for the others.
    response = client.post(f"{URL}?skip=4", **sent(content))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    room.leave("another", len(stack) - len(bright))
    assert judged(client.post(f"{URL}?skip=4", **sent(content))) == [(4, "b.png"), (5, "c.png")]


def test_who_skips_waits_for_no_turn(predictor, bright, monkeypatch):
    taken, acquire = [], Turns.acquire
    monkeypatch.setattr(Turns, "acquire", lambda *arguments: taken.append(1) or acquire(*arguments))
    client = create_app(predictor).test_client()
    client.post(f"{URL}?skip=3", **sent(packed(*5 * [bright])))
    assert len(taken) == 3  # two slices, and the end


def test_time_that_is_up_while_slices_are_skipped_is_503(predictor, bright):
    client = create_app(predictor, {"REQUEST_SECONDS": -1.0}).test_client()
    assert client.post(f"{URL}?skip=1", **sent(packed(bright, bright))).status_code == 503


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "", "²", "12345678"])
def test_what_is_no_number_of_slices_is_400(client, bright, value):
    for query, fields in (({"skip": value}, {}), ({}, {"skip": value}), ({"skip": "0"}, {"skip": value})):
        response = client.post(URL, query_string=query, **sent(packed(bright, bright), **fields))
        assert response.status_code == 400
        assert "`skip` must be a whole number" in response.get_json(force=True)["detail"]


def test_slices_of_several_files_are_not_skipped(client, bright):
    response = client.post(f"{URL}?skip=1", **sent(bright, bright))
    assert response.status_code == 400
    assert "Send that file by itself" in response.get_json(force=True)["detail"]
    assert judged(client.post(f"{URL}?skip=0", **sent(bright, bright))) == [(0, "slice.png"), (0, "slice.png")]


def test_to_skip_all_is_400(client, bright):
    for content in (bright, packed(bright)):
        response = client.post(f"{URL}?skip=1", **sent(content))
        assert response.status_code == 400
        assert "`skip` leaves none" in response.get_json(force=True)["detail"]

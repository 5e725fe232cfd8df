"""What happens when the time for one request is over: what was judged is answered, and nothing more is begun."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import create_app
from tests.support.hostile import multi_frame_dicom
from tests.support.slice_files import zipped

URL = "/api/v1/predictions"


def form(*contents: bytes) -> dict:
    return {"file": [(io.BytesIO(content), "slice.png") for content in contents]}


def slow_after(count: int, monkeypatch) -> None:
    """The preparation of every slice after the first ``count`` takes longer than a request has."""
    from app import prediction

    done, original = [], prediction.prepare

    def prepare(*arguments: object):
        done.append(1)
        if len(done) > count:
            time.sleep(1.2)
        return original(*arguments)

    monkeypatch.setattr(prediction, "prepare", prepare)


def test_what_was_judged_in_time_is_answered_and_the_rest_is_to_be_sent_again(predictor, bright, dark, monkeypatch):
    slow_after(2, monkeypatch)
    client = create_app(predictor, {"REQUEST_SECONDS": 1.0}).test_client()
    contents = [bright, dark, dark, zipped({"x/a.png": bright, "x/b.png": bright}), b"text", bright]
    response = client.post(URL, data=form(*contents))
    assert response.status_code == 200
    items = response.json["predictions"]
    assert [item.get("answer") for item in items[:2]] == ["suspected", "clear"]
    # Of the zip not even the list of its files was read.
    assert [item["file"] for item in items] == [0, 1, 2, 3, 4, 5]
    assert {item["name"] for item in items} == {"slice.png"}
    for item in items[2:]:
        assert set(item) == {"name", "file", "slice", "error"}
        assert item["error"]["status"] == 503
        assert "Send fewer slices" in item["error"]["detail"]
    metrics = client.get("/metrics").text
    assert 'answers_total{answer="suspected"} 1' in metrics
    assert 'unusable_files_total{status="503"} 4' in metrics


def test_a_zip_is_gone_on_with_at_the_first_slice_that_there_was_no_time_for(predictor, bright, monkeypatch):
    content = zipped({f"{index}.png": bright for index in range(4)})
    with monkeypatch.context() as slow:
        slow_after(1, slow)
        client = create_app(predictor, {"REQUEST_SECONDS": 1.0}).test_client()
        items = client.post(URL, data=form(content)).json["predictions"]
    assert [item["slice"] for item in items if "error" in item] == [1, 2, 3]
    client = create_app(predictor).test_client()
    items = client.post(f"{URL}?skip=1", data=form(content)).json["predictions"]
    assert [(item["name"], item["answer"]) for item in items] == [(f"{index}.png", "suspected") for index in (1, 2, 3)]


def test_nothing_is_unpacked_once_the_time_is_up(predictor, bright, monkeypatch):
    packed = form(zipped({"a.png": bright, "b.png": bright}))
    opened = []
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: opened.append(1))
    client = create_app(predictor, {"REQUEST_SECONDS": -1.0}).test_client()
    response = client.post(URL, data=packed)
    assert response.status_code == 503
    assert [error["name"] for error in response.get_json(force=True)["errors"]] == ["slice.png"]
    assert not opened


def test_the_page_too_shows_what_was_judged_in_time(predictor, bright, monkeypatch):
    slow_after(1, monkeypatch)
    client = create_app(predictor, {"REQUEST_SECONDS": 1.0}).test_client()
    page = client.post("/", data=form(bright, bright, bright))
    assert page.status_code == 200
    assert "Send fewer slices" in page.text
    late = create_app(predictor, {"REQUEST_SECONDS": -1.0}).test_client().post("/", data=form(bright, b"text"))
    assert late.status_code == 503
    assert int(late.headers["Retry-After"]) > 0


def test_too_much_for_the_time_of_one_request_is_503_and_says_when_to_come_again(predictor, bright):
    client = create_app(predictor, {"REQUEST_SECONDS": 0.0}).test_client()
    response = client.post(URL, data=form(bright))
    assert response.status_code == 503
    assert response.content_type == "application/problem+json"
    assert "fewer slices" in response.get_json(force=True)["detail"]
    assert int(response.headers["Retry-After"]) > 0


class Decoding:
    """How many pictures are decoded at a time, and when; each takes a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        from app import prediction

        self._decode, self._seconds, self._lock = prediction.decode, seconds, threading.Lock()
        self._inside = self.most = 0
        self.begun: list[float] = []
        monkeypatch.setattr(prediction, "decode", self)

    def __call__(self, *arguments: object) -> object:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
            self.begun.append(time.monotonic())
        try:
            time.sleep(self._seconds)
            return self._decode(*arguments)
        finally:
            with self._lock:
                self._inside -= 1


@pytest.mark.parametrize("clients", [1, 8])
def test_no_frame_is_decoded_once_the_time_is_up_or_without_a_turn(predictor, monkeypatch, clients):
    decoding = Decoding(monkeypatch, 0.1)
    app = create_app(predictor, {"REQUEST_SECONDS": 0.5, "JUDGED_AT_ONCE": 2})
    content = multi_frame_dicom(30)
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        bodies = [form(content) for _ in range(clients)]
        answers = list(pool.map(lambda body: app.test_client().post(URL, data=body), bodies))
    assert decoding.most <= 2
    # The clock of a request starts when its form was read.
    assert max(decoding.begun) < began + 0.5 + 0.3
    assert any(answer.status_code == 200 for answer in answers)
    for answer in answers:
        body = answer.get_json(force=True)
        items = body.get("predictions") or [{"error": error} for error in body["errors"]]
        late = [item["error"]["status"] for item in items if "error" in item]
        assert late
        assert set(late) == {503}

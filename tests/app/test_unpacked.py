"""What uploads inflate to takes room, of which all requests have so much together, and gives it back."""

from __future__ import annotations

import gc
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from app import create_app
from app.model import EXTENSION
from app.slices import slices_of
from tests.app.test_hostile import body_of, post
from tests.app.test_uploads import send
from tests.support.dicom_files import dataset_of, phantom_hounsfield, written
from tests.support.hostile import inflating_dicom
from tests.support.memory import memory_watched
from tests.support.slice_files import zipped


def room_of(app):
    return app.extensions[EXTENSION].current().resources.unpacked


def test_what_all_requests_hold_unpacked_is_bounded_and_given_back(predictor, bright):
    size = len(bright)
    app = create_app(predictor, {"MAX_BYTES_AT_ONCE": 4 * size, "MAX_SLICES": 2})
    room = app.extensions[EXTENSION].current().resources.unpacked
    content = zipped({"a.png": bright, "b.png": bright, "c.png": bright})

    def statuses() -> list[int | None]:
        items = send(app.test_client(), content).json["predictions"]
        return [item.get("error", {}).get("status") for item in items]

    room.enter("another", 3 * size + 1)
    response = send(app.test_client(), zipped({"a.png": bright}))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    room.leave("another", 3 * size + 1)
    assert statuses() == [None, None, 413]
    assert room.taken == 0


def test_what_the_limit_cuts_off_holds_no_room_while_the_rest_is_named(predictor, bright):
    app = create_app(predictor, {"MAX_SLICES": 1})
    resources = app.extensions[EXTENSION].current().resources
    pack = zipped({"a.png": bright, "b.png": bright})
    with app.test_request_context():
        parts = slices_of([("one.zip", pack), ("two.zip", pack)], resources, math.inf)
        assert next(parts).name == "a.png"
        assert resources.unpacked.taken == 1
        assert [(part.name, part.file) for part in (next(parts), next(parts))] == [("b.png", 0), ("two.zip", 1)]
        assert resources.unpacked.taken == 0


def test_a_model_that_breaks_gives_back_the_room_for_what_was_unpacked(predictor, bright, monkeypatch):
    app = create_app(predictor)
    room = app.extensions[EXTENSION].current().resources.unpacked

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(type(predictor), "judge", fail)
    gc.disable()
    try:
        response = send(app.test_client(), zipped({f"{number}.png": bright for number in range(20)}))
        assert (response.status_code, room.taken) == (500, 0)
    finally:
        gc.enable()


# --- Deflated DICOM files of several frames ------------------------------------------------------------------------------


def deflated(frames: int) -> bytes:
    dataset = dataset_of(phantom_hounsfield()[::4, ::4].copy())
    dataset.NumberOfFrames = frames
    dataset.PixelData = frames * dataset.PixelData
    return written(dataset, DeflatedExplicitVRLittleEndian)


INFLATED = 3 * 128 * 128 * 2


@pytest.mark.parametrize("packed", [False, True], ids=["by itself", "in a zip"])
def test_what_a_deflated_file_of_several_frames_inflates_to_takes_room_and_gives_it_back(
    predictor, monkeypatch, packed
):
    app = create_app(predictor)
    room, judge = room_of(app), type(predictor).judge
    held: list[int] = []

    def watch(*arguments: object):
        held.append(room.size)
        return judge(*arguments)

    monkeypatch.setattr(type(predictor), "judge", watch)
    content = deflated(3)
    items = send(app.test_client(), zipped({"a.dcm": content}) if packed else content).json["predictions"]
    assert [item["suspicion"] is None for item in items] == [False] * 3
    assert held[0] >= INFLATED
    assert (room.taken, room.size) == (0, 0)


def test_a_deflated_file_of_several_frames_that_finds_no_room_is_to_be_sent_again(predictor):
    app = create_app(predictor, {"MAX_BYTES_AT_ONCE": INFLATED})
    room = room_of(app)
    room.enter("another", INFLATED // 2)
    response = send(app.test_client(), deflated(3))
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert len(response.get_json(force=True)["errors"]) == 1
    # A single slice is inflated while it is its turn, and takes no room.
    assert send(app.test_client(), deflated(1)).status_code == 200
    room.leave("another", INFLATED // 2)
    assert send(app.test_client(), deflated(3)).status_code == 200
    assert room.taken == 0


def test_many_small_files_that_inflate_a_thousandfold_take_no_more_than_their_room(serve, served_project):
    """One address sends 24 files of 40 KB that would be 0.9 GB; it gets three quarters of a room of 256 MiB."""
    body = body_of("a.dcm", inflating_dicom(40))
    assert len(body) < 60_000
    with serve(served_project) as server:
        assert post(server, body)[0] == 200
        with memory_watched(server.process.pid) as memory, ThreadPoolExecutor(24) as pool:
            statuses = set(pool.map(lambda _: post(server, body)[0], range(24)))
        assert statuses <= {200, 503}
        assert 200 in statuses
        assert max(memory) < memory[0] + 450, (memory[0], max(memory))

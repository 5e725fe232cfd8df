"""Who is let in, and what those who are not are told."""

from __future__ import annotations

import base64
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import create_app
from app.admission import RateLimit, Room
from app.api import ROOM
from app.clients import client_of
from app.engine import Engine

URL = "/api/v1/predictions"


def send(client, content: bytes, url: str = URL, buffered: bool = True, **headers: str):
    return client.post(url, data={"file": (io.BytesIO(content), "slice.png")}, headers=headers, buffered=buffered)


# --- Token ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(predictor, monkeypatch):
    monkeypatch.setenv("LUNG_TUMOR_TOKEN", "s3cret-ü")
    return create_app(predictor).test_client()


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic s3cret", "Bearer s3cret-ü x", "s3cret-ü"]
)
def test_without_the_token_the_api_is_401_and_says_how_to_send_it(guarded, bright, header):
    headers = {} if header is None else {"Authorization": header.encode().decode("latin-1")}
    for response in (send(guarded, bright, **headers), guarded.get("/api/v1/model", headers=headers)):
        assert response.status_code == 401
        assert response.content_type == "application/problem+json"
        assert "Authorization: Bearer" in response.get_json(force=True)["detail"]
        assert response.headers["WWW-Authenticate"].lower().startswith("bearer")


def test_with_the_token_the_api_answers(guarded, bright):
    header = "Bearer s3cret-ü".encode().decode("latin-1")
    assert send(guarded, bright, Authorization=header).status_code == 200
    assert (
        guarded.get("/api/v1/model", headers={"Authorization": header.replace("Bearer", "bearer")}).status_code == 200
    )


@pytest.mark.parametrize("token", ["à", "Å", "€"])
def test_a_token_may_end_in_any_letter(predictor, bright, token):
    """In UTF-8 some end in a byte that is a space in Latin-1."""
    app = create_app(predictor, {"TOKEN": token})
    header = f"Bearer {token}".encode().decode("latin-1")
    assert send(app.test_client(), bright, Authorization=header).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/v1/docs"])
def test_the_token_guards_nothing_that_is_only_read(guarded, path):
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("data", [{}, {"sample": "mass.jpg"}])
def test_the_pages_form_is_no_side_door(guarded, data):
    response = guarded.post("/", data=data)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Basic realm=lung-tumor, charset=UTF-8"
    assert "as password" in response.text


@pytest.mark.parametrize("password", ["", "wrong", "s3cret", "s3cret-ü:x"])
def test_with_another_password_the_form_stays_closed(guarded, bright, password):
    assert send(guarded, bright, "/", Authorization=basic(password)).status_code == 401


def test_a_browser_sends_the_token_as_password_to_the_form_and_to_the_api(guarded, bright):
    for url in ("/", URL):
        assert send(guarded, bright, url, Authorization=basic("s3cret-ü")).status_code == 200


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


# --- Rate -------------------------------------------------------------------------------------------------------------


def test_a_bucket_gives_its_burst_and_then_its_rate():
    limit = RateLimit(per_second=2.0, burst=3)
    assert [limit.seconds_to_wait("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert limit.seconds_to_wait("a", 0.25) == pytest.approx(0.25)
    assert limit.seconds_to_wait("a", 0.5) == 0.0
    assert limit.seconds_to_wait("a", 0.6) > 0.0
    assert [limit.seconds_to_wait("a", 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_one_client_does_not_use_up_anothers_bucket():
    limit = RateLimit(per_second=1.0, burst=1)
    assert [limit.seconds_to_wait(client, 0.0) for client in "aab"] == [0.0, 1.0, 0.0]


def test_no_rate_means_no_limit():
    limit = RateLimit(per_second=0.0, burst=1)
    assert {limit.seconds_to_wait("a", 0.0) for _ in range(1000)} == {0.0}


def test_buckets_of_many_clients_do_not_grow_without_end():
    limit = RateLimit(per_second=1.0, burst=1)
    for number in range(12_000):
        limit.seconds_to_wait(str(number), 0.0)
    assert len(limit._buckets) == 10_000


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_network_of_ipv6_is_one_client(address, client):
    assert client_of(address) == client


def test_too_many_requests_are_429_and_monitors_are_not_counted(predictor, bright):
    client = create_app(predictor, {"RATE_PER_SECOND": 0.01, "RATE_BURST": 2}).test_client()
    for _ in range(10):
        assert client.get("/readyz").status_code == 200
    assert [send(client, bright).status_code for _ in range(3)] == [200, 200, 429]
    response = client.get("/api/v1/model")
    assert response.status_code == 429
    assert response.content_type == "application/problem+json"
    assert int(response.headers["Retry-After"]) > 0
    assert 'turned_away_total{reason="rate"} 2' in client.get("/metrics").text


# --- Room -------------------------------------------------------------------------------------------------------------


def test_room_is_bounded_by_number_and_by_bytes():
    room = Room(requests=2, size=100, share=1.0)
    assert room.enter("a", 60)
    assert not room.enter("b", 50)
    assert room.enter("b", 40)
    assert not room.enter("c", 0)
    room.leave("a", 60)
    assert room.taken == 1
    assert room.enter("a", 10)


def test_a_body_larger_than_all_room_is_let_in_alone():
    room = Room(requests=2, size=100, share=0.5)
    assert room.enter("a", 500)
    assert not room.enter("b", 1)
    room.leave("a", 500)
    assert room.enter("b", 1)
    assert not room.enter("a", 500)


def test_one_client_leaves_room_for_others():
    room = Room(requests=8, size=400, share=0.75)
    assert [room.enter("a", 100) for _ in range(4)] == [True, True, True, False]
    assert room.enter("b", 100)
    room = Room(requests=8, size=400, share=0.75)
    assert [room.enter("a", 0) for _ in range(7)] == [True] * 6 + [False]
    assert [room.enter("b", 0) for _ in range(3)] == [True, True, False]
    room.leave("a", 0)
    assert room.enter("a", 0)


def test_a_full_server_says_503_and_when_to_come_again_and_recovers(predictor, bright, monkeypatch):
    from app import prediction

    go, inside, original = threading.Event(), threading.Semaphore(0), prediction.decode

    def held(*arguments: object):
        inside.release()
        go.wait(20)
        return original(*arguments)

    monkeypatch.setattr(prediction, "decode", held)
    app = create_app(predictor, {"MAX_REQUESTS": 2, "CLIENT_SHARE": 1.0, "JUDGED_AT_ONCE": 2})
    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(send, app.test_client(), bright) for _ in range(2)]
        for _ in working:
            inside.acquire()
        refused = send(app.test_client(), bright)
        assert "requests_in_progress 2" in app.test_client().get("/metrics").text
        go.set()
        assert [answer.result().status_code for answer in working] == [200, 200]
    assert refused.status_code == 503
    assert refused.content_type == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    assert send(app.test_client(), bright).status_code == 200
    assert "requests_in_progress 0" in app.test_client().get("/metrics").text


def test_a_request_that_fails_gives_its_room_back(predictor, bright):
    client = create_app(predictor, {"MAX_REQUESTS": 1}).test_client()
    for _ in range(3):
        assert send(client, b"text").status_code == 415
        assert client.post(URL, data=b"x", content_type="image/png").status_code == 415
    assert send(client, bright).status_code == 200


def test_an_answer_takes_room_until_it_is_written(predictor, bright):
    """Which is when the server closes it, long after the request was handled where the client reads slowly."""
    app = create_app(predictor, {"MAX_REQUESTS": 2, "CLIENT_SHARE": 1.0})
    room = app.extensions[ROOM]
    sent = len(bright)
    under_way = send(app.test_client(), bright, f"{URL}?images=true", buffered=False)
    length = under_way.content_length
    assert (under_way.status_code, room.taken, room.size) == (200, 1, length)
    assert length != sent
    assert send(app.test_client(), bright).status_code == 200
    other = send(app.test_client(), b"text", buffered=False)
    assert room.taken == 2
    assert send(app.test_client(), bright).status_code == 503
    under_way.close()
    other.close()
    assert (room.taken, room.size) == (0, 0)


def test_a_request_that_breaks_gives_its_room_back(predictor, bright, monkeypatch):
    app = create_app(predictor)

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(type(predictor), "judge", fail)
    assert send(app.test_client(), bright).status_code == 500
    monkeypatch.setattr(app, "make_response", fail)
    with pytest.raises(RuntimeError):
        send(app.test_client(), bright)
    assert app.extensions[ROOM].taken == 0


def test_slices_wait_for_the_model_under_the_address_that_they_came_from(predictor, bright, monkeypatch):
    clients, submit = [], Engine.submit

    def watch(self, predictor, prepared, client):
        clients.append(client)
        return submit(self, predictor, prepared, client)

    monkeypatch.setattr(Engine, "submit", watch)
    client = create_app(predictor).test_client()
    for address in ("192.0.2.7", "2001:db8:1:2::9"):
        data = {"file": (io.BytesIO(bright), "slice.png")}
        assert client.post(URL, data=data, environ_base={"REMOTE_ADDR": address}).status_code == 200
    assert clients == ["192.0.2.7", "2001:db8:1:2::/64"]

"""Hostile uploads to a live server: never a fault, a hang or growth."""

from __future__ import annotations

import collections
import http.client
import io
import json
import os
import resource
import runpy
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from app.security import HEADERS
from lung_tumor.configuration import PROJECT
from tests.support.hostile import slice_png, uploads
from tests.support.memory import memory_watched
from tests.support.slice_files import zipped

URL = "/api/v1/predictions"
EXPECTED = {200, 400, 413, 415, 422}


def body_of(name: str, content: bytes) -> bytes:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'
    return head.encode("utf-8", "replace") + content + b"\r\n--x--\r\n"


def post(server, body: bytes, url: str = URL, source: str = "127.0.0.1", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60, source_address=(source, 0))
    try:
        connection.request("POST", url, body, {"Content-Type": "multipart/form-data; boundary=x", **headers})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def attack(server, count: int, seed: int) -> collections.Counter[int]:
    with ThreadPoolExecutor(4) as pool:
        urls = (URL, f"{URL}?images=true", "/")
        jobs = [
            pool.submit(post, server, body_of(name, content), urls[index % 3])
            for index, (name, content) in enumerate(uploads(count, seed))
        ]
        return collections.Counter(job.result()[0] for job in jobs)


def assert_unharmed(server, found: collections.Counter[int]) -> None:
    assert set(found) <= EXPECTED, found
    assert min(found[status] for status in (200, 415, 422)) > 0, found
    assert post(server, body_of("a.png", slice_png()))[0] == 200
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "JANE" not in log


def test_two_hundred_hostile_uploads_are_told_what_is_wrong_with_them(server):
    assert_unharmed(server, attack(server, 200, seed=1))


@pytest.mark.slow
def test_two_thousand_hostile_uploads_neither_break_nor_grow_the_server(serve, served_project):
    with serve(served_project) as server:
        attack(server, 400, seed=2)
        with memory_watched(server.process.pid) as memory:
            found = attack(server, 2000, seed=3)
        assert_unharmed(server, found)
        assert memory[-1] < memory[0] + 60
        assert max(memory) < 600, max(memory)


def assert_as_other_answers(answer: bytes) -> None:
    """The headers that every answer has; and a problem, unless the app's page was asked for."""
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = {
        line.partition(b": ")[0].decode().lower(): line.partition(b": ")[2].decode() for line in head.split(b"\r\n")
    }
    assert headers["content-length"] == str(len(body))
    if headers["content-type"] != "text/html; charset=utf-8":
        assert headers["content-type"] == "application/problem+json"
        assert int(head.split()[1]) == json.loads(body)["status"]
    assert set(headers) >= {name.lower() for name in HEADERS}
    assert headers["cache-control"] == "no-store"
    assert len(headers["x-request-id"]) == 32


def test_heads_that_are_no_http_are_refused_and_not_repeated(server):
    lines = [
        b"GET /DOE^JANE HTTP/9.9\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nJANE DOE\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: JANE\r\n" % number for number in range(300)) + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\nx",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200),
    ]
    answered = 0
    for line in lines:
        with socket.create_connection((server.host, server.port), timeout=20) as connection:
            try:
                connection.sendall(line)
                answer = b"".join(iter(lambda: connection.recv(8192), b""))
            except ConnectionError:
                continue  # Cut off while still talking: no answer is owed.
        assert answer == b"" or answer.split()[1][:1] == b"4", (line[:60], answer[:60])
        assert b"JANE" not in answer
        if answer:
            answered += 1
            assert_as_other_answers(answer)
    assert answered >= 8
    log = server.log.read_text()
    assert "JANE" not in log
    assert "Traceback" not in log


# --- Clients that take their time ----------------------------------------------------------------------------------------


def head(length: int | str, url: str = URL, kind: str = "Content-Length") -> bytes:
    text = (
        f"POST {url} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n{kind}: {length}\r\n\r\n"
    )
    return text.encode()


@contextmanager
def connections(server, count: int, first: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that have sent the same."""
    opened = [socket.create_connection((server.host, server.port), timeout=40) for _ in range(count)]
    try:
        for connection in opened:
            connection.sendall(first)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def seconds_of_an_answer(server, content: bytes, source: str = "127.0.0.1") -> float:
    began = time.monotonic()
    assert post(server, body_of("a.png", content), source=source)[0] == 200
    return time.monotonic() - began


def is_let_go_within(server, connection: socket.socket, seconds: float) -> bool:
    """Whether the server closes its side, whatever it has said before."""
    port = connection.getsockname()[1]
    (worker,) = psutil.Process(server.process.pid).children()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(found.raddr[1:] != (port,) for found in worker.net_connections() if found.raddr):
            return True
        time.sleep(0.1)
    return False


def test_connections_that_say_nothing_take_no_thread(serve, served_project, bright):
    with serve(served_project, GUNICORN_THREADS="4") as server, connections(server, 60, b""):
        time.sleep(0.2)
        assert seconds_of_an_answer(server, bright) < 4


@pytest.mark.parametrize("first", [b"POST ", head(5000)[:-9]])
def test_clients_that_stall_within_a_head_are_let_go(serve, served_project, impatient, bright, first):
    with serve(served_project, impatient) as server, connections(server, 60, first) as stalled:
        assert seconds_of_an_answer(server, bright) < 15
        for connection in stalled:
            assert connection.recv(4096)[:12] in (b"", b"HTTP/1.1 400")
        assert "Traceback" not in server.log.read_text()


def test_one_client_that_stalls_in_many_heads_leaves_threads_for_others(serve, served_project, bright):
    with serve(served_project, GUNICORN_THREADS="8") as server, connections(server, 60, b"POST "):
        time.sleep(0.5)
        assert seconds_of_an_answer(server, bright, source="127.0.0.2") < 4


def test_one_client_that_opens_many_connections_leaves_some_for_others(serve, served_project, tmp_path, bright):
    config = tmp_path / "few_conf.py"
    own = str(PROJECT / "app" / "gunicorn_conf.py")
    config.write_text(f"exec(compile(open({own!r}).read(), {own!r}, 'exec'))\nworker_connections = 40\n")
    with serve(served_project, str(config), GUNICORN_THREADS="8") as server:
        opened = [socket.create_connection((server.host, server.port), timeout=20) for _ in range(60)]
        for connection in opened[:30]:
            connection.sendall(b"POST ")
        time.sleep(0.5)
        assert seconds_of_an_answer(server, bright, source="127.0.0.2") < 4
        assert [connection.recv(1) for connection in opened[30:]] == 30 * [b""]
        for connection in opened:
            connection.close()
        time.sleep(1.5)
        assert seconds_of_an_answer(server, bright) < 4


@pytest.mark.parametrize(("files", "connections"), [(256, 240), (1024, 1000), (10**6, 1000)])
def test_no_more_connections_are_taken_than_the_process_may_have_files(monkeypatch, files, connections):
    monkeypatch.setenv("GUNICORN_THREADS", "8")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    settings = runpy.run_path(str(PROJECT / "app" / "gunicorn_conf.py"))
    assert settings["worker_connections"] == connections


@pytest.mark.parametrize(
    "first",
    [head(64 * 2**20) + b"--x\r\n", head("chunked", kind="Transfer-Encoding") + b"ffffff\r\n--x"],
    ids=["length", "chunks"],
)
def test_a_body_that_stalls_or_drips_is_400_and_gives_its_room_back(serve, served_project, impatient, bright, first):
    with serve(served_project, impatient) as server, connections(server, 2, first) as (stalled, dripping):
        over = threading.Event()

        def drip() -> None:
            while not over.wait(0.2):
                try:
                    dripping.sendall(b"a")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            for connection in (stalled, dripping):
                connection.settimeout(10)
                assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
                assert is_let_go_within(server, connection, 10)
        finally:
            over.set()
            thread.join()
        assert b"requests_in_progress 0" in get(server, "/metrics")


def get(server, path: str) -> bytes:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_slow_body_that_keeps_coming_is_waited_for(serve, served_project, impatient, bright):
    body = body_of("a.png", bright + bytes(2**20))
    patient = Path(impatient)
    patient.write_text(patient.read_text().replace("2**30", "2**17"))
    with serve(served_project, impatient) as server, connections(server, 1, head(len(body))) as (connection,):
        for start in range(0, len(body), 50_000):
            connection.sendall(body[start : start + 50_000])
            time.sleep(0.12)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_read_its_answer_is_let_go(serve, project, make_model, impatient):
    """The answer is larger than all that the two systems keep for a connection."""
    file = project / "data" / "06_models" / "classifier.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(make_model(size=256))
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)).save(noise, "PNG")
    body = body_of("a.zip", zipped({f"{index}.png": noise.getvalue() for index in range(80)}))
    with serve(project, impatient) as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.settimeout(40)
        connection.connect((server.host, server.port))
        connection.sendall(head(len(body), f"{URL}?images=true") + body)
        begun = connection.recv(2000)
        assert begun.startswith(b"HTTP/1.1 200 ")
        assert int(begun.split(b"Content-Length: ")[1].split()[0]) > 6 * 2**20
        assert is_let_go_within(server, connection, 15)
        assert "Traceback" not in server.log.read_text()


def test_clients_that_are_refused_and_go_on_sending_take_few_threads(serve, served_project, bright):
    with serve(served_project) as server, connections(server, 120, head(10**6, "/nowhere") + b"a"):
        assert seconds_of_an_answer(server, bright) < 4


def test_one_client_that_declares_large_bodies_denies_nobody_else(server, bright):
    with connections(server, 6, head(64 * 2**20) + b"--x\r\n"):
        time.sleep(0.5)
        assert post(server, body_of("a.png", bright + bytes(50 * 2**20)))[0] == 503
        assert seconds_of_an_answer(server, bright, source="127.0.0.2") < 10
    # And takes no room any more once it is gone.
    deadline = time.monotonic() + 10
    while b"requests_in_progress 0" not in get(server, "/metrics") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert b"requests_in_progress 0" in get(server, "/metrics")


@pytest.mark.parametrize(
    "sent",
    [
        head(5000) + b"--x\r\n",
        head(5000) + body_of("a.png", b"whole, but for the end"),
        head(5000, "/nowhere") + b"--x\r\n",
        head(5000, "/") + b"--x\r\n",
        head("chunked", kind="Transfer-Encoding") + b"ff\r\n--x\r\n",
        head("chunked", kind="Transfer-Encoding") + b"5\r\n--x\r\n\r\n",
        head("chunked", kind="Transfer-Encoding") + b"5\r\n--x\r\n\r\n0\r\n",
        head("chunked", kind="Transfer-Encoding") + b"5\r\n--x\r\n\r\n0\r\nJANE DOE\r\n\r\n",
        head("chunked", kind="Transfer-Encoding") + b"5;\rx\r\n--x\r\n",
    ],
)
def test_a_body_cut_short_is_a_problem_of_the_client(server, sent):
    with socket.create_connection((server.host, server.port), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)
    assert answer[:12] in ((b"HTTP/1.1 404",) if b"/nowhere" in sent else (b"HTTP/1.1 400",)), answer
    assert "Traceback" not in server.log.read_text()


# --- The disk ------------------------------------------------------------------------------------------------------------


def test_nothing_is_written_to_disk_during_uploads(serve, served_project, tmp_path, bright):
    """Every folder that the server could write to, before and after, and every file that it holds open meanwhile."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    variables = {name: str(temporary) for name in ("TMPDIR", "TMP", "TEMP", "HOME")}
    with serve(served_project, **variables) as server:
        places = [temporary, served_project, Path("/dev/shm"), Path("/var/tmp")]
        before = seen(places) - {server.log}
        with written_meanwhile(server) as written:
            for name, content in [("a.png", bright), *uploads(40, seed=5)]:
                post(server, body_of(name, content + bytes(2**20)))
            for size in (20, 60):
                slowly(server, body_of("a.png", bright + bytes(size * 2**20)))
        assert written == {str(server.log)}
        assert seen(places) - {server.log} == before


def slowly(server, body: bytes) -> None:
    """An upload that takes a second, so that whoever looks meanwhile sees where it goes."""
    with socket.create_connection((server.host, server.port), timeout=40) as connection:
        connection.sendall(head(len(body)))
        step = len(body) // 20 + 1
        for start in range(0, len(body), step):
            connection.sendall(body[start : start + step])
            time.sleep(0.05)
        assert connection.recv(4096).startswith(b"HTTP/1.1 ")


def seen(places: list[Path]) -> set[Path]:
    return {path for place in places if place.is_dir() for path in place.rglob("*") if path.is_file()}


@contextmanager
def written_meanwhile(server) -> Iterator[set[str]]:
    """Files that the worker holds open for writing at any moment, deleted ones too, gunicorn's own heartbeat aside."""
    (worker,) = psutil.Process(server.process.pid).children()
    found: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            found.update(open_for_writing(worker.pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def open_for_writing(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
            flags = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
        except OSError:
            continue  # Closed while we looked.
        mode = int(flags.split("flags:")[1].split()[0], 8) & os.O_ACCMODE
        is_file = target.startswith("/") and not target.startswith("/dev/null")
        if is_file and mode != os.O_RDONLY and "/wgunicorn-" not in target:
            yield target

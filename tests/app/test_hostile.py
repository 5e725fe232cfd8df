"""Hostile uploads to a live server: never a fault, a hang or growth."""

from __future__ import annotations

import collections
import http.client
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.support.hostile import slice_png, uploads

URL = "/api/v1/predictions"
EXPECTED = {200, 400, 413, 415, 422}


def body_of(name: str, content: bytes) -> bytes:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'
    return head.encode("utf-8", "replace") + content + b"\r\n--x--\r\n"


def post(server, body: bytes, url: str = URL, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    try:
        connection.request("POST", url, body, {"Content-Type": "multipart/form-data; boundary=x", **headers})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def memory_mb(server) -> float:
    """Resident memory of gunicorn and its worker."""
    parent = psutil.Process(server.process.pid)
    return sum(process.memory_info().rss for process in (parent, *parent.children(recursive=True))) / 2**20


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
        before = memory_mb(server)
        found = attack(server, 2000, seed=3)
        assert_unharmed(server, found)
        assert memory_mb(server) < before + 60


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
    for line in lines:
        with socket.create_connection((server.host, server.port), timeout=20) as connection:
            try:
                connection.sendall(line)
                answer = connection.recv(4096)
            except ConnectionError:
                continue  # Cut off while still talking: no answer is owed.
        assert answer == b"" or answer.split()[1][:1] == b"4", (line[:60], answer[:60])
        assert b"JANE" not in answer
    log = server.log.read_text()
    assert "JANE" not in log
    assert "Traceback" not in log


def test_clients_that_stall_keep_nobody_else_waiting(serve, served_project, bright):
    heads = (
        b"",
        b"POST ",
        b"POST " + URL.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Le",
    )
    with serve(served_project) as server:
        stalled = [socket.create_connection((server.host, server.port), timeout=40) for _ in range(60)]
        try:
            for index, connection in enumerate(stalled):
                connection.sendall(heads[index % 3])
            began = time.monotonic()
            assert post(server, body_of("a.png", bright))[0] == 200
            assert time.monotonic() - began < 20
            # Every one of them is let go in the end.
            for connection in stalled:
                assert connection.recv(4096)[:12] in (b"", b"HTTP/1.1 400")
        finally:
            for connection in stalled:
                connection.close()
        assert "Traceback" not in server.log.read_text()


def test_nothing_is_written_to_disk_during_uploads(serve, served_project, tmp_path, bright):
    """Every folder that the server could write to, before and after."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    variables = {name: str(temporary) for name in ("TMPDIR", "TMP", "TEMP", "HOME")}
    with serve(served_project, **variables) as server:
        places = [temporary, served_project, Path("/dev/shm"), Path("/var/tmp")]
        before = seen(places) - {server.log}
        for name, content in [("a.png", bright), *uploads(40, seed=5)]:
            post(server, body_of(name, content + bytes(2**20)))
            assert open_files(server) <= {server.log}
        assert seen(places) - {server.log} == before


def seen(places: list[Path]) -> set[Path]:
    return {path for place in places if place.is_dir() for path in place.rglob("*") if path.is_file()}


def open_files(server) -> set[Path]:
    """Files that the worker holds open for writing, gunicorn's own heartbeat aside."""
    (worker,) = psutil.Process(server.process.pid).children()
    opened = {Path(file.path) for file in worker.open_files() if file.mode not in ("r", "rb")}
    return {path for path in opened if not path.name.startswith("wgunicorn-")}

"""What only a real server shows: bodies without a length, connections cut off, the access log, the end."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time

import pytest

HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="DOE^JANE.png"\r\nContent-Type: image/png\r\n\r\n'
TAIL = b"\r\n--x--\r\n"
TYPE = {"Content-Type": "multipart/form-data; boundary=x"}
URL = "/api/v1/predictions"


def post(server, body, headers=TYPE, url: str = URL, **options) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    try:
        connection.request("POST", url, body, headers, **options)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_an_upload_with_a_length_and_one_in_chunks_are_answered_alike(server, bright):
    body = HEAD + bright + TAIL
    status, whole = post(server, body)
    assert status == 200
    pieces = (body[start : start + 100] for start in range(0, len(body), 100))
    assert post(server, pieces, encode_chunked=True) == (200, whole)
    assert json.loads(whole)["predictions"][0]["label"] == "adenocarcinoma"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_reads_413_rather_than_a_cut_connection(server, chunked):
    size = 20 * 2**20
    body = HEAD + bytes(size) + TAIL
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    status, answer = post(server, pieces, encode_chunked=True) if chunked else post(server, body)
    assert status == 413
    assert "16 MiB" in json.loads(answer)["detail"]


def test_no_length_and_no_chunks_is_400(server):
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(b"POST " + URL.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        connection.sendall(b"Content-Type: multipart/form-data; boundary=x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_broken_chunks_are_400(server):
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(b"POST " + URL.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n")
        connection.sendall(b"Content-Type: multipart/form-data; boundary=x\r\n\r\nzz\r\nnonsense\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_leaves_half_way_hurts_nobody(server, bright):
    for _ in range(8):
        with socket.create_connection((server.host, server.port), timeout=10) as connection:
            connection.sendall(b"POST " + URL.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n")
            connection.sendall(b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + HEAD)
    assert post(server, HEAD + bright + TAIL)[0] == 200


def test_the_log_holds_routes_and_neither_names_paths_nor_queries(server, bright):
    post(server, HEAD + bright + TAIL, url=f"{URL}?patient=JANE")
    post(server, b"", url="/DOE%5EJANE%0AINJECTED.png")
    # The line is written after the answer has been sent.
    time.sleep(0.3)
    log = server.log.read_text()
    assert '"POST" api.predictions 200' in log
    assert '"POST" - 404' in log
    assert "JANE" not in log
    assert "INJECTED" not in log


def test_no_answer_was_a_fault_of_the_server(server):
    assert "Traceback" not in server.log.read_text()


def test_sigterm_finishes_what_is_in_flight(serve, served_project, bright):
    body = HEAD + bright + TAIL
    with serve(served_project) as server:
        with socket.create_connection((server.host, server.port), timeout=20) as connection:
            connection.sendall(b"POST " + URL.encode() + b" HTTP/1.1\r\nHost: x\r\n")
            connection.sendall(b"Content-Type: multipart/form-data; boundary=x\r\n")
            connection.sendall(f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:200])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(body[200:])
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(30) == 0

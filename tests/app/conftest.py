"""The app around a real, tiny ONNX model (:mod:`tests.support.served_models`), in this process or behind gunicorn."""

from __future__ import annotations

import http.client
import io
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from app import create_app
from lung_tumor.configuration import PROJECT
from lung_tumor.predictor import Predictor
from tests.support.served_models import brightness_model


class Reader(FlaskClient):
    """Takes every answer to its end and closes it, as a server does; Werkzeug's leaves both to whoever reads."""

    def open(self, *args: Any, buffered: bool = True, **options: Any) -> TestResponse:
        return super().open(*args, buffered=buffered, **options)


@pytest.fixture(autouse=True)
def _answers_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flask, "test_client_class", Reader)


MakeModel = Callable[..., bytes]
MakeSlice = Callable[..., bytes]


def _slice(grey: int = 200, size: tuple[int, int] = (300, 260), kind: str = "PNG", mode: str = "L") -> bytes:
    """A body of one grey value, two darker lungs in it, on black."""
    width, height = size
    y, x = np.mgrid[:height, :width]

    def inside(centre: float, half_width: float, half_height: float) -> np.ndarray:
        return ((x / width - centre) / half_width) ** 2 + ((y / height - 0.5) / half_height) ** 2 < 1

    pixels = np.zeros((height, width), np.uint8)
    pixels[inside(0.5, 0.48, 0.46)] = grey
    for lung in (0.32, 0.68):
        pixels[inside(lung, 0.12, 0.25)] = grey // 4
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    return brightness_model


@pytest.fixture(scope="session")
def make_slice() -> MakeSlice:
    return _slice


@pytest.fixture(scope="session")
def bright() -> bytes:
    """A slice that the tiny model calls by its first class."""
    return _slice(grey=250)


@pytest.fixture(scope="session")
def dark() -> bytes:
    """A slice that the tiny model calls by its last class."""
    return _slice(grey=60)


@pytest.fixture(scope="session")
def middling() -> bytes:
    """A slice that the tiny model is uncertain of."""
    return _slice(grey=225)


@pytest.fixture(scope="session")
def foreign() -> bytes:
    """A picture that the tiny model refuses: no slice is bright all over."""
    buffer = io.BytesIO()
    pixels = np.full((200, 200), 250, np.uint8)
    pixels[80:120, 80:120] = 30
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    return Predictor(brightness_model(), threads=1)


@pytest.fixture
def client(predictor: Predictor) -> FlaskClient:
    return create_app(predictor).test_client()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with this one's configuration and no data."""
    return _project(tmp_path)


@pytest.fixture
def client_without_model(project: Path) -> FlaskClient:
    return create_app(config={"PROJECT": project}).test_client()


@pytest.fixture(scope="session")
def served_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose catalog entry ``served_model`` finds the tiny model."""
    return _with_model(_project(tmp_path_factory.mktemp("served")), brightness_model())


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Server]]:
    """Run gunicorn as `make serve` does, on a free port, for a given project, with further environment variables."""
    return _serve


@pytest.fixture
def impatient(tmp_path: Path) -> str:
    """A configuration that waits a second where the app's own waits ten or fifteen."""
    own = PROJECT / "app" / "gunicorn_conf.py"
    config = tmp_path / "impatient_conf.py"
    patience = "worker.HEAD_SECONDS = worker.PATIENCE_SECONDS = 1.0\nworker.BYTES_PER_SECOND = 2**30\n"
    config.write_text(
        f"from app import worker\nexec(compile(open({str(own)!r}).read(), {str(own)!r}, 'exec'))\n{patience}"
    )
    return str(config)


@pytest.fixture(scope="session")
def server(served_project: Path) -> Iterator[Server]:
    with _serve(served_project) as running:
        yield running


def _project(folder: Path) -> Path:
    shutil.copytree(PROJECT / "conf" / "base", folder / "conf" / "base")
    (folder / "conf" / "local").mkdir()
    return folder


def _with_model(project: Path, model: bytes) -> Path:
    file = project / "data" / "06_models" / "classifier.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(model)
    return project


@dataclass(frozen=True)
class Server:
    """A running gunicorn: where it listens, its process, the file that takes what it logs, and when it was started."""

    host: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    started: float
    ready_s: float = math.inf

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def _serve(project: Path, config: str = "app/gunicorn_conf.py", **variables: str) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    log = project / f"server-{port}.log"
    command = [sys.executable, "-m", "gunicorn", "--config", config, "app:create_app()"]
    environment = {**os.environ, "GUNICORN_BIND": f"{host}:{port}", "LUNG_TUMOR_PROJECT": str(project), **variables}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output) as process,
    ):
        server = Server(host, port, process, log, time.monotonic())
        try:
            _wait_until_answering(server)
            yield replace(server, ready_s=time.monotonic() - server.started)
        finally:
            process.terminate()
            process.wait(90)


def _wait_until_answering(server: Server, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.process.poll() is None:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    raise RuntimeError(f"gunicorn does not answer:\n{server.log.read_text()}")

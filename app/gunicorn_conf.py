"""How gunicorn serves the app: ``gunicorn --config app/gunicorn_conf.py 'app:create_app()'``, from the project's root.

Environment: ``GUNICORN_BIND`` (default ``127.0.0.1:8080``; a container sets ``0.0.0.0:8080``) and ``GUNICORN_THREADS``.
See https://docs.gunicorn.org/en/stable/settings.html.
"""

import contextlib
import json
import logging
import os
import socket
import time
from pathlib import Path
from typing import Any

from gunicorn import util
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

HEAD_SECONDS = 10.0
"""Time that a client has to send a request's head."""

BODY_SECONDS = 15.0
"""Time that it has to send the body, and one second more for each ``BODY_BYTES``."""

BODY_BYTES = 256 * 1024

PARTING_SECONDS = 1.0
"""Longest time without a word that a client has to hang up."""


class PatientWorker(ThreadWorker):
    """Gunicorn's threaded worker, which no slow client can keep from serving others, and which repeats no bad request.

    Gunicorn itself waits without end for the rest of a head or a body, and writes what it could not parse into its log.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._until: dict[TConn, float] = {}

    def handle(self, conn: TConn) -> Any:
        """Handle one request of a connection, in a thread of the pool."""
        self._until[conn] = time.monotonic() + HEAD_SECONDS
        try:
            kept = super().handle(conn)
        finally:
            self._until.pop(conn, None)
        if not kept:
            _part_from(conn.sock)
        return kept

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Handle a request whose head was read."""
        lengths = [value for name, value in req.headers if name == "CONTENT-LENGTH"]
        size = int(lengths[0]) if lengths and lengths[0].isdigit() else 64 * 2**20
        self._until[conn] = time.monotonic() + BODY_SECONDS + min(size, 256 * 2**20) / BODY_BYTES
        return super().handle_request(req, conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Look up each second: while it ends, gunicorn would sleep through the time of idle connections."""
        super().wait_for_and_dispatch_events(min(timeout, 1.0))

    def murder_pending(self) -> None:
        """Cut off what takes too long; the main loop calls this every second."""
        super().murder_pending()
        now = time.monotonic()
        for conn, until in list(self._until.items()):
            if now > until and self._until.pop(conn, None) is not None:
                # What still reads finds the end; an answer that is being made can still be written.
                with contextlib.suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer what is no HTTP that is understood here."""
        if not isinstance(exc, ParseException):
            self.log.error("a request failed outside the app: %s", type(exc).__name__)
            status, reason = 500, "Internal Server Error"
        elif isinstance(exc, LimitRequestHeaders):
            status, reason = 431, "Request Header Fields Too Large"
        elif isinstance(exc, LimitRequestLine):
            status, reason = 414, "URI Too Long"
        else:
            status, reason = 400, "Bad Request"
        self.log.info("refused before the app: %s", status)
        with contextlib.suppress(OSError):
            util.write_error(client, status, reason, "")


def _part_from(connection: socket.socket) -> None:
    """Wait until a client has read its answer and hangs up, for a moment: gunicorn would keep all others waiting for it."""
    end = time.monotonic() + PARTING_SECONDS
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (wait := end - time.monotonic()) > 0:
            connection.settimeout(wait)
            if not connection.recv(4096):
                break
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


class JsonLines(logging.Formatter):
    """One JSON object a line; what a record brings in ``fields`` stands beside its message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


bind = os.environ.get("GUNICORN_BIND") or "127.0.0.1:8080"

# One process holds one model; ONNX Runtime spreads each prediction over the cores. The model is loaded in the worker,
# since its threads would not survive the fork that follows a preload.
workers = 1
worker_class = PatientWorker
# More than the app lets in at a time (MAX_REQUESTS): those beyond are told so at once and wait in no queue.
threads = int(os.environ.get("GUNICORN_THREADS") or 48)
preload_app = False

timeout = 60
graceful_timeout = 30
keepalive = 5

# The worker's heartbeat is a file; on a disk that stalls, a healthy worker would be killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
# No second way in: the control socket would also want a writable home.
control_socket_disable = True

# The app logs each request itself: neither address, path, query nor referrer, which may hold a patient's name.
accesslog = None
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {
        "app": {"level": "INFO"},
        "gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
        "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
    },
}

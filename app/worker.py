"""Gunicorn's worker for this app: one process with threads, which no slow client can hold up."""

from __future__ import annotations

import contextlib
import ctypes
import json
import select
import selectors
import socket
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import body as gunicorn_body
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from app.clients import client_of
from app.log_lines import log_warnings_and_threads

HEAD_SECONDS = 10.0
"""Time that a client has to send a request's head."""

PATIENCE_SECONDS = 15.0
"""Time that it has to send a body or to read an answer, and one second more for each ``BYTES_PER_SECOND`` that went over."""

BYTES_PER_SECOND = 256 * 1024

PARTING_SECONDS, SILENT_SECONDS = 5.0, 1.0
"""Longest time to read on what a client still sends after its answer, in all and without a word."""

CLIENT_SHARE = 0.75
"""Of threads and of connections, what one client may take."""

_BLOCK = 65_536
"""Bytes read at a time."""

PARTINGS = 12
"""Threads that may read on at a time; clients beyond are cut off."""


class Exchange:
    """One request of a connection: until when a client may take its time, and what is shut after that.

    Attributes:
        until: by the monotonic clock; None while the client waits for us.
        shut: ``SHUT_RD``: what still reads finds the end, an answer can still be written; ``SHUT_RDWR``: nothing can.
        left: bytes of the body that were not read yet; None where its length is not known beforehand.
    """

    def __init__(self) -> None:
        self.until: float | None = time.monotonic() + HEAD_SECONDS
        self.shut = socket.SHUT_RD
        self.left: int | None = 0

    def wait_for_body(self, length: int | None) -> None:
        """The head is read, and names the body's length or that it comes in chunks."""
        self.left = length
        self.until = time.monotonic() + PATIENCE_SECONDS

    def receive(self, count: int, wanted: int) -> None:
        """So many bytes of the body came of those wanted."""
        self.left = (0 if count < wanted else None) if self.left is None else self.left - count
        if self.left == 0 or self.until is None:
            self.until = None
        else:
            self.until += count / BYTES_PER_SECOND

    def wait_for_reader(self, length: int) -> None:
        """An answer of so many bytes begins."""
        self.until, self.shut = time.monotonic() + PATIENCE_SECONDS + length / BYTES_PER_SECOND, socket.SHUT_RDWR


class Body:
    """``wsgi.input`` that tells an :class:`Exchange` what comes; one cut short is an error of reading, whatever its kind."""

    def __init__(self, stream: gunicorn_body.Body, exchange: Exchange) -> None:
        # Past gunicorn's own buffer, which copies up to 8 kB again for each 1,024 bytes.
        self._reader = stream.reader
        self._exchange = exchange

    def read(self, size: int = -1) -> bytes:
        """As of a file.

        Raises:
            OSError: the client sent less than it said, or broken chunks.
        """
        known = self._exchange.left
        wanted = size if known is None else known if size < 0 else min(size, known)
        try:
            content: bytes = self._reader.read(wanted) if wanted >= 0 else self._rest()
        except ParseException as error:
            raise OSError(type(error).__name__) from None
        if known is not None and len(content) < wanted:
            raise OSError("the body was cut short")
        self._exchange.receive(len(content), len(content) + 1 if wanted < 0 else wanted)
        return content

    def _rest(self) -> bytes:
        return b"".join(iter(partial(self._reader.read, _BLOCK), b""))


class Connection(TConn):
    """A connection that says when it is closed.

    Attributes:
        whose: the client.
    """

    def __init__(self, whose: str, closed: Callable[[Connection], None], *facts: Any) -> None:
        super().__init__(*facts)
        self.whose = whose
        self._closed = closed

    def init(self) -> None:
        """Make ready to read requests, and those with pictures in few pieces."""
        super().init()
        self.parser.unreader.mxchunk = _BLOCK

    def close(self, graceful: bool = False) -> None:
        """Close it."""
        self._closed(self)
        super().close(graceful)


class PatientWorker(ThreadWorker):
    """Gunicorn's threaded worker, which no slow client can keep from serving others, and which repeats no bad request.

    Gunicorn itself waits without end for the rest of a head or a body and for whoever does not read, and writes what it could
    not parse into its log.
    """

    wsgi: Callable[..., Iterable[bytes]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._exchanges: dict[TConn, Exchange] = {}
        # By client, and of the main loop alone: all that are open, how many have a thread, and those that wait for one.
        self._open: dict[str, set[Connection]] = {}
        self._threads_of: Counter[str] = Counter()
        self._waiting: dict[str, deque[Connection]] = {}
        # Of the connection that a thread of the pool is busy with.
        self._here = threading.local()
        self._partings = threading.Semaphore(PARTINGS)

    def init_process(self) -> None:
        """Make this process ready, before it loads the app."""
        _keep_memory_together()
        log_warnings_and_threads()
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the app, and watch what goes in and out of it."""
        super().load_wsgi()
        app = self.wsgi

        def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            exchange: Exchange = self._here.exchange
            environ["wsgi.input"] = Body(environ["wsgi.input"], exchange)

            def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                lengths = [value for name, value in headers if name.lower() == "content-length"]
                exchange.wait_for_reader(int(lengths[0]) if lengths else 0)
                return start_response(status, headers, *more)

            return app(environ, start)

        self.wsgi = watched

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, which takes a thread only once it says something."""
        try:
            connection, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        whose = client_of(address[0] if address else None)
        own = self._open.setdefault(whose, set())
        if len(own) >= CLIENT_SHARE * self.worker_connections:
            connection.close()
            return
        self.nr_conns += 1
        conn = Connection(whose, self._forget, self.cfg, connection, address, listener.getsockname())
        own.add(conn)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _forget(self, conn: Connection) -> None:
        own = self._open.get(conn.whose, set())
        own.discard(conn)
        if not own:
            self._open.pop(conn.whose, None)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or cease to accept connections; at the end those that wait are accepted, and further ones refused at once."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                while select.select([listener], [], [], 0.0)[0]:
                    self.accept(listener)
                listener.close()

    def enqueue_req(self, conn: Connection) -> None:
        """Give a connection a thread, or let it wait where its client has its share of them."""
        if self._threads_of[conn.whose] >= CLIENT_SHARE * self.cfg.threads:
            self._waiting.setdefault(conn.whose, deque()).append(conn)
        else:
            self._threads_of[conn.whose] += 1
            super().enqueue_req(conn)

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """Take the thread back; the main loop calls this."""
        self._threads_of[conn.whose] -= 1
        if waiting := self._waiting.get(conn.whose):
            self.enqueue_req(waiting.popleft())
        if not waiting:
            self._waiting.pop(conn.whose, None)
        self._threads_of += Counter()  # Without those that have none.
        super().finish_request(conn, fs)

    def handle(self, conn: TConn) -> Any:
        """Handle one request of a connection, in a thread of the pool."""
        self._here.exchange = self._exchanges[conn] = Exchange()
        try:
            kept = super().handle(conn)
        finally:
            del self._exchanges[conn]
        if not kept:
            self._part_from(conn.sock)
        return kept

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Handle a request whose head was read; the connection is kept if the body was read, too."""
        headers = dict(req.headers)
        length = headers.get("CONTENT-LENGTH", "0")
        exchange: Exchange = self._here.exchange
        exchange.wait_for_body(None if "TRANSFER-ENCODING" in headers else int(length))
        return super().handle_request(req, conn) and exchange.left == 0

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Look up each second: while it ends, gunicorn would sleep through the time of idle connections."""
        super().wait_for_and_dispatch_events(min(timeout, 1.0))

    def murder_pending(self) -> None:
        """Cut off what takes too long; the main loop calls this every second."""
        if not self.alive:
            # While it ends, nobody waits for connections that are idle, as any browser leaves them; a request that is on
            # its way over a new one has a moment to come.
            for idle in self.keepalived_conns:
                idle.timeout = 0.0
            for silent in self.pending_conns:
                silent.timeout = min(silent.timeout, time.monotonic() + SILENT_SECONDS)
            super().murder_keepalived()
        super().murder_pending()
        now = time.monotonic()
        for conn, exchange in list(self._exchanges.items()):
            if exchange.until is not None and now > exchange.until:
                exchange.until = None
                with contextlib.suppress(OSError):
                    conn.sock.shutdown(exchange.shut)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer what is no HTTP that is understood here."""
        # Here, where it is loaded: the process that only watches over this one never needs the app.
        from app.security import HEADERS

        if not isinstance(exc, ParseException):
            self.log.error("a request failed outside the app: %s", type(exc).__name__)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        elif isinstance(exc, LimitRequestHeaders):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        elif isinstance(exc, LimitRequestLine):
            status = HTTPStatus.REQUEST_URI_TOO_LONG
        else:
            status = HTTPStatus.BAD_REQUEST
        request_id = uuid.uuid4().hex
        self.log.info("refused before the app", extra={"fields": {"request_id": request_id, "status": status.value}})
        problem = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": status.description}
        body = json.dumps(problem).encode()
        headers = {
            **HEADERS,
            "Cache-Control": "no-store",
            "Connection": "close",
            "Content-Length": str(len(body)),
            "Content-Type": "application/problem+json",
            "X-Request-ID": request_id,
        }
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        with contextlib.suppress(OSError):
            util.write_nonblock(client, "\r\n".join([*lines, "", ""]).encode("ascii") + body)

    def _part_from(self, connection: socket.socket) -> None:
        """Read on what a client still sends, so that it gets to its answer; gunicorn would keep all others waiting for it."""
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            if self._partings.acquire(blocking=False):
                try:
                    _read_on(connection)
                finally:
                    self._partings.release()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)


def _read_on(connection: socket.socket) -> None:
    end = time.monotonic() + PARTING_SECONDS
    while (wait := end - time.monotonic()) > 0:
        connection.settimeout(min(wait, SILENT_SECONDS))
        if not connection.recv(_BLOCK):
            break


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of glibc's ``mallopt``."""


def _keep_memory_together() -> None:
    """Ask glibc, where it is the allocator, for few arenas that give back what is free.

    It would make one for each thread, up to eight a core, and each would keep the pieces of the largest picture it had seen.
    Eight mebibytes at the end of each stay, all that a usual slice takes: else it would be given back and asked for again with
    every slice, page by page. Told here, it holds however the server was started.
    See https://man7.org/linux/man-pages/man3/mallopt.3.html.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_ARENA_MAX, 2), (_MMAP_THRESHOLD, 2**20), (_TRIM_THRESHOLD, 2**23)):
            mallopt(parameter, value)

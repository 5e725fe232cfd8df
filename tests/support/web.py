"""A folder served over verified TLS on loopback."""

from __future__ import annotations

import contextlib
import functools
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme


@dataclass
class Site:
    """A served folder.

    Attributes:
        url: address, without a slash at its end.
        authority: PEM file of the authority that vouches for it.
        requests: paths asked for, with their queries.
        failures: how many of the next requests are cut in the middle of the body.
        status: answer everything with this status instead.
        silent: answer nothing.
    """

    url: str
    authority: Path
    requests: list[str] = field(default_factory=list)
    failures: int = 0
    status: int | None = None
    silent: bool = False
    over: threading.Event = field(default_factory=threading.Event)


class _Handler(SimpleHTTPRequestHandler):
    site: Site

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.site.requests.append(self.path)
        if self.site.silent:
            self.site.over.wait(20)
        elif self.site.status is not None:
            self.send_error(self.site.status)
        elif self.site.failures:
            self.site.failures -= 1
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"PK\x03\x04 and no more")
        else:
            with contextlib.suppress(OSError):
                super().do_GET()


@contextlib.contextmanager
def serve_folder(folder: Path, authority: Path) -> Iterator[Site]:
    """Serve ``folder`` at ``https://localhost``; ``authority`` takes the certificate to trust."""
    maker = trustme.CA()
    maker.cert_pem.write_to_path(str(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    maker.issue_cert("localhost").configure_cert(context)
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    handler.site = site = Site(f"https://localhost:{server.server_address[1]}", authority)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.over.set()
        server.shutdown()
        server.server_close()
        thread.join()

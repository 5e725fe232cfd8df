"""Google Drive on loopback, for an unmodified gdown over verified TLS.

A CONNECT proxy that ends TLS itself, with a certificate for Google's hosts from an authority made for the test. It never
dials out: other hosts are refused. It knows what Drive does with a shared file: a redirect to the download host, for a
large file a page that asks for confirmation and sets a cookie, and pages for what cannot be had.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

HOSTS = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com", "accounts.google.com")
ETAG = '"first-version"'

CONFIRM = (
    '<html><body><form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    '<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">'
    '<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="a-secret-token">'
    "</form></body></html>"
)
QUOTA = (
    '<html><body><p class="uc-error-caption">Sorry, you can\'t view or download this file at this time.</p>'
    '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently. Please try accessing '
    "the file again later. It may take up to 24 hours to be able to view or download the file.</p></body></html>"
)


@dataclass
class Seen:
    """One request for the file's bytes."""

    offset: int
    range: str | None
    cookie: str | None
    sent: int = 0


@dataclass
class Drive:
    """What is shared, and how Drive behaves about it.

    Attributes:
        content: the shared file.
        manner: ``direct``, ``confirm``, ``quota``, ``private``, ``forbidden``, ``missing``, ``busy``, ``silent``,
            ``endless`` (a page that confirms for ever), ``broken``.
        cuts: offsets at which a transfer breaks off, one for each of the first transfers.
        hold: after a cut, keep the connection open in silence.
        ranges: whether a Range is honoured.
    """

    content: bytes = b""
    manner: str = "confirm"
    cuts: list[int] = field(default_factory=list)
    hold: bool = False
    ranges: bool = True
    requests: list[str] = field(default_factory=list)
    transfers: list[Seen] = field(default_factory=list)
    refused_hosts: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    address: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    drive: Drive
    context: ssl.SSLContext
    host = ""

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        if self.host not in HOSTS:
            self.drive.refused_hosts.append(self.host)
            self.send_error(502)
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            self.connection = self.request = self.context.wrap_socket(self.connection, server_side=True)
        except (ssl.SSLError, OSError):
            self.close_connection = True
            return
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        # http.client says HTTP/1.0 here, which means one request for a connection; the tunnel is to stay.
        self.close_connection = False

    def do_GET(self) -> None:
        self.drive.requests.append(f"{self.host}{self.path}")
        with contextlib.suppress(OSError):
            self._answer(parse_qs(urlsplit(self.path).query))

    def finish(self) -> None:
        for stream in (self.wfile, self.rfile, self.connection):
            with contextlib.suppress(OSError):
                stream.close()

    def _page(self, text: str, status: int = 200, **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, query: dict[str, list[str]]) -> None:
        manner, file_id = self.drive.manner, query.get("id", [""])[0]
        if self.host == "accounts.google.com":
            self._page("<html><title>Sign in - Google Accounts</title></html>")
        elif manner == "quota":
            self._page(QUOTA)
        elif manner == "private":
            self._page("", 302, Location="https://accounts.google.com/ServiceLogin?continue=elsewhere")
        elif manner in ("forbidden", "missing", "busy", "broken"):
            status = {"forbidden": 403, "missing": 404, "busy": 429, "broken": 503}[manner]
            self._page(f"<html><title>Error {status}</title></html>", status)
        elif manner == "silent":
            self.drive.over.wait(20)
            self.close_connection = True
        elif self.host == "drive.google.com":
            where = f"https://drive.usercontent.google.com/download?id={file_id}&export=download"
            self._page("", 303, Location=where, Set_Cookie="NID=from-drive; Domain=.google.com; Path=/; Secure")
        elif manner == "endless" or (manner == "confirm" and "confirm" not in query):
            self._page(CONFIRM.format(id=file_id))
        else:
            self._send_file()

    def _send_file(self) -> None:
        drive = self.drive
        asked = self.headers.get("Range")
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        fresh = self.headers.get("If-Range") in (None, ETAG)
        offset = int(match[1]) if match and drive.ranges and fresh else 0
        seen = Seen(offset, asked, self.headers.get("Cookie"))
        drive.transfers.append(seen)
        end = drive.cuts.pop(0) if drive.cuts else len(drive.content)
        self.send_response(206 if offset else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Disposition", 'attachment; filename="shared.zip"')
        self.send_header("Content-Length", str(len(drive.content) - offset))
        self.send_header("ETag", ETAG)
        if offset:
            self.send_header("Content-Range", f"bytes {offset}-{len(drive.content) - 1}/{len(drive.content)}")
        self.end_headers()
        self.wfile.write(drive.content[offset:end])
        seen.sent = end - offset
        if end < len(drive.content):
            if drive.hold:
                drive.over.wait(20)
            self.close_connection = True


@contextlib.contextmanager
def serve_drive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    """Serve a :class:`Drive` and point this process's environment to it; ``folder`` takes certificate and home."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    drive = Drive()
    handler = type("Handler", (_Handler,), {"drive": drive, "context": context})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    drive.address = f"http://127.0.0.1:{server.server_address[1]}"
    for name in ("https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", drive.address)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "authority.pem"))
    monkeypatch.setenv("HOME", str(folder / "home"))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield drive
    finally:
        drive.over.set()
        server.shutdown()
        server.server_close()
        thread.join()

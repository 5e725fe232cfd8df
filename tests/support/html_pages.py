"""Pages taken apart, and the browser that shows them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = ("background-networking", "component-update", "sync", "default-apps", "quic", "gpu")
_ARGUMENTS = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in _QUIET)]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium; skips the test where there is none, and fails it where ``BROWSER_TESTS`` is ``required``."""
    executable = next(filter(None, map(shutil.which, _NAMES)), None)
    if executable is None:
        lacking = f"no browser: none of {', '.join(_NAMES)} is on PATH (Debian: chromium)"
        if os.environ.get("BROWSER_TESTS") == "required":
            pytest.fail(lacking)
        pytest.skip(lacking)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield running
        running.close()


class Page(HTMLParser):
    """Tags, pictures and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)

"""What the tests in a browser share: files to choose, a door before the API, screenshots, and axe."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flask import Response, request
from playwright.sync_api import Locator, Page

from tests.support.page_model import GREYS, chest

WIDTHS = (390, 820, 1440)
"""A phone, a tablet upright, a desk."""

MIXED = {
    "suspected.png": chest(GREYS["suspected"]),
    "uncertain.png": chest(GREYS["uncertain"]),
    "clear.png": chest(GREYS["clear"]),
    "refused.png": chest(220, lopsided=True),
    "=HYPERLINK(cut).png": chest(200)[:700],
}
"""A file for each answer, and one that cannot be read."""


@dataclass
class Door:
    """Stands before the API: while it is shut, lets ``passes`` requests through and keeps the others waiting.

    The next ones are turned away as ``refusals`` tell.
    """

    open: threading.Event = field(default_factory=threading.Event)
    passes: int = 0
    refusals: list[Response] = field(default_factory=list)

    def __call__(self) -> Response | None:
        if request.endpoint != "api.predictions":
            return None
        if self.refusals:
            return self.refusals.pop(0)
        if self.passes:
            self.passes -= 1
            return None
        assert self.open.wait(30)
        return None

    def shut(self, passes: int = 0) -> None:
        self.passes = passes
        self.open.clear()


def refusal(status: int, detail: str, **headers: str) -> Response:
    """A problem+json of the API."""
    body = f'{{"type": "about:blank", "title": "x", "status": {status}, "detail": "{detail}"}}'
    return Response(body, status, headers, content_type="application/problem+json")


def choose(page: Page, files: dict[str, bytes]) -> None:
    """Pick files, by name and content."""
    buffers = [{"name": name, "mimeType": "", "buffer": content} for name, content in files.items()]
    page.get_by_label("Slices, as PNG, JPEG, DICOM or zip").set_input_files(buffers)


def headline(page: Page) -> Locator:
    """The answer in words."""
    return page.locator("#results .headline")


def keep(page: Page, artifacts: Path, state: str) -> None:
    """Screenshots at every width in both themes; none may scroll sideways, and axe may find nothing in either theme."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert_fits(page, f"{state} at {width}")
            page.screenshot(path=artifacts / f"page-{state}-{width}-{theme}.png", full_page=True)
            inspect(page, f"{state} at {width}, {theme}")
    page.emulate_media(color_scheme="light")


def assert_fits(page: Page, state: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{state} scrolls sideways"


def inspect(page: Page, state: str) -> None:
    """Ask axe."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page)
    report = [
        f"{fault['id']}: {node['html'][:200]} {[check['message'] for check in node['any'] + node['all'] + node['none']]}"
        for fault in found.response["violations"]
        for node in fault["nodes"]
    ]
    assert report == [], f"axe on {state}"

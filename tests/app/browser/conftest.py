"""The page in real headless Chromium. Screenshots stay in ``test-artifacts/``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from lung_tumor.settings import PROJECT
from tests.support.browsing import Door
from tests.support.html_pages import chromium
from tests.support.page_model import page_app, served


@pytest.fixture(scope="module")
def door() -> Door:
    return Door()


@pytest.fixture(scope="module")
def site(door: Door) -> Iterator[str]:
    """Where a synthetic model of two classes is served, behind the door."""
    app = page_app()
    app.before_request(door)
    with served(app) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def artifacts() -> Path:
    folder = PROJECT / "test-artifacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def context(browser: Browser, door: Door) -> Iterator[BrowserContext]:
    """Fails the test on any console message, script error or request to another host."""
    door.open.set()
    door.refusals.clear()
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    complaints: list[str] = []
    own = ("http://127.0.0.1:", "data:", "blob:")
    context.on("console", lambda message: complaints.append(message.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("request", lambda sent: None if sent.url.startswith(own) else complaints.append(sent.url))
    yield context
    door.open.set()
    context.close()
    # Chromium itself reports every answer of 400 and above on the console.
    assert [words for words in complaints if "Failed to load resource" not in words] == []


@pytest.fixture
def page(context: BrowserContext, site: str) -> Page:
    page = context.new_page()
    page.goto(site)
    return page

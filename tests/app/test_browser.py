"""The page in real headless Chromium, served by the real gunicorn. Screenshots stay in ``test-artifacts/``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from lung_tumor.settings import PROJECT
from tests.support.html_pages import chromium

pytestmark = pytest.mark.browser

WIDTHS = (390, 820, 1280)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, server) -> Iterator[Page]:
    """A page that fails the test on any console message, script error or request to another host."""
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith((server.url, "data:")) else complaints.append(sent.url))
    yield page
    context.close()
    # Chromium itself reports every answer of 400 and above on the console.
    assert [words for words in complaints if "Failed to load resource" not in words] == []


@pytest.fixture(scope="module")
def artifacts() -> Path:
    folder = PROJECT / "test-artifacts"
    folder.mkdir(exist_ok=True)
    return folder


def upload(page: Page, content: bytes, name: str = "slice.png") -> None:
    page.get_by_label("Slice, as PNG, JPEG or DICOM").set_input_files({"name": name, "mimeType": "", "buffer": content})
    page.get_by_role("button", name="Classify slice").click()
    page.wait_for_load_state()


def keep(page: Page, artifacts: Path, state: str) -> None:
    """Screenshots at every width in both themes; none may scroll sideways."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{state} scrolls at {width}"
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.screenshot(path=artifacts / f"page-{state}-{width}-{theme}.png", full_page=True)


def test_a_slice_is_uploaded_and_its_answer_read(page, bright, artifacts):
    page.goto("/")
    keep(page, artifacts, "empty")
    upload(page, bright)
    expect(page.get_by_role("heading", level=1)).to_contain_text("adenocarcinoma")
    expect(page).to_have_title(re.compile(r"^adenocarcinoma, [5-9]\d\.\d% · Chest-CT slice classifier$"))
    picture = page.get_by_role("img", name="The uploaded slice after preparation.")
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 224
    keep(page, artifacts, "result")


def test_a_second_slice_is_sent_from_the_first_ones_answer(page, bright, dark):
    page.goto("/")
    upload(page, bright)
    upload(page, dark)
    expect(page.get_by_role("heading", level=1)).to_contain_text("normal")


def test_the_page_says_that_the_model_is_synthetic_and_no_medical_device(page):
    page.goto("/")
    expect(page.get_by_text("This model learnt from synthetic slices.")).to_be_visible()
    expect(page.get_by_text("Research use only. Not a medical device.")).to_be_visible()


def test_a_file_that_cannot_be_read_is_explained(page, bright, artifacts):
    page.goto("/")
    upload(page, bright[: len(bright) // 2])
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("This picture cannot be used")
    expect(alert).to_contain_text("Export the whole slice again")
    keep(page, artifacts, "error")
    upload(page, bright)
    expect(page.get_by_role("heading", level=1)).to_contain_text("adenocarcinoma")


def test_a_text_file_named_png_is_explained(page):
    page.goto("/")
    upload(page, b"text")
    expect(page.get_by_role("alert")).to_contain_text("This file type is not read")


def test_a_file_above_the_limit_is_refused_before_it_is_sent(page, tmp_path):
    (tmp_path / "slice.png").write_bytes(bytes(17 * 2**20))
    page.goto("/")
    page.get_by_label("Slice, as PNG, JPEG or DICOM").set_input_files(tmp_path / "slice.png")
    expect(page.get_by_role("status")).to_contain_text("17.0 MiB; at most 16 MiB")
    page.get_by_role("button", name="Classify slice").click()
    expect(page.get_by_role("button", name="Classify slice")).to_be_enabled()


def test_a_dropped_slice_is_taken(page, bright):
    page.goto("/")
    page.evaluate(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "slice.png", {type: "image/png"}));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        list(bright),
    )
    page.get_by_role("button", name="Classify slice").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("adenocarcinoma")


def test_the_keyboard_alone_reaches_the_button(page, bright):
    page.goto("/")
    page.get_by_label("Slice, as PNG, JPEG or DICOM").set_input_files(
        {"name": "slice.png", "mimeType": "image/png", "buffer": bright}
    )
    page.get_by_label("Slice, as PNG, JPEG or DICOM").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("adenocarcinoma")


def test_the_dark_theme_follows_the_system(page):
    page.goto("/")
    grounds = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    light, dark = (int(ground.removeprefix("rgb(").split(",")[0]) for ground in grounds)
    assert light > 230
    assert dark < 40


def test_it_works_without_javascript(browser, server, bright, tmp_path):
    context = browser.new_context(base_url=server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    upload(page, bright)
    expect(page.get_by_role("heading", level=1)).to_contain_text("adenocarcinoma")
    # Above the limit, the server's own words must reach the browser.
    (tmp_path / "slice.png").write_bytes(bright + bytes(17 * 2**20))
    page.get_by_label("Slice, as PNG, JPEG or DICOM").set_input_files(tmp_path / "slice.png")
    page.get_by_role("button", name="Classify slice").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("The upload is too large")
    context.close()


def test_without_a_model_the_page_says_how_to_train_one(browser, serve, project, artifacts):
    with serve(project) as server:
        page = browser.new_page(base_url=server.url)
        answer = page.goto("/")
        assert answer.status == 503
        expect(page.get_by_role("heading", level=1)).to_have_text("There is no model yet")
        expect(page.get_by_text("make run")).to_be_visible()
        assert page.locator("code").first.text_content() == "make run"
        keep(page, artifacts, "no-model")
        page.close()


def test_four_classes_with_long_names_fit(browser, serve, project, make_model, bright, artifacts):
    classes = ("adenocarcinoma", "large_cell_neuroendocrine_carcinoma", "squamous_cell_carcinoma", "normal")
    file = project / "data" / "06_models" / "classifier.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(make_model(classes, synthetic=False, source="an archive of chest CT", slices=12_345))
    with serve(project) as server:
        page = browser.new_page(base_url=server.url)
        page.goto("/")
        upload(page, bright)
        expect(page.locator(".bar")).to_have_count(4)
        expect(page.get_by_text("synthetic")).to_have_count(0)
        keep(page, artifacts, "four-classes")
        page.close()

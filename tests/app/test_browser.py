"""The page in real headless Chromium, in every state: what it does, how it looks, and that axe finds nothing.

Screenshots stay in ``test-artifacts/``.
"""

from __future__ import annotations

import csv
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flask import Response, request
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app import create_app
from lung_tumor.predictor import Predictor
from lung_tumor.settings import PROJECT
from tests.support.html_pages import chromium
from tests.support.page_model import GREYS, METRICS, chest, page_app, page_model, series, served

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

pytestmark = pytest.mark.browser

WIDTHS = (390, 820, 1280)
THREE = ("adenocarcinoma", "large_cell_neuroendocrine_carcinoma", "normal")
WARNINGS = (
    "normal: 13 independent pictures behind 148 files. That is fewer than 30: any figure about this class is a rough guess.",
    "143 of 343 usable files (42 %) are copies of another. They stay on one side of the split and count once.",
)
MIXED = {
    "suspected.png": chest(GREYS["suspected"]),
    "uncertain.png": chest(GREYS["uncertain"]),
    "clear.png": chest(GREYS["clear"]),
    "refused.png": chest(220, lopsided=True),
    "=HYPERLINK(cut).png": chest(200)[:700],
}
BREATH = [90, 100, 120, 150, 172, 200, 215, 190, 160, 120, 95]
"""Greys along a series: a mass in the middle."""


@dataclass
class Door:
    """Stands before the API: keeps requests waiting while it is shut, and turns the next ones away as told."""

    open: threading.Event = field(default_factory=threading.Event)
    refusals: list[Response] = field(default_factory=list)

    def __call__(self) -> Response | None:
        if request.endpoint != "api.predictions":
            return None
        if self.refusals:
            return self.refusals.pop(0)
        assert self.open.wait(30)
        return None


def refusal(status: int, detail: str, **headers: str) -> Response:
    body = f'{{"type": "about:blank", "title": "x", "status": {status}, "detail": "{detail}"}}'
    return Response(body, status, headers, content_type="application/problem+json")


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
def site_of_three() -> Iterator[str]:
    app = page_app(
        THREE, synthetic=False, source="an archive of chest CT", slices=12_345, warnings=WARNINGS, metrics=METRICS
    )
    with served(app) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def artifacts() -> Path:
    folder = PROJECT / "test-artifacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def context(browser: Browser, door: Door) -> Iterator[BrowserContext]:
    """Fails the test on any console message, script error or request to another host."""
    door.open.set()
    door.refusals.clear()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
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


def choose(page: Page, files: dict[str, bytes]) -> None:
    buffers = [{"name": name, "mimeType": "", "buffer": content} for name, content in files.items()]
    page.get_by_label("Slices, as PNG, JPEG, DICOM or zip").set_input_files(buffers)


def dispatch(page: Page, kind: str, name: str, content: bytes) -> None:
    """A drop or a paste of one file, as a browser tells a page of it."""
    page.evaluate(
        """([kind, name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
            const [Event, key] = kind === "paste" ? [ClipboardEvent, "clipboardData"] : [DragEvent, "dataTransfer"];
            document.body.dispatchEvent(new Event(kind, {[key]: transfer, bubbles: true, cancelable: true}));
        }""",
        [kind, name, list(content)],
    )


def headline(page: Page):
    return page.locator("#results .headline")


def keep(page: Page, artifacts: Path, state: str) -> None:
    """Screenshots at every width in both themes; none may scroll sideways, and axe may find nothing in either theme."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{state} scrolls at {width}"
            page.screenshot(path=artifacts / f"page-{state}-{width}-{theme}.png", full_page=True)
        inspect(page, f"{state}, {theme}")
    page.emulate_media(color_scheme="light")


def inspect(page: Page, state: str) -> None:
    found = axe.Axe().run(page)
    report = [
        f"{fault['id']}: {node['html'][:200]} {[check['message'] for check in node['any'] + node['all'] + node['none']]}"
        for fault in found.response["violations"]
        for node in fault["nodes"]
    ]
    assert report == [], f"axe on {state}"


# Each state


def test_the_empty_page_asks_for_slices_and_says_what_it_is(page, artifacts):
    expect(page.get_by_role("heading", level=1)).to_have_text("Judge chest-CT slices")
    expect(page.get_by_text("This model learnt from synthetic slices.")).to_be_visible()
    expect(page.get_by_text("Research use only. Not a medical device.")).to_be_visible()
    expect(page.get_by_role("button", name="Judge", exact=True)).to_be_hidden()
    keep(page, artifacts, "empty")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("suspected", "adenocarcinoma suspected"),
        ("uncertain", "uncertain: refer"),
        ("clear", "no sign of adenocarcinoma"),
        ("refused", "not a chest CT slice I can judge: refused"),
    ],
)
def test_each_answer_is_shown_told_and_focused(page, artifacts, answer, words):
    choose(page, {f"{answer}.png": MIXED[f"{answer}.png"]})
    expect(headline(page)).to_have_text(words)
    expect(page.locator("#said")).to_have_text(words)
    expect(headline(page).locator("span")).to_be_focused()
    expect(page).to_have_title(f"{words} · Chest-CT slice classifier")
    picture = page.get_by_role("img", name="The slice as the model saw it.")
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 224
    gauge = page.get_by_role("img", name=re.compile("^Suspicion .* on a scale from 0 to 100%; operating point 40.0%"))
    expect(gauge).to_have_count(0 if answer == "refused" else 1)
    expect(page.get_by_role("img", name=re.compile(r"^Distance .*; slices are refused above 0\.100\."))).to_be_visible()
    expect(page.get_by_text("Model 0.1.0, float32, 2026-11-23")).to_be_visible()
    keep(page, artifacts, answer)


def test_the_slider_fades_the_evidence_by_keyboard_and_keeps_its_place(page):
    choose(page, {"a.png": MIXED["suspected.png"]})
    slider = page.get_by_role("slider", name="Evidence")
    overlay = page.locator(".overlay")
    before = float(overlay.evaluate("image => getComputedStyle(image).opacity"))
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert float(overlay.evaluate("image => getComputedStyle(image).opacity")) < before
    page.keyboard.press("Home")
    assert overlay.evaluate("image => getComputedStyle(image).opacity") == "0"
    choose(page, {"b.png": MIXED["clear.png"]})
    expect(headline(page)).to_contain_text("no sign")
    expect(slider).to_have_value("0")


def test_the_marks_lie_where_the_figures_say(page):
    choose(page, {"a.png": MIXED["uncertain.png"]})
    share = float(page.locator("[data-slot=suspicion]").inner_text().rstrip("%"))
    scale = page.locator("[data-slot=gauge] .scale")
    assert float(scale.locator(".marker").get_attribute("cx").rstrip("%")) == pytest.approx(share, abs=0.06)
    box, track = scale.locator(".point").bounding_box(), scale.locator(".track").bounding_box()
    assert (box["x"] + box["width"] / 2 - track["x"]) / track["width"] == pytest.approx(0.4, abs=0.01)
    band = scale.locator(".band").bounding_box()
    assert (band["x"] - track["x"]) / track["width"] == pytest.approx(0.3, abs=0.01)
    assert band["width"] / track["width"] == pytest.approx(0.2, abs=0.01)


def test_a_file_that_cannot_be_read_is_explained(page, artifacts):
    choose(page, {"half.png": chest(200)[:700]})
    expect(headline(page)).to_have_text("This picture cannot be used")
    expect(page.locator("#results")).to_contain_text("Export the whole slice again")
    keep(page, artifacts, "file-error")
    choose(page, {"note.txt": b"text"})
    expect(headline(page)).to_have_text("This file type is not read")


def test_the_page_says_what_it_sends_and_can_be_cancelled(page, door, context, artifacts):
    door.open.clear()
    link = context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 20_000}
    link.send("Network.emulateNetworkConditions", slow)
    choose(page, {f"{index}.png": MIXED["clear.png"] + bytes(100_000) for index in range(6)})
    expect(page.locator("#doing")).to_have_text("Uploading 1 to 4 of 6 …")
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    keep(page, artifacts, "uploading")
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_contain_text("Cancelled")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_the_page_says_when_it_computes_and_goes_on_where_it_was_cancelled(page, door, artifacts):
    choose(page, {f"{index}.png": MIXED["clear.png"] for index in range(4)})
    expect(page.locator("#batch-title")).to_be_focused()
    door.open.clear()
    choose(page, {f"{index}.png": MIXED["clear.png"] for index in range(6)})
    expect(page.locator("#doing")).to_have_text("Computing 1 to 4 of 6 …")
    keep(page, artifacts, "computing")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Try again").click()
    door.open.set()
    expect(page.locator("#said")).to_contain_text("6 slices judged: 6 no sign.")


def test_a_request_that_fails_is_explained_and_goes_on_with_the_rest(page, door, artifacts):
    files = {f"{index}.png": MIXED["clear.png"] for index in range(6)}
    seen: list[str] = []

    def fail_the_second(route) -> None:
        seen.append(route.request.url)
        if len(seen) == 2:
            route.fulfill(status=500, content_type="application/problem+json", body='{"detail": "The server failed."}')
        else:
            route.continue_()

    page.route("**/api/v1/predictions*", fail_the_second)
    choose(page, files)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server failed")
    keep(page, artifacts, "request-error")
    page.get_by_role("button", name="Go on with the other 2").click()
    expect(page.locator("#said")).to_contain_text("6 slices judged: 6 no sign.")
    expect(alert).to_be_hidden()


def test_a_server_out_of_reach_is_named_and_asked_again(page):
    page.route("**/api/v1/predictions*", lambda route: route.abort())
    choose(page, {"a.png": MIXED["clear.png"]})
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    page.unroute("**/api/v1/predictions*")
    page.get_by_role("button", name="Try again").click()
    expect(headline(page)).to_contain_text("no sign")


def test_a_busy_server_is_asked_again_when_it_says_so(page, door):
    door.refusals += [refusal(503, "busy", **{"Retry-After": "1"}), refusal(429, "slower", **{"Retry-After": "1"})]
    choose(page, {"a.png": MIXED["clear.png"]})
    expect(page.locator("#doing")).to_contain_text("asking again in 1 s")
    expect(headline(page)).to_contain_text("no sign")


def test_where_the_api_wants_a_token_it_is_asked_for(context, artifacts):
    with served(create_app(Predictor(page_model(), threads=1), {"TOKEN": "open sesame"})) as site:
        page = context.new_page()
        page.goto(site)
        choose(page, {"a.png": MIXED["clear.png"]})
        expect(page.get_by_role("alert")).to_contain_text("This server wants a token")
        keep(page, artifacts, "token")
        page.get_by_label("Access token").fill("open sesame")
        page.keyboard.press("Enter")
        expect(headline(page)).to_contain_text("no sign")


def test_a_file_above_the_limit_is_refused_before_it_is_sent(context):
    app = create_app(Predictor(page_model(), threads=1), {"MAX_CONTENT_LENGTH": 2**20})
    with served(app) as site:
        page = context.new_page()
        page.goto(site)
        choose(page, {"large.png": MIXED["clear.png"] + bytes(2**20), "small.png": MIXED["clear.png"]})
        expect(page.locator("#said")).to_contain_text("2 slices judged: 1 no sign, 1 not read.")
        page.get_by_role("button", name="large.png").click()
        expect(page.locator("#results")).to_contain_text("1.0 MiB; at most 1 MiB can be sent")


def test_three_classes_with_long_names_fit(context, site_of_three, artifacts):
    page = context.new_page()
    page.goto(site_of_three)
    expect(page.get_by_text("13 independent pictures")).to_be_visible()
    expect(page.get_by_text("synthetic slices.")).to_have_count(0)
    choose(page, {"a.png": MIXED["suspected.png"]})
    expect(page.locator(".scores > div")).to_have_count(3)
    expect(page.locator(".scores dt").first).to_have_text("adenocarcinoma")
    keep(page, artifacts, "three-classes")
    page.goto(f"{site_of_three}/about")
    expect(page.get_by_role("heading", name="Data card")).to_be_visible()
    keep(page, artifacts, "about")


def test_without_a_model_the_page_says_how_to_train_one(context, project, artifacts):
    with served(create_app(config={"PROJECT": project})) as site:
        page = context.new_page()
        assert page.goto(site).status == 503
        expect(page.get_by_role("heading", level=1)).to_have_text("There is no model yet")
        assert page.locator("code").first.text_content() == "make run"
        keep(page, artifacts, "no-model")


# Several slices


def test_a_batch_has_a_table_that_sorts_and_filters(page, artifacts):
    choose(page, MIXED)
    expect(page.locator("#said")).to_contain_text(
        "5 slices judged: 1 suspected, 1 uncertain, 1 no sign, 1 refused, 1 not read."
    )
    expect(headline(page)).to_have_text("adenocarcinoma suspected")
    keep(page, artifacts, "batch")
    names = page.locator("#table tbody th")
    column = page.get_by_role("columnheader", name="Suspicion")
    column.get_by_role("button").click()
    expect(column).to_have_attribute("aria-sort", "descending")
    assert names.all_inner_texts()[:3] == ["suspected.png", "uncertain.png", "clear.png"]
    column.get_by_role("button").click()
    expect(column).to_have_attribute("aria-sort", "ascending")
    assert names.all_inner_texts()[:3] == ["clear.png", "uncertain.png", "suspected.png"]
    page.get_by_label("Answer", exact=True).select_option("refused")
    expect(names).to_have_text(["refused.png"])
    page.get_by_label("Answer", exact=True).select_option("")
    page.get_by_label("File name holds").fill("UNCER")
    expect(names).to_have_text(["uncertain.png"])
    page.get_by_label("File name holds").fill("nothing like it")
    expect(page.get_by_text("No slice fits the filter.")).to_be_visible()


def test_a_row_and_a_thumbnail_show_their_slice(page):
    choose(page, MIXED)
    page.get_by_role("button", name="=HYPERLINK(cut).png").click()
    expect(headline(page)).to_have_text("This picture cannot be used")
    strip = page.get_by_role("listbox", name="Most suspicious first")
    assert [
        re.match(r"\w+", label)[0]
        for label in strip.get_by_role("option").evaluate_all(
            "options => options.map(option => option.getAttribute('aria-label'))"
        )
    ] == ["suspected", "uncertain", "clear", "refused"]
    strip.get_by_role("option").nth(1).click()
    expect(headline(page)).to_have_text("uncertain: refer")
    page.keyboard.press("ArrowRight")
    expect(headline(page)).to_contain_text("no sign")
    expect(strip.get_by_role("option", selected=True)).to_be_focused()
    page.keyboard.press("Home")
    expect(headline(page)).to_have_text("adenocarcinoma suspected")


def test_the_csv_holds_every_answer_and_no_formula(page):
    choose(page, MIXED)
    expect(page.locator("#batch-title")).to_be_focused()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    content = Path(download.value.path()).read_bytes()
    assert content.startswith("\ufeff".encode())
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig")))}
    assert set(rows) == {"suspected.png", "uncertain.png", "clear.png", "refused.png", "'=HYPERLINK(cut).png"}
    assert rows["suspected.png"]["answer"] == "suspected"
    assert float(rows["suspected.png"]["suspicion"]) == float(rows["suspected.png"]["probability adenocarcinoma"])
    assert rows["refused.png"]["suspicion"] == rows["refused.png"]["probability normal"] == ""
    assert float(rows["refused.png"]["distance"]) > float(rows["refused.png"]["distance_limit"]) == 0.1
    assert "Export the whole slice again" in rows["'=HYPERLINK(cut).png"]["error"]
    assert all("\t" not in name and not re.match(r"[=+\-@]", name) for name in rows)


def test_a_series_has_a_chart_along_the_patient(page, artifacts):
    choose(page, {f"IM{index:04}": content for index, content in enumerate(series(BREATH))})
    expect(page.locator("#said")).to_contain_text("11 slices judged")
    chart = page.get_by_role(
        "img", name=re.compile("^11 slices from -200 to -150 mm; the most suspicious, .* at -170.0 mm")
    )
    expect(chart).to_be_visible()
    expect(headline(page)).to_have_text("adenocarcinoma suspected")
    expect(page.locator("[data-slot=position]")).to_have_text("-170.0 mm")
    keep(page, artifacts, "series")
    box = chart.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 60)
    expect(page.locator("#results [data-slot=position]")).to_have_text("-150.0 mm")
    expect(page.locator("#table tr.chosen th")).to_have_text("IM0010")


def test_a_zip_is_judged_slice_by_slice(page):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in MIXED.items():
            archive.writestr(f"case/{name}", content)
    choose(page, {"case.zip": packed.getvalue()})
    expect(page.locator("#said")).to_contain_text("5 slices judged")
    expect(page.get_by_role("button", name="case/clear.png")).to_be_visible()


# Ways in


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_dropped_and_a_pasted_slice_are_judged(page, kind):
    dispatch(page, kind, "slice.png", MIXED["suspected.png"])
    expect(headline(page)).to_have_text("adenocarcinoma suspected")


def test_a_file_dragged_over_the_page_is_awaited(page, artifacts):
    dispatch(page, "dragenter", "slice.png", b"")
    expect(page.locator("body")).to_have_class("dragging")
    keep(page, artifacts, "dragging")
    dispatch(page, "dragleave", "slice.png", b"")
    expect(page.locator("body")).not_to_have_class("dragging")


def test_a_folder_is_judged_without_what_is_no_slice(page, tmp_path):
    for name in ("b10.png", "b9.png", ".DS_Store", "DICOMDIR"):
        (tmp_path / name).write_bytes(MIXED["clear.png"])
    page.get_by_label("choose a folder").set_input_files(tmp_path)
    expect(page.locator("#table tbody th")).to_have_text(["b9.png", "b10.png"])


def test_every_sample_can_be_tried(page):
    for sample in page.locator(".samples button").all():
        name = sample.get_attribute("value")
        sample.click()
        expect(page.locator("#results [data-slot=name]")).to_have_text(name)


def test_new_files_take_the_place_of_those_under_way(page, door):
    door.open.clear()
    choose(page, {"first.png": MIXED["clear.png"]})
    expect(page.locator("#doing")).to_have_text("Computing …")
    choose(page, {"second.png": MIXED["suspected.png"]})
    door.open.set()
    expect(page.locator("#results [data-slot=name]")).to_have_text("second.png")
    expect(headline(page)).to_have_text("adenocarcinoma suspected")
    expect(page.get_by_role("alert")).to_have_count(0)


# For everyone


def test_the_keyboard_alone_judges_a_sample_and_reads_its_answer(page):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.value || ''"))
        outline = page.evaluate(
            "(() => { const [a, f] = [document.activeElement, document.activeElement.closest('.folder')];"
            "return [a, f?.querySelector('label')].some(e => e && getComputedStyle(e).outlineStyle !== 'none') })()"
        )
        assert outline, f"no visible focus on {reached[-1]}"
        if reached[-1].endswith(".jpg"):
            break
    assert reached[:2] == ["file", "folder"]
    page.keyboard.press("Enter")
    expect(headline(page).locator("span")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("main :focus")).to_have_count(1)


def test_the_dark_theme_follows_the_system(page):
    grounds = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    light, dark = (int(ground.removeprefix("rgb(").split(",")[0]) for ground in grounds)
    assert light > 230
    assert dark < 40


def test_who_wants_no_motion_gets_none(page):
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_print_keeps_the_answer_and_leaves_the_controls(page, artifacts):
    choose(page, MIXED)
    expect(page.locator("#batch-title")).to_be_focused()
    page.emulate_media(media="print")
    expect(headline(page)).to_be_visible()
    expect(page.locator("#table")).to_be_visible()
    for control in (".upload", ".samples", "#tools", ".fade", ".strip"):
        expect(page.locator(control)).to_be_hidden()
    page.screenshot(path=artifacts / "page-print.png", full_page=True)


def test_it_works_without_javascript(browser, site, artifacts):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 900})
    page = context.new_page()
    page.goto(site)
    page.screenshot(path=artifacts / "page-no-script-empty-390-light.png", full_page=True)
    choose(page, {"slice.png": MIXED["suspected.png"]})
    page.get_by_role("button", name="Judge", exact=True).click()
    expect(headline(page)).to_have_text("adenocarcinoma suspected")
    expect(page.locator(".overlay")).to_be_visible()
    expect(page.locator(".fade")).to_be_hidden()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=artifacts / f"page-no-script-{width}-light.png", full_page=True)
    page.get_by_role("button", name="A drawing, no CT").click()
    expect(page.locator("#results [data-slot=name]")).to_have_text("drawing.jpg")
    context.close()


def test_what_the_server_wrote_looks_as_what_the_script_fills_in(browser, context, site):
    """The same markup, but for what only a script can offer."""
    plain = browser.new_context(java_script_enabled=False)
    texts = []
    for page in (plain.new_page(), context.new_page()):
        page.goto(site)
        choose(page, {"slice.png": MIXED["uncertain.png"]})
        if not texts:
            page.get_by_role("button", name="Judge", exact=True).click()
        expect(headline(page)).to_have_text("uncertain: refer")
        texts.append(page.locator("#results").inner_text().replace("Evidence\n80%\n", ""))
    plain.close()
    assert texts[0].split() == texts[1].split()


def test_the_real_server_serves_the_page_its_scripts_and_its_answers(browser, serve, project):
    file = project / "data" / "06_models" / "classifier.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(page_model())
    with serve(project) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        choose(page, MIXED)
        expect(page.locator("#said")).to_contain_text("5 slices judged")
        # Gunicorn waits for idle connections before it ends.
        context.close()

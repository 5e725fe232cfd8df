"""Each state of the page: what it says and how it looks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from app import create_app
from tests.support.browsing import MIXED, WIDTHS, assert_fits, choose, headline, keep
from tests.support.page_model import GREYS, METRICS, chest, page_app, series, served

pytestmark = pytest.mark.browser

THREE = ("adenocarcinoma", "large_cell_neuroendocrine_carcinoma", "normal")
WARNINGS = (
    "normal: 13 independent pictures behind 148 files. That is fewer than 30: any figure about this class is a rough guess.",
    "143 of 343 usable files (42 %) are copies of another. They stay on one side of the split and count once.",
)


@pytest.fixture(scope="module")
def site_of_three() -> Iterator[str]:
    app = page_app(
        THREE, synthetic=False, source="an archive of chest CT", slices=12_345, warnings=WARNINGS, metrics=METRICS
    )
    with served(app) as address:
        yield address


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
    gauge = page.get_by_role("img", name=re.compile("^Suspicion .* on a scale from 0 to 100 %; operating point 40.0 %"))
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
    share = float(page.locator("[data-slot=suspicion]").inner_text().removesuffix("%"))
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


def test_three_classes_with_long_names_fit(context, site_of_three, artifacts):
    page = context.new_page()
    page.goto(site_of_three)
    expect(page.get_by_text("13 independent pictures")).to_be_visible()
    expect(page.get_by_text("synthetic slices.")).to_be_hidden()
    choose(page, {"a.png": MIXED["suspected.png"]})
    expect(page.locator(".scores > div")).to_have_count(3)
    expect(page.locator(".scores dt").first).to_have_text("adenocarcinoma")
    keep(page, artifacts, "three-classes")
    page.goto(f"{site_of_three}/about")
    expect(page.get_by_role("heading", name="Data card")).to_be_visible()
    keep(page, artifacts, "about")
    for width, columns in ((390, 2), (768, 9)):
        page.set_viewport_size({"width": width, "height": 900})
        for table in page.locator("table").all():
            assert beyond_the_edge(table, columns) == [], width
    page.get_by_role("link", name="API", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The API")
    keep(page, artifacts, "api")


def beyond_the_edge(table, columns: int) -> list[str]:
    """Texts of the first so many columns of a table that are not seen whole before it is scrolled sideways."""
    return table.evaluate(
        """(table, columns) => {
            const edge = table.closest(".scroll").getBoundingClientRect().right + 0.5;
            const cells = [...table.rows].flatMap((row) => [...row.cells].slice(0, columns));
            const isCut = (cell) => {
                const text = document.createRange();
                text.selectNodeContents(cell);
                return [...text.getClientRects()].some((box) => box.right > edge);
            };
            return cells.filter(isCut).map((cell) => cell.innerText);
        }""",
        columns,
    )


def test_without_a_model_the_page_says_how_to_train_one(context, project, artifacts):
    with served(create_app(config={"PROJECT": project})) as site:
        page = context.new_page()
        assert page.goto(site).status == 503
        expect(page.get_by_role("heading", level=1)).to_have_text("No model can be served")
        assert page.locator("code").first.text_content() == "make run"
        keep(page, artifacts, "no-model")


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
        assert_fits(page, f"without scripts at {width}")
        page.screenshot(path=artifacts / f"page-no-script-{width}-light.png", full_page=True)
    page.get_by_role("button", name="A drawing, no CT").click()
    expect(page.locator("#results [data-slot=name]")).to_have_text("drawing.jpg")
    context.close()


@pytest.mark.parametrize(
    "content",
    [MIXED["uncertain.png"], MIXED["refused.png"], MIXED["clear.png"], *series([GREYS["suspected"]], start=-0.5)],
    ids=["uncertain", "refused", "clear", "DICOM"],
)
def test_what_the_server_wrote_looks_as_what_the_script_fills_in(browser, context, site, content):
    """The same markup, but for what only a script can offer."""
    plain = browser.new_context(java_script_enabled=False)
    texts = []
    for page in (plain.new_page(), context.new_page()):
        page.goto(site)
        choose(page, {"slice": content})
        if not texts:
            page.get_by_role("button", name="Judge", exact=True).click()
        expect(headline(page)).to_be_visible()
        page.wait_for_load_state()  # The new page's words are there before its style sheet, which capitalises some.
        texts.append(page.locator("#results").inner_text().replace("Evidence\n80\xa0%\n", ""))
    plain.close()
    assert texts[0].split() == texts[1].split()


def test_on_a_phone_the_answer_is_seen_before_anything_is_scrolled_by_hand(page):
    page.set_viewport_size({"width": 390, "height": 844})
    choose(page, {"a.png": MIXED["uncertain.png"]})
    expect(headline(page)).to_be_in_viewport(ratio=1)
    expect(page.locator(".why")).to_be_in_viewport(ratio=1)

"""Several slices at once: table, strips, charts and CSV."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browsing import MIXED, choose, headline, keep
from tests.support.page_model import GREYS, chest, series
from tests.support.slice_files import zipped

pytestmark = pytest.mark.browser

BREATH = [90, 100, 120, 150, 172, 200, 215, 190, 160, 120, 95]
"""Greys along a series: a mass in the middle."""


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
    expect(page.locator("#none")).to_have_text("No slice fits the filter.")
    expect(page.locator("#none")).to_be_visible()
    expect(page.locator("#said")).to_have_text("No slice fits the filter.")
    page.get_by_label("File name holds").fill("c")
    expect(page.locator("#said")).to_have_text("4 of 5 slices fit the filter.")


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


@pytest.mark.parametrize("separator", [",", ";"])
def test_no_separator_in_a_name_lets_a_formula_out_of_its_cell(page, separator):
    name = f"a{separator}=1+1.png"
    choose(page, {name: MIXED["clear.png"], "b.png": MIXED["clear.png"]})
    expect(page.locator("#batch-title")).to_be_focused()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    assert rows[1][0].startswith(name)
    assert not [cell for row in rows for cell in row if cell.startswith("=")]


def test_a_series_has_a_chart_along_the_patient(page, artifacts):
    choose(page, {f"IM{index:04}": content for index, content in enumerate(series(BREATH))})
    expect(page.locator("#said")).to_contain_text("11 slices judged")
    chart = page.get_by_role(
        "img", name=re.compile("^11 slices from −200 to −150 mm; the most suspicious, .* at −170.0 mm")
    )
    expect(chart).to_be_visible()
    expect(headline(page)).to_have_text("adenocarcinoma suspected")
    expect(page.locator("[data-slot=position]")).to_have_text("−170.0 mm")
    keep(page, artifacts, "series")
    box = chart.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 60)
    expect(page.locator("#results [data-slot=position]")).to_have_text("−150.0 mm")
    expect(page.locator("#table tr.chosen th")).to_have_text("IM0010")


def test_a_zip_is_judged_slice_by_slice(page):
    choose(page, {"case.zip": zipped({f"case/{name}": content for name, content in MIXED.items()})})
    expect(page.locator("#said")).to_contain_text("5 slices judged")
    expect(page.get_by_role("button", name="case/clear.png")).to_be_visible()


def test_two_series_are_drawn_each_by_itself(page, artifacts):
    first, second = series(BREATH), series([100, 160, 230, 120, 90], start=-190.0, number=8)
    files = {
        f"{name}{index:02}": content
        for name, all_ in (("A", first), ("B", second))
        for index, content in enumerate(all_)
    }
    choose(page, {**files, "other.png": chest(GREYS["uncertain"])})
    expect(page.locator("#said")).to_contain_text("17 slices judged")
    titles = ["Series 1: 11 slices", "Series 2: 5 slices", "Other slices"]
    titles = [f"{title}, most suspicious first" for title in titles]
    expect(page.locator("#groups h3")).to_have_text(titles)
    strips = page.get_by_role("listbox")
    assert [strip.get_by_role("option").count() for strip in strips.all()] == [11, 5, 1]
    charts = page.locator("#groups svg[role=img]")
    expect(charts).to_have_count(2)
    expect(charts.nth(1)).to_have_attribute("aria-label", re.compile("^5 slices from −190 to −170 mm"))
    keep(page, artifacts, "two-series")
    box = charts.nth(1).bounding_box()
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 60)
    expect(page.locator("#table tr.chosen th")).to_have_text("B04")


def test_a_series_leaves_with_its_files(page):
    choose(page, {f"IM{index:04}": content for index, content in enumerate(series(BREATH))})
    expect(page.locator("#groups svg[role=img]")).to_be_visible()
    choose(page, MIXED)
    expect(page.locator("#said")).to_contain_text("5 slices judged")
    expect(page.locator("#groups h3")).to_have_text(["Most suspicious first"])
    expect(page.locator("#groups svg[role=img]")).to_have_count(0)
    page.set_viewport_size({"width": 500, "height": 900})
    expect(page.locator("#groups .chart")).to_be_hidden()

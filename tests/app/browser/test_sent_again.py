"""What was not judged in time is sent again, and put among what was."""

from __future__ import annotations

import io
import warnings
import zipfile

import pytest
from playwright.sync_api import expect

from tests.support.browsing import MIXED, choose, keep
from tests.support.slice_files import zipped

pytestmark = pytest.mark.browser


LATE = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "The time was up. Try again later.",
}


def out_of_time(names: list[str], sent: list[str]):
    """What the API answers where the time was up for some slices, once; ``sent`` takes the names of all files sent."""
    left = list(names)

    def answer(route) -> None:
        response = route.fetch()
        body = response.json()
        sent.extend(item["name"] for item in body["predictions"])
        for index, item in enumerate(body["predictions"]):
            if item["name"] in left:
                left.remove(item["name"])
                body["predictions"][index] = {**{key: item[key] for key in ("name", "file", "slice")}, "error": LATE}
        route.fulfill(response=response, json=body)

    return answer


def test_slices_that_the_time_was_up_for_are_judged_when_asked_for_and_no_others(page, artifacts):
    files = {f"{index}.png": MIXED["clear.png"] for index in range(6)}
    sent: list[str] = []
    page.route("**/api/v1/predictions*", out_of_time(["1.png", "5.png"], sent))
    choose(page, files)
    expect(page.locator("#said")).to_have_text("4 slices judged: 4 no sign, 2 not judged.")
    expect(page.get_by_role("alert")).to_contain_text("The time was up.")
    expect(page.locator("#table tr", has_text="5.png")).to_contain_text("not judged")
    keep(page, artifacts, "late")
    assert sorted(sent) == sorted(files)
    sent.clear()
    page.get_by_role("button", name="Judge the other 2 now").click()
    expect(page.locator("#said")).to_have_text("6 slices judged: 6 no sign.")
    expect(page.locator("#table tbody th")).to_have_text(list(files))
    expect(page.get_by_role("alert")).to_be_hidden()
    assert sent == ["1.png", "5.png"]


def test_a_file_sent_again_for_some_of_its_slices_is_judged_from_the_first_of_them(page):
    contents = (MIXED["suspected.png"], *4 * [MIXED["clear.png"]])
    names = [f"{index}.png" for index in range(len(contents))]
    sent: list[str] = []
    page.route("**/api/v1/predictions*", out_of_time(["2.png", "4.png"], sent))
    choose(page, {"all.zip": zipped(dict(zip(names, contents, strict=True)))})
    expect(page.locator("#said")).to_have_text("3 slices judged: 1 suspected, 2 no sign, 2 not judged.")
    sent.clear()
    page.get_by_role("button", name="Judge the other 2 now").click()
    expect(page.locator("#said")).to_have_text("5 slices judged: 1 suspected, 4 no sign.")
    expect(page.locator("#table tbody th")).to_have_text(names)
    assert sent == ["2.png", "3.png", "4.png"]


def test_slices_of_one_name_in_a_zip_are_told_apart(page):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("suspected.png", "clear.png"):
            archive.writestr("slice.png", MIXED[name])
    choose(page, {"both.zip": buffer.getvalue()})
    expect(page.locator("#said")).to_have_text("2 slices judged: 1 suspected, 1 no sign.")

"""For everyone: keyboard, focus, themes and motion."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.browsing import MIXED, choose, headline
from tests.support.page_model import chest

pytestmark = pytest.mark.browser

RISING = {f"{index}.png": chest(60 + 20 * index) for index in range(6)}
"""Two requests' worth; what comes last is the most suspicious."""


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


def picked_in_the_strip(page):
    option = page.get_by_role("option", name="2.png")
    option.click()
    return option


def reached_in_the_table(page):
    button = page.get_by_role("button", name="1.png")
    button.focus()
    return button


def typing_in_the_filter(page):
    field = page.get_by_label("File name holds")
    field.press_sequentially("png")
    return field


def at_the_slider(page):
    slider = page.get_by_role("slider", name="Evidence")
    slider.press("ArrowLeft")
    return slider


@pytest.mark.parametrize("go", [picked_in_the_strip, reached_in_the_table, typing_in_the_filter, at_the_slider])
def test_who_is_busy_elsewhere_keeps_the_focus_while_the_rest_is_judged(page, door, go):
    door.shut(passes=1)
    choose(page, RISING)
    expect(page.locator("#table tbody tr")).to_have_count(4)
    place = go(page)
    name = page.locator("#results [data-slot=name]").inner_text()
    expect(place).to_be_focused()
    door.open.set()
    expect(page.locator("#said")).to_contain_text("6 slices judged")
    expect(page.locator("#table tbody tr")).to_have_count(6)
    expect(place).to_be_focused()
    if go in (picked_in_the_strip, at_the_slider):
        expect(page.locator("#results [data-slot=name]")).to_have_text(name)


def test_who_waited_is_led_to_the_answers_even_after_a_click_on_a_slice(page, door):
    door.shut(passes=1)
    choose(page, RISING)
    expect(page.locator("#table tbody tr")).to_have_count(4)
    page.get_by_role("option", name="2.png").click()
    page.get_by_role("button", name="Cancel").focus()
    door.open.set()
    expect(page.locator("#batch-title")).to_be_focused()
    expect(page.locator("#results [data-slot=name]")).to_have_text("2.png")


def test_cancelling_by_keyboard_leads_to_the_button_that_goes_on(page, door):
    door.shut()
    choose(page, {"a.png": MIXED["clear.png"]})
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Try again")).to_be_focused()
    door.open.set()
    page.keyboard.press("Enter")
    expect(headline(page).locator("span")).to_be_focused()


def test_the_chosen_slice_is_marked_for_the_eye_and_the_ear(page):
    choose(page, MIXED)
    expect(page.locator("#batch-title")).to_be_focused()
    button = page.get_by_role("button", name="uncertain.png")
    button.press("Enter")
    expect(page.locator("[aria-current=true]")).to_have_count(1)
    expect(button).to_have_attribute("aria-current", "true")
    expect(page.locator("#groups").get_by_role("option", selected=True)).to_have_accessible_name(
        "uncertain.png: uncertain, suspicion 42.8 %"
    )
    page.get_by_label("Answer", exact=True).select_option("clear")
    page.get_by_label("Answer", exact=True).select_option("")
    expect(button).to_have_attribute("aria-current", "true")


def test_every_strip_is_one_stop_of_the_tab_key_and_the_arrows_move_within_it(page):
    choose(page, MIXED)
    expect(page.locator("#batch-title")).to_be_focused()
    page.keyboard.press("Tab")
    options = page.locator("#groups").get_by_role("option")
    expect(options.first).to_be_focused()
    page.keyboard.press("End")
    expect(options.last).to_be_focused()
    expect(headline(page)).to_have_text("not a chest CT slice I can judge: refused")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Answer", exact=True)).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(options.last).to_be_focused()

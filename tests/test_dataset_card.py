"""The page about a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lung_tumor.dataset_card import needed_thumbnails, render
from tests.support.data_sets import LOUD_SHORTCUTS, UNMEASURED, facts_of, files_of, small, small_pairs
from tests.support.html_pages import Page, chromium

HOSTILE = "<img src=x onerror=alert(1)>\u202e\n\"'&"


def thumbnails(facts: dict[str, Any], side: int = 16) -> dict[str, Any]:
    """Noise, which compresses worst."""
    rng = np.random.default_rng(0)
    return {path: rng.integers(0, 256, (side, side), np.uint8) for path in needed_thumbnails(facts)}


def page_of(manifest: pd.DataFrame | None = None, **given: Any) -> Page:
    manifest = small() if manifest is None else manifest
    facts = facts_of(manifest, small_pairs(), **{"shortcuts": LOUD_SHORTCUTS, **given})
    return Page(render(facts, thumbnails(facts)))


def huge() -> pd.DataFrame:
    """Four hundred pictures of ten files, three hundred conflicts, a thousand files set aside, six classes."""
    rows: list[dict[str, Any]] = [
        {"path": f"c{picture % 6}/{picture} {n}", "picture": f"p{picture}", "group": f"g{picture // 20}"}
        | {"verdict": "duplicate" if n else "accepted"}
        for picture in range(400)
        for n in range(10)
    ]
    rows += [
        {"path": f"{label}/x{n} {again}", "picture": f"x{n}", "verdict": "quarantined", "reason": "under two labels"}
        for n in range(300)
        for label in ("c0", "c1")
        for again in range(3)
    ]
    rows += [
        {
            "path": f"c2/q{n}",
            "verdict": "quarantined",
            "reason": f"<b>reason {'abcdefghij'[n % 10]}{'klmn'[n // 10 % 4]}</b>",
            "pixels": f"q{n}" if n % 2 else "",
        }
        for n in range(1000)
    ]
    return files_of(rows)


# --- What it says ----------------------------------------------------------------------------------------------------


def test_headline_warnings_and_meaning_stand_on_the_page_in_this_order() -> None:
    facts = facts_of(small(), small_pairs(), shortcuts=LOUD_SHORTCUTS)
    text = Page(render(facts, {})).text
    places = [text.index(part) for part in [facts["headline"], *facts["warnings"], *facts["meaning"]]]
    assert places == sorted(places)
    assert "Before you believe any figure" in text


def test_counts_stand_in_the_table_by_class_and_split() -> None:
    text = page_of().text
    assert "sick 7 6 6 4 2 1 2" in text
    assert "all classes 11 10 9 7 5 4 3" in text
    assert "well 1 1 group 1 file 0 0 groups 0 files 2 2 groups 2 files" in text
    assert "fold 1 fold 2" in text


def test_copies_stand_beside_the_file_that_was_kept_and_say_what_they_share() -> None:
    text = page_of().text
    assert "sick : 4 files in 2 versions, one picture" in text
    gallery = text[text.index("kept sick/1") :]
    assert gallery.startswith(
        "kept sick/1 altered, mirrored sick/1 altered same bytes sick/1 bytes same pixels sick/1 pixels"
    )
    assert "sick: 2 pictures, one group: other grey windows" in text


def test_conflicts_and_quarantine_are_named_with_labels_and_reasons() -> None:
    text = page_of().text
    assert "sick or well? sick sick/x well well/x" in text
    assert "empty file 1" in text
    assert "sick/3 empty empty file" in text


def test_the_shortcut_is_one_sentence_and_two_figures_with_intervals() -> None:
    made = page_of()
    assert made.text.count(LOUD_SHORTCUTS["sentence"]) == 2  # among the warnings and in its section
    assert "AUC 0.96 (0.90 to 0.99)" in made.text
    assert "AUC 0.70 (0.60 to 0.80)" in made.text
    styles = [value for name, value in made.attributes if name == "style"]
    assert "left: 90.0%; width: 9.0%" in styles
    assert "left: 60.0%; width: 20.0%" in styles


def test_a_shortcut_that_was_not_measured_says_why() -> None:
    unmeasured = {**UNMEASURED, "reason": "fewer than two classes"}
    made = page_of(shortcuts={**LOUD_SHORTCUTS, "before": unmeasured, "after": unmeasured})
    assert made.text.count("fewer than two classes") == 2
    assert not any("whisker" in value for _, value in made.attributes)


@pytest.mark.parametrize("low", [None, float("nan")])
def test_an_auc_without_interval_is_a_bare_figure(low: float | None) -> None:
    interval = {"low": low, "high": None}
    bare = {**LOUD_SHORTCUTS["before"], "interval": interval}
    assert "files as they came AUC 0.96 after preparation" in page_of(shortcuts={**LOUD_SHORTCUTS, "before": bare}).text


def test_the_given_split_has_its_section_only_where_there_was_one() -> None:
    assert "The split that the data came with" not in page_of().text
    given = small().assign(given_split=["training", "test"] * 5 + ["training"])
    text = page_of(given, given_split="remade").text
    assert "It was not used: a new split was made" in text
    # Two copies of sick/1 stand in test, sick/1 itself in training; the unreadable file counts nowhere.
    assert "sick test 2 2 2 100 %" in text
    assert "well test 2 0 0 0 %" in text


def test_a_clean_data_set_is_told_so() -> None:
    rows = [{"path": f"{label}/{n}"} for label in "ab" for n in range(4)]
    quiet = {**LOUD_SHORTCUTS, "warning": False}
    made = page_of(files_of(rows), shortcuts=quiet)
    assert "Nothing alarming was found" in made.text
    assert "Before you believe" not in made.text
    assert "None: every usable file shows a picture of its own." in made.text


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_synthetic_data_set_says_so_in_every_heading_and_every_text_of_a_picture(synthetic: bool) -> None:
    made = page_of(synthetic=synthetic)
    headings = made.tags.count("h2") - 1  # all but that of the warnings, whose first is "Synthetic"
    assert made.text.count(" synthetic ") >= headings if synthetic else "synthetic" not in made.text.lower()
    described = [value for name, value in made.attributes if name == "alt"]
    described += [value for name, value in made.attributes if name == "aria-label" and value != "warnings"]
    assert described
    assert {"synthetic" in text for text in described} == {synthetic}


# --- What it is ------------------------------------------------------------------------------------------------------


def test_the_page_needs_no_network_and_no_script() -> None:
    made = page_of()
    assert not {"script", "link", "iframe", "object", "form"} & set(made.tags)
    sources = [value for name, value in made.attributes if name in ("src", "href", "srcset", "action")]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_every_picture_has_a_text_in_its_place() -> None:
    made = page_of()
    alternatives = [value for name, value in made.attributes if name == "alt"]
    assert made.tags.count("img") == len(alternatives) == 9
    assert all(alternatives)
    assert made.tags.count("svg") == 6


def test_hostile_names_stay_text() -> None:
    manifest = small()
    for column in ("path", "label", "reason"):
        manifest[column] = manifest[column].where(manifest[column] == "", HOSTILE + manifest[column])
    made = page_of(manifest, source=HOSTILE, joined_by=[HOSTILE], classes_left_out={HOSTILE: 3})
    assert made.tags.count("img") == 9
    assert not any(name.startswith("on") for name, _ in made.attributes)
    assert "\u202e" not in made.text
    assert r"alert(1)>\u202e\n" in made.text


def test_a_picture_without_thumbnail_is_said_to_be_missing() -> None:
    made = Page(render(facts_of(small(), small_pairs()), {}))
    assert made.text.count("no picture") == 9
    assert "img" not in made.tags


def test_thumbnails_are_asked_for_once_and_of_quarantined_files_too() -> None:
    paths = needed_thumbnails(facts_of(small(), small_pairs()))
    assert paths == [
        "sick/1",
        "sick/1 altered",
        "sick/1 bytes",
        "sick/1 pixels",
        "sick/2 window",
        "sick/x",
        "well/x",
        "sick/3 empty",
    ]


def test_every_version_of_a_picture_is_shown_before_one_is_shown_twice() -> None:
    rows = [{"path": f"a/{n:02}", "picture": "p", "pixels": "same", "verdict": "duplicate"} for n in range(1, 20)]
    rows += [{"path": f"a/other {n}", "picture": "p", "verdict": "duplicate"} for n in range(5)]
    shown = needed_thumbnails(facts_of(files_of([{"path": "a/00", "picture": "p", "pixels": "same"}, *rows])))
    assert [path for path in shown if "other" in path] == [f"a/other {n}" for n in range(5)]
    assert len(shown) == 8


# --- However large the data set ----------------------------------------------------------------------------------------


def test_a_huge_data_set_makes_a_page_of_bounded_size_that_says_what_it_leaves_out() -> None:
    facts = facts_of(huge())
    pictures = thumbnails(facts, side=128)
    html = render(facts, pictures)
    text = Page(html).text
    assert 150 < len(pictures) <= 200
    assert len(html.encode()) < 4_000_000
    for said in (
        "and 2 more files of this picture",
        "and 386 more pictures with copies",
        "and 15 more groups",
        "and 294 more pictures; audit.json",
        "and 968 more files; audit.json",
        "and 28 more reasons",
    ):
        assert said in text


def test_a_class_full_of_copies_does_not_hide_the_copies_of_another() -> None:
    rows = [{"path": f"{label}/{picture} {n}", "picture": f"{label}{picture}", "verdict": "duplicate" if n else "accepted"}
            for label, size in (("many", 9), ("few", 2)) for picture in range(30) for n in range(size)]  # fmt: skip
    shown = needed_thumbnails(facts_of(files_of(rows)))
    # In turn, until 112 places are taken: eleven large groups of 8 places and eleven small ones of 2.
    assert [sum(path.startswith(label) and path.endswith(" 0") for path in shown) for label in ("many", "few")] == [
        11,
        11,
    ]
    assert shown[0] == "many/0 0"


@pytest.mark.browser
def test_nothing_is_wider_than_the_screen_and_nothing_is_fetched(tmp_path: Path) -> None:
    manifest = huge().assign(given_split="training")
    manifest["path"] += HOSTILE + "x" * 200
    manifest["label"] += "_left.lower.lobe_T2_N0_M0_Ib" * 4
    facts = facts_of(manifest, shortcuts=LOUD_SHORTCUTS, synthetic=True)
    (tmp_path / "card.html").write_text(render(facts, thumbnails(facts)), encoding="utf-8")
    with chromium() as browser:
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda sent: complaints.append(sent.url) if sent.url.startswith("http") else None)
        page.goto((tmp_path / "card.html").as_uri())
        for width in (360, 480, 700, 768, 800, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert complaints == []

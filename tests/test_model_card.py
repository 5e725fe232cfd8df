"""The model card, as Markdown and as a page."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lung_tumor.model_card import Table, describe, to_html, to_markdown
from tests.support.data_sets import facts_of, small
from tests.support.evaluations import evaluation, measured, predicted, refused
from tests.support.html_pages import Page

AUDIT = facts_of(small())
REPRODUCE = {
    "training": {"commit": "2a53b18", "mlflow_run": "run 54"},
    "evaluation": {"commit": "2a53b18", "mlflow_run": "run 55", "dvc_lock": "77aa"},
    "parameters": {"training.head.epochs": 100, "seed": 7},
    "data_digest": "dddd",
    "model_digest": "mmmm",
    "weights_digest": "wwww",
    "version": "9.8.7",
    "created": "2026-11-23T12:00:00Z",
}
HEADINGS = [
    "Model details",
    "Intended use",
    "Out-of-scope use",
    "Factors",
    "Metrics",
    "Quantitative analyses",
    "Training data",
    "Evaluation data",
    "Ethical considerations",
    "Limits, caveats and recommendations",
    "How to reproduce",
]


def facts(classes: int = 2, **given: Any) -> dict[str, Any]:
    metrics = evaluation(predicted(classes), draws=20, **given)
    return {"metrics": metrics, "audit": AUDIT, "reproduce": REPRODUCE}


def unescaped(markdown: str) -> str:
    return re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", markdown)


def words_of(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("pooled", [True, False])
def test_both_renderings_state_every_fact(classes: int, pooled: bool) -> None:
    given = facts(classes)
    if pooled:
        given["metrics"]["cross_validation"] = measured(predicted(classes, slices=90), draws=20)
    markdown, page = unescaped(to_markdown(given)), Page(to_html(given)).text
    for section in describe(given).sections:
        assert f"## {section.title}\n" in markdown
        assert section.title in page
        for part in section.parts:
            if isinstance(part, Table):
                rows = [part.header, *part.rows]
                told = [("| " + " | ".join(row) + " |", " ".join(row)) for row in rows]
            else:
                told = [(text, text) for text in ([part] if isinstance(part, str) else part)]
            for as_markdown, as_page in told:
                assert as_markdown in markdown
                assert words_of(as_page) in page


def test_the_headings_are_the_usual_ones_and_the_warning_comes_first() -> None:
    markdown = to_markdown(facts())
    assert re.findall("^## (.+)$", markdown, re.MULTILINE) == HEADINGS
    assert markdown.index("Research use only. Not a medical device") < markdown.index("## ")
    assert "Research use only. Not a medical device" in Page(to_html(facts())).text


def test_a_model_that_is_not_served_says_so_before_all_else() -> None:
    given = facts()
    assert "NOT SERVED" not in to_markdown(given) + to_html(given)
    given["metrics"] = refused(given["metrics"])
    markdown, page = unescaped(to_markdown(given)), Page(to_html(given)).text
    for text in (markdown, page):
        assert text.index("NOT SERVED") < text.index("Research use only. Not a medical device")
        assert "version 9.8.6" in text[: text.index("Research use only. Not a medical device")]


def test_it_says_how_to_reproduce_the_model() -> None:
    page = Page(to_html(facts())).text
    for text in (
        "Commit that trained 2a53b18",
        "Commit that evaluated 2a53b18",
        "MLflow run that trained run 54",
        "MLflow run that evaluated run 55",
        "Model file in dvc.lock (MD5) 77aa",
        "dddd",
        "mmmm",
        "wwww",
        "seed 7",
        "training.head.epochs 100",
    ):
        assert text in page
    assert "another commit" not in page


def test_it_says_when_another_commit_trained_the_model_than_evaluated_it() -> None:
    trained = {"commit": "1111111", "mlflow_run": ""}
    page = Page(to_html(facts() | {"reproduce": REPRODUCE | {"training": trained}})).text
    assert "The model was trained by another commit than the one that evaluated it." in page
    assert "Commit that trained 1111111" in page


def test_what_was_not_recorded_is_named() -> None:
    empty = dict.fromkeys(REPRODUCE, "") | {
        "parameters": REPRODUCE["parameters"],
        "training": dict.fromkeys(REPRODUCE["training"], ""),
        "evaluation": dict.fromkeys(REPRODUCE["evaluation"], ""),
    }
    markdown = unescaped(to_markdown(facts() | {"reproduce": empty}))
    for title in ("Commit that trained", "Commit that evaluated", "MLflow run that trained"):
        assert f"| {title} | not recorded |" in markdown
    assert "created: not recorded." in markdown


def test_a_table_of_markdown_has_as_many_cells_in_every_row_whatever_the_names() -> None:
    given = facts()
    given["audit"] = facts_of(small().replace({"label": {"sick": "si|ck"}}))
    given["reproduce"] = REPRODUCE | {"parameters": {"pattern": "a|b\nc"}}
    table: list[str] = []
    for line in [*to_markdown(given).splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
        elif table:
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1
            assert set(table[1]) <= set("|-: ")
            table = []


def test_names_are_no_markup() -> None:
    given = facts(source="folder <script>*x*</script> [a](http://b) _c_ `d`")
    markdown = to_markdown(given)
    assert not re.search(r"(?<!\\)[<\[`]", markdown)
    assert "script" not in Page(to_html(given)).tags


def test_no_name_begins_a_list_or_heading() -> None:
    given = facts()
    given["audit"] = {**AUDIT, "warnings": ["1. one", "- two", "# three"]}
    markdown = to_markdown(given)
    assert "0\\." not in markdown
    for text in ("- 1\\. one", "- \\- two", "- \\# three"):
        assert text in markdown


def test_the_page_needs_no_network() -> None:
    made = Page(to_html(facts()))
    assert not {"script", "link", "iframe", "object", "img"} & set(made.tags)
    assert not [value for name, value in made.attributes if name in ("src", "srcset", "action", "href")]


def test_everything_says_whether_the_slices_are_synthetic() -> None:
    for synthetic in (True, False):
        given = facts(synthetic=synthetic)
        assert to_markdown(given).count("(synthetic)") == (len(HEADINGS) + 1 if synthetic else 0)
        tags = [name for name, value in Page(to_html(given)).attributes if (name, value) == ("class", "tag")]
        assert len(tags) == (len(HEADINGS) + 1 if synthetic else 0)
        assert ("Slices of patients: this model learnt from synthetic slices." in to_markdown(given)) == synthetic


def test_a_cross_validation_that_was_not_made_is_named() -> None:
    assert "Cross-validation, pooled: not measured." in Page(to_html(facts())).text


def test_exact_intervals_stand_in_the_tables_of_the_card_with_their_note() -> None:
    given = facts()
    labels = predicted().labels
    given["metrics"]["test"] = measured(replace(predicted(), probabilities=np.eye(2)[labels]), draws=20)
    markdown = unescaped(to_markdown(given))
    assert "| recall (sensitivity) | 1.000 (0.782 to 1.000) [" in markdown
    assert "exact interval, as all slices of 15 groups agree" in markdown

"""Every figure of an evaluation in one table."""

from __future__ import annotations

from typing import Any

import pytest

from lung_tumor.evaluation_tables import Cell, FigureTable, figure_table
from tests.support.evaluations import measured, predicted


def cells(table: FigureTable, block: int, title: str) -> tuple[Cell, ...]:
    return dict(table.blocks[block].rows)[title]


def given() -> dict[str, Any]:
    return measured(predicted(), draws=20)


@pytest.mark.parametrize("classes", [2, 3])
def test_all_figures_of_all_judges_are_there(classes: int) -> None:
    table = figure_table(measured(predicted(classes), draws=20))
    assert table.columns == ("network", "numbers without anatomy", "most frequent class")
    assert [len(block.rows) for block in table.blocks] == [8, 4, *[6] * classes]
    assert table.blocks[2].title == f"adenocarcinoma: {60 // classes} slices in {30 // classes} independent groups"


def test_a_cell_holds_value_and_interval() -> None:
    found = given()
    interval = found["network"]["intervals"]["per_class.normal.recall"]
    network = cells(figure_table(found), 3, "recall (sensitivity)")[0]
    value = found["network"]["per_class"]["normal"]["recall"]
    assert network == Cell(f"{value:.3f}", f"{interval['low']:.3f} to {interval['high']:.3f}")
    assert network.text == f"{value:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def test_what_is_undefined_has_a_dash_and_a_note_that_says_why() -> None:
    found = given()
    found["network"]["per_class"]["normal"]["precision"] = None
    found["network"]["undefined"] = ["recall of adenocarcinoma: no slice", "precision of normal: never predicted"]
    table = figure_table(found)
    cell = cells(table, 3, "precision")[0]
    assert cell.value == "–"
    assert table.notes[cell.notes] == "undefined: precision of normal: never predicted"
    assert cell.text == f"– [{cell.notes}]"


def test_equal_reasons_share_a_note_and_a_missing_interval_is_explained() -> None:
    found = given()
    none = {"low": None, "high": None, "draws": 0, "undefined": 0, "reason": "a single group"}
    found["network"]["intervals"] |= {"accuracy": none, "mcc": none}
    table = figure_table(found)
    first, second = (cells(table, 0, title)[0] for title in ("accuracy", "Matthews correlation"))
    assert first.notes == second.notes
    assert table.notes[first.notes] == "no interval: a single group"
    assert first.interval == ""


def test_the_majority_needs_no_note_for_saying_the_same_in_every_draw() -> None:
    majority = cells(figure_table(given()), 0, "ROC AUC")[2]
    assert majority == Cell("0.500")


def test_without_numbers_there_is_no_column_for_them() -> None:
    assert figure_table(given() | {"trivial": None}).columns == ("network", "most frequent class")


def test_notes_have_letters_beyond_z() -> None:
    found = measured(predicted(3), draws=20)
    for number, interval in enumerate(found["network"]["intervals"]):
        none = {"low": None, "high": None, "draws": 0, "undefined": 0, "reason": f"reason {number}"}
        found["network"]["intervals"][interval] = none
    letters = list(figure_table(found).notes)
    assert letters[25:28] == ["z", "aa", "bb"]
    assert len(set(letters)) == len(letters) == 8 + 4 + 18

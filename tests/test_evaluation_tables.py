"""Every figure of an evaluation in one table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lung_tumor.evaluation_figures import Predictions
from lung_tumor.evaluation_tables import Cell, FigureTable, figure_table
from tests.support.evaluations import evaluation, measured, predicted

BASELINES = ("trivial", "majority")


def cells(table: FigureTable, block: int, title: str) -> tuple[Cell, ...]:
    return dict(table.blocks[block].rows)[title]


def without(reason: str) -> dict[str, Any]:
    """An interval that there is none of."""
    return {"low": None, "high": None, "draws": 0, "undefined": 0, "reason": reason}


def given() -> dict[str, Any]:
    return measured(predicted(), draws=20)


@pytest.mark.parametrize("classes", [2, 3])
def test_all_figures_of_all_judges_are_there(classes: int) -> None:
    table = figure_table(measured(predicted(classes), draws=20))
    assert table.columns == ("network", "numbers without anatomy", "most frequent class")
    assert [len(block.rows) for block in table.blocks] == [8, 4, *[6] * classes]
    assert table.blocks[2].title == f"adenocarcinoma: {60 // classes} slices in {30 // classes} independent groups"


def test_at_the_operating_point_every_judge_has_a_figure_and_the_heading_its_groups() -> None:
    found = evaluation(predicted(), draws=20)
    block = figure_table(found["test"], found["operating_point"]).blocks[-1]
    assert block.title == (
        "At the operating point: 30 slices in 15 independent groups with disease, 30 slices in 15 independent groups without"
    )
    point, rows = found["operating_point"], dict(block.rows)
    for title, name in (("sensitivity", "sensitivity"), ("referred as uncertain", "referred")):
        expected = [reached[name]["value"] for reached in (point["test"], *map(point["beside"].get, BASELINES))]
        assert [cell.value for cell in rows[title]] == [f"{value:.3f}" for value in expected]
    low, high = (point["test"]["sensitivity"]["interval"][end] for end in ("low", "high"))
    assert rows["sensitivity"][0].interval == f"{low:.3f} to {high:.3f}"
    assert rows["sensitivity"][2] == Cell("1.000")


def test_at_the_operating_point_what_is_missing_has_a_note() -> None:
    found = evaluation(predicted(), draws=20)
    found["operating_point"]["beside"] |= {"trivial": None, "trivial_reason": "too few independent groups"}
    found["operating_point"]["test"]["specificity"] |= {"value": None, "interval": without("no slice to measure it on")}
    table = figure_table(found["test"], found["operating_point"])
    network, trivial, _ = dict(table.blocks[-1].rows)["specificity"]
    assert (network.value, table.notes[network.notes]) == ("–", "undefined: no slice to measure it on")
    assert (trivial.value, table.notes[trivial.notes]) == ("–", "not measured: too few independent groups")


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
    found["network"]["intervals"]["per_class.normal.precision"] = without("precision of normal: never predicted")
    table = figure_table(found)
    cell = cells(table, 3, "precision")[0]
    assert cell.value == "–"
    assert table.notes[cell.notes] == "undefined: precision of normal: never predicted"
    assert cell.text == f"– [{cell.notes}]"


def test_equal_reasons_share_a_note_and_a_missing_interval_is_explained() -> None:
    found = given()
    found["network"]["intervals"] |= {"accuracy": without("a single group"), "mcc": without("a single group")}
    table = figure_table(found)
    first, second = (cells(table, 0, title)[0] for title in ("accuracy", "Matthews correlation"))
    assert first.notes == second.notes
    assert table.notes[first.notes] == "no interval: a single group"
    assert first.interval == ""


def test_a_reason_beside_an_interval_is_a_note_too() -> None:
    found = given()
    ends = {"low": 0.4, "high": 1.0, "draws": 20, "undefined": 1, "reason": "1 of 20 draws left the figure undefined"}
    found["network"]["intervals"]["per_class.normal.recall"] = ends
    table = figure_table(found)
    cell = cells(table, 3, "recall (sensitivity)")[0]
    assert cell.interval == "0.400 to 1.000"
    assert table.notes[cell.notes] == ends["reason"]
    assert cell.text.endswith(f"(0.400 to 1.000) [{cell.notes}]")


def test_a_class_whose_name_holds_another_s_gets_its_own_reason() -> None:
    labels = np.repeat([0, 2], 10)
    shown = np.where(labels[:, None] == 0, [[0.7, 0.1, 0.2]], [[0.2, 0.1, 0.7]])
    predictions = Predictions(("abnormal", "normal", "odd"), labels, shown, tuple(f"g{row}" for row in range(20)))
    table = figure_table(measured(predictions, draws=20))
    # "normal", the second block of classes, is within "abnormal", the first: nothing is wrong with that one.
    assert (
        table.notes[cells(table, 3, "precision")[0].notes]
        == "undefined, counted as 0: precision of normal: never predicted"
    )
    assert table.notes[cells(table, 2, "precision")[0].notes] == "exact interval, as all slices of 10 groups agree"
    assert table.notes[cells(table, 3, "ROC AUC")[0].notes].startswith(
        "undefined: recall, ROC AUC and average precision"
    )


def test_the_majority_needs_no_note_for_saying_the_same_in_every_draw() -> None:
    majority = cells(figure_table(given()), 0, "ROC AUC")[2]
    assert majority == Cell("0.500")


def test_undefined_figures_of_the_majority_are_named_too() -> None:
    table = figure_table(given())
    majority = cells(table, 0, "Matthews correlation")[2]
    assert majority.value == "0.000"
    assert table.notes[majority.notes] == "undefined, counted as 0: MCC: every slice was given adenocarcinoma"
    assert table.notes[cells(table, 3, "precision")[2].notes].startswith("undefined, counted as 0: precision of normal")


def test_numbers_that_could_learn_nothing_keep_their_column_with_the_reason() -> None:
    table = figure_table(given() | {"trivial": None, "trivial_reason": "too few independent groups"})
    assert table.columns == ("network", "numbers without anatomy", "most frequent class")
    for block in table.blocks:
        for _, row in block.rows:
            assert row[1].value == "–"
            assert table.notes[row[1].notes] == "not measured: too few independent groups"


def test_notes_have_letters_beyond_z() -> None:
    found = measured(predicted(3), draws=20)
    found["majority"] = found["network"]
    for number, interval in enumerate(found["network"]["intervals"]):
        found["network"]["intervals"][interval] = without(f"reason {number}")
    letters = list(figure_table(found).notes)
    assert letters[25:28] == ["z", "aa", "bb"]
    assert len(set(letters)) == len(letters) == 8 + 4 + 18

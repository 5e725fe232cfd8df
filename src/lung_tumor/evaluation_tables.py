"""Every figure of an evaluation as one table: the network beside numbers without anatomy and the majority class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lung_tumor.wording import how_many

JUDGES = {
    "network": "network",
    "trivial": "numbers without anatomy",
    "majority": "most frequent class",
}
"""Who judged the slices, and what the columns are called."""

_OVERALL = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "Matthews correlation",
    "brier": "Brier score (smaller is better)",
    "log_loss": "log loss (smaller is better)",
    "calibration_error": "expected calibration error (smaller is better)",
}
_MACRO = {"recall": "recall", "specificity": "specificity", "precision": "precision", "f1": "F1"}
_PER_CLASS = {
    "recall": "recall (sensitivity)",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
}
_AT_THE_POINT = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "referred": "referred as uncertain",
    "refused": "refused",
    "error_when_answered": "wrong among the answers given (smaller is better)",
}
UNDEFINED = "–"


@dataclass(frozen=True)
class Cell:
    """One figure: its value, its 95 % interval (empty if none) and the letters of its notes."""

    value: str
    interval: str = ""
    notes: str = ""

    @property
    def text(self) -> str:
        """All of it on one line."""
        return (
            self.value + (f" ({self.interval})" if self.interval else "") + (f" [{self.notes}]" if self.notes else "")
        )


@dataclass(frozen=True)
class Block:
    """Rows under one heading, each a title and a cell a column."""

    title: str
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class FigureTable:
    """Figures of one set of slices.

    Attributes:
        columns: who judged them.
        blocks: all slices, mean of the classes, each class, and at the operating point where there is one.
        notes: text by letter: why a figure or an interval is missing, or what to know about an interval.
    """

    columns: tuple[str, ...]
    blocks: tuple[Block, ...]
    notes: Mapping[str, str]


def figure_table(measured: Mapping[str, Any], point: Mapping[str, Any] | None = None) -> FigureTable:
    """Lay out ``metrics["test"]``, with ``metrics["operating_point"]``, or ``metrics["cross_validation"]``.

    What is undefined has a note that says why: rankings are a dash, shares and Matthews's correlation the 0 that they count as.
    So has a whole column where numbers without anatomy could learn nothing.
    """
    notes: dict[str, str] = {}

    def cell(name: str, path: tuple[str, ...]) -> Cell:
        if measured[name] is None:
            return Cell(UNDEFINED, notes=_letter(f"not measured: {measured['trivial_reason']}", notes))
        return _cell(measured[name], path, name == "majority", notes)

    def row(title: str, path: tuple[str, ...]) -> tuple[str, tuple[Cell, ...]]:
        return title, tuple(cell(name, path) for name in JUDGES)

    per_class = measured["network"]["per_class"]
    blocks = [
        Block("All slices", tuple(row(title, (name,)) for name, title in _OVERALL.items())),
        Block("Mean of the classes", tuple(row(title, ("macro", name)) for name, title in _MACRO.items())),
    ]
    for label in per_class:
        heading = (
            f"{label}: {how_many(per_class[label]['slices'], 'slice')} in "
            f"{how_many(measured['groups_by_class'][label], 'independent group')}"
        )
        rows = tuple(row(title, ("per_class", label, name)) for name, title in _PER_CLASS.items())
        blocks.append(Block(heading, rows))
    if point is not None:
        blocks.append(_at_the_point(point, notes))
    return FigureTable(
        tuple(JUDGES.values()),
        tuple(blocks),
        {letter: reason for reason, letter in notes.items()},
    )


def _at_the_point(point: Mapping[str, Any], notes: dict[str, str]) -> Block:
    """Sensitivity, specificity and what is referred: of the network, and of what needs none, its threshold chosen alike."""
    judges = {"network": point["test"], **{name: point["beside"][name] for name in ("trivial", "majority")}}

    def cell(judge: str, name: str) -> Cell:
        if judges[judge] is None:
            return Cell(UNDEFINED, notes=_letter(f"not measured: {point['beside']['trivial_reason']}", notes))
        found = judges[judge][name]
        return _with_interval(found["value"], found["interval"], judge == "majority", notes)

    rows = [(title, tuple(cell(judge, name) for judge in JUDGES)) for name, title in _AT_THE_POINT.items()]
    ill, well = (
        f"{how_many(point['test'][name]['slices'], 'slice')} in {how_many(point['test'][name]['groups'], 'independent group')}"
        for name in ("sensitivity", "specificity")
    )
    return Block(f"At the operating point: {ill} with disease, {well} without", tuple(rows))


def _cell(found: Mapping[str, Any], path: tuple[str, ...], quiet: bool, notes: dict[str, str]) -> Cell:
    value: Any = found
    for name in path:
        value = value[name]
    interval = found["intervals"][".".join(path)]
    if value is not None and any(interval["reason"].startswith(sentence) for sentence in found["undefined"]):
        return Cell(f"{value:.3f}", notes=_letter(f"undefined, counted as 0: {interval['reason']}", notes))
    return _with_interval(value, interval, quiet, notes)


def _with_interval(value: float | None, interval: Mapping[str, Any], quiet: bool, notes: dict[str, str]) -> Cell:
    reason = interval["reason"]
    if value is None:
        return Cell(UNDEFINED, notes=_letter(f"undefined: {reason}", notes))
    if interval["low"] is None:
        # Whoever says the same of every slice gives the same in every draw: that is no lack of evidence.
        return Cell(f"{value:.3f}", notes="" if quiet else _letter(f"no interval: {reason}", notes))
    ends = f"{interval['low']:.3f} to {interval['high']:.3f}"
    return Cell(f"{value:.3f}", ends, _letter(reason, notes) if reason and not quiet else "")


def _letter(reason: str, notes: dict[str, str]) -> str:
    """The letter of a reason: a to z, then aa and on."""
    if reason not in notes:
        turns, place = divmod(len(notes), 26)
        notes[reason] = chr(ord("a") + place) * (turns + 1)
    return notes[reason]

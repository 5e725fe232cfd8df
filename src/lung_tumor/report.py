"""The report as one self-contained page, and the summary that ends a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from lung_tumor import evaluation_words as words
from lung_tumor.evaluation_tables import figure_table
from lung_tumor.manifest import SPLITS
from lung_tumor.overlays import legend, overlay, strongest
from lung_tumor.pages import figure_uri, photograph_uri, render_page, slice_uri
from lung_tumor.wording import how_many, percent


@dataclass(frozen=True)
class Tile:
    """A figure to read first: its title, value and interval, and below it what it is to be set beside."""

    title: str
    value: str
    interval: str
    beside: str


ANSWERS = {"suspected": "suspected", "clear": "no sign", "uncertain": "uncertain: refer", "refused": "refused"}


def count_table(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Counts per class: ``label``, ``files``, ``quarantined``, ``pictures``, ``groups``, then pictures per split."""
    return [
        {"label": label, **{name: count[name] for name in ("files", "quarantined", "pictures", "groups")}}
        | {split: count["splits"][split]["pictures"] for split in SPLITS}
        for label, count in audit["counts"]["by_class"].items()
    ]


def render(
    metrics: Mapping[str, Any],
    audit: Mapping[str, Any],
    worst: Sequence[Mapping[str, Any]],
    examples: Sequence[Mapping[str, Any]],
    drawn: Mapping[str, Figure],
) -> str:
    """Render the report.

    Args:
        metrics: as written to ``metrics.json``.
        audit: as written to ``audit.json``.
        worst: wrongly judged test slices, most confident first, each with ``path``, ``label``, ``predicted``, ``suspicion`` (0
            to 1, or None), ``answer`` (of :class:`lung_tumor.answers.Answer`), ``pixels`` (size, size) uint8,
            ``evidence`` (rows, columns) float32, positive where a position speaks for the class ``shown``.
        examples: slices of which the evidence is to be shown, the same keys.
        drawn: figures by title.

    Returns:
        HTML without any reference to the network and without scripts.
    """
    scale = strongest(row["evidence"] for row in [*worst, *examples])
    return render_page(
        "report.html.j2",
        metrics=metrics,
        words=words,
        caveats=words.caveats(metrics, audit),
        tiles=_tiles(metrics),
        tables=_tables(metrics),
        counts=count_table(audit),
        meaning=audit["meaning"],
        figures=[(title, figure_uri(figure), _is_wide(figure)) for title, figure in drawn.items()],
        worst=[_pictured(row, scale) for row in worst],
        examples=[_pictured(row, scale) for row in examples],
        legend=slice_uri(legend()),
        percent=percent,
    )


def _is_wide(figure: Figure) -> bool:
    """Whether it takes the whole width of the page."""
    width, height = figure.get_size_inches()
    return bool(width > 1.5 * height)


def _pictured(row: Mapping[str, Any], scale: float) -> dict[str, Any]:
    pictures = {
        "slice": slice_uri(row["pixels"]),
        "evidence": photograph_uri(overlay(row["pixels"], row["evidence"], scale)),
    }
    return {**row, "answer": ANSWERS[row["answer"]], **pictures}


def _tiles(metrics: Mapping[str, Any]) -> list[Tile]:
    """The figures to read first."""
    test, point = metrics["test"], metrics["operating_point"]
    beside = point["beside"]

    def of_test(name: str, title: str) -> Tile:
        others = (None if test[judge] is None else test[judge][name] for judge in ("trivial", "majority"))
        return _tile(title, test["network"][name], test["network"]["intervals"][name], others, test["groups"])

    def at_the_point(name: str) -> Tile:
        found = point["test"][name]
        others = (None if beside[judge] is None else beside[judge][name]["value"] for judge in ("trivial", "majority"))
        return _tile(f"{name} at the operating point", found["value"], found["interval"], others, found["groups"])

    return [
        Tile("test pictures", f"{test['slices']}", f"{test['groups']} independent groups", ""),
        of_test("roc_auc", "ROC AUC"),
        at_the_point("sensitivity"),
        at_the_point("specificity"),
        of_test("balanced_accuracy", "balanced accuracy"),
        of_test("calibration_error", "calibration error"),
    ]


def _tile(
    title: str,
    value: float | None,
    interval: Mapping[str, Any],
    others: Iterable[float | None],
    groups: int,
) -> Tile:
    trivial, majority = ("–" if other is None else f"{other:.3f}" for other in others)
    below = f"without anatomy {trivial} · most frequent class {majority} · {how_many(groups, 'group')}"
    return Tile(title, *_value_and_interval(value, interval), below)


def _value_and_interval(value: float | None, interval: Mapping[str, Any]) -> tuple[str, str]:
    if value is None:
        return "–", "undefined"
    if interval["low"] is None:
        return f"{value:.3f}", "no interval"
    return f"{value:.3f}", f"{interval['low']:.3f} to {interval['high']:.3f}"


def _tables(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of the test and, where there is one, of cross-validation."""
    tested, pooled = metrics["test"], metrics["cross_validation"]
    title = "Cross-validation: every picture judged by a model that saw no known relative of it"
    named = [("Test: pictures that had no part in training", tested, figure_table(tested, metrics["operating_point"]))]
    if pooled is not None:
        named.append((title, pooled, figure_table(pooled)))
    return [
        {"title": title, "slices": found["slices"], "groups": found["groups"], "table": table}
        for title, found, table in named
    ]


def _synthetic_mark(metrics: Mapping[str, Any]) -> str:
    """`` (synthetic)`` unless the source's own name says so already."""
    return " (synthetic)" if metrics["synthetic"] and "synthetic" not in metrics["source"] else ""


def summarise(metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> str:
    """The few lines that end a run: slices, split, figures, where everything lies, what to do next."""
    test = metrics["test"]
    network = test["network"]
    counts = "\n".join(
        f"  {row['label']:<20} {row['files']:>6} files  {row['pictures']:>6} pictures  {row['groups']:>6} groups: "
        f"{row['training']} training, {row['validation']} validation, {row['test']} test"
        for row in count_table(audit)
    )
    per_class = "\n".join(
        f"  {name:<20} precision {_short(row['precision'])}  recall {_short(row['recall'])}  F1 {_short(row['f1'])}  of "
        f"{row['slices']}"
        for name, row in network["per_class"].items()
    )
    warnings = "\n".join(f"  ! {text}" for text in words.caveats(metrics, audit))
    return f"""
Slices   {metrics["source"]}{_synthetic_mark(metrics)}
{counts}

{warnings}

Test     {test["slices"]} pictures in {test["groups"]} independent groups, 95 % intervals in brackets
         accuracy {_measured(network, "accuracy")}, ROC AUC {_measured(network, "roc_auc")}
         {_beside(test)}
{per_class}
{_verdicts(metrics)}
Report   data/08_reporting/report.html, model_card.html
Data     data/08_reporting/dataset_card.html
Figures  data/08_reporting/evaluation/, contact_sheets/
Model    {_where(metrics)}
Next     make serve   upload a slice at http://127.0.0.1:8080
         make viz     browse the pipelines at http://127.0.0.1:4141
         make run SOURCE=path/to/folder   the same on your own slices, one folder per class
"""


def _where(metrics: Mapping[str, Any]) -> str:
    """Where the model lies, and whether it is the one that is served."""
    if not metrics["promotion"]["served"]:
        return "data/06_models/candidate.onnx, not served; served stays data/06_models/classifier.onnx, the champion"
    return (
        f"data/06_models/classifier.keras, served as data/06_models/classifier.onnx ({metrics['served']['precision']})"
    )


def _verdicts(metrics: Mapping[str, Any]) -> str:
    """One line each: operating point, novelty, promotion."""
    point, found = metrics["operating_point"], metrics["novelty"]
    reached = point["test"]
    refused, pictures = (sum(kind[name] for kind in found["foreign"].values()) for name in ("refused", "pictures"))
    return f"""\
Point    suspected from {point["threshold"]:.3f}: sensitivity {_brief(reached["sensitivity"])}, specificity \
{_brief(reached["specificity"])}; {_brief(reached["referred"])} referred
         {_beside_the_point(point["beside"])}
Novelty  accepts {percent(found["accepted_held_out"])} of held-out slices; refuses {refused} of {pictures} pictures of \
other kinds
Verdict  {words.promotion(metrics)}
"""


def _beside(test: Mapping[str, Any]) -> str:
    trivial, majority = test["trivial"], test["majority"]
    known = (
        f"accuracy {_short(trivial['accuracy'])}, ROC AUC {_short(trivial['roc_auc'])}" if trivial else "not measured"
    )
    return (
        f"without anatomy (size, brightness, a tiny thumbnail): {known}; always the most frequent class: accuracy "
        f"{_short(majority['accuracy'])}"
    )


def _beside_the_point(beside: Mapping[str, Any]) -> str:
    def both(found: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {_short(found[name]['value'])}" for name in ("sensitivity", "specificity"))

    known = both(beside["trivial"]) if beside["trivial"] else "not measured"
    return f"without anatomy: {known}; always {beside['majority_class']}: {both(beside['majority'])}"


def _short(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _measured(found: Mapping[str, Any], name: str) -> str:
    value, interval = _value_and_interval(found[name], found["intervals"][name])
    return interval if found[name] is None else f"{value} ({interval})"


def _brief(entry: Mapping[str, Any]) -> str:
    value, interval = _value_and_interval(entry["value"], entry["interval"])
    return interval if entry["value"] is None else f"{value} ({interval})"

"""Figures of data and training, and what all figures share.

Functions take data and return a Matplotlib figure; none is shown or saved here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lung_tumor.fitting import kept_epoch
from lung_tumor.imaging import Pixels
from lung_tumor.wording import how_many

# Okabe and Ito 2008: told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_SYNTHETIC = "synthetic slices (phantom)"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def caption(synthetic: bool, text: str = "") -> str:
    """A heading that says when the slices are synthetic."""
    return " · ".join(part for part in (text, _SYNTHETIC if synthetic else "") if part)


def footnote(figure: Figure, caution: Sequence[str]) -> None:
    """What speaks against believing the figure, below it: a figure is copied without the page around it."""
    if caution:
        width = int(figure.get_figwidth() * 17)
        text = "\n".join(line for entry in caution for line in wrap(literal(entry), width))
        figure.supxlabel(text, fontsize=7.5, color=COLOURS[1])


def clear_spines(axes: Axes) -> None:
    """No frame above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)


def literal(name: str) -> str:
    """A class name as Matplotlib text: no mathematics between dollars, no legend entry hidden by a leading underscore."""
    escaped = name.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def contact_sheet(
    slices: Sequence[Pixels],
    captions: Sequence[str],
    title: str,
    *,
    synthetic: bool,
    caution: Sequence[str] = (),
    columns: int = 8,
) -> Figure:
    """Thumbnails in a grid.

    Args:
        slices: prepared slices, each (size, size) uint8, or (size, size, 3) with evidence laid over; one or more.
        captions: one short line under each.
        title: heading of the sheet.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
        columns: thumbnails a row.
    """
    columns = min(columns, max(len(slices), 4))
    rows = -(-len(slices) // columns)
    figure = new_figure(1.5 * columns, 1.7 * rows + 0.5)
    figure.suptitle(literal(caption(synthetic, title)), fontsize=12, fontweight="bold")
    for position, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if position < len(slices):
            axes.imshow(slices[position], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(captions[position], fontsize=6.5, y=-0.12)
    footnote(figure, caution)
    return figure


def confusion_matrix(
    matrix: Sequence[Sequence[int]], classes: Sequence[str], *, synthetic: bool, caution: Sequence[str] = ()
) -> Figure:
    """Confusion matrix: counts, shaded by the share of each true class.

    Args:
        matrix: counts, rows true, columns predicted.
        classes: class names in that order.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.6 + 0.9 * len(classes)
    figure = new_figure(side + 0.6, side)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.55 else "black"
        text = f"{count}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=11)
    names = [literal(name) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=20 if len(classes) > 2 else 0)
    axes.set_yticks(range(len(classes)), names, rotation=90, va="center")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(caption(synthetic, "Confusion matrix, test slices"), fontsize=10)
    footnote(figure, caution)
    return figure


def history(rows: Sequence[Mapping[str, Any]], *, synthetic: bool, caution: Sequence[str] = ()) -> Figure:
    """Loss and accuracy of training and validation over the epochs, the kept epoch marked.

    Args:
        rows: one mapping an epoch with ``epoch``, ``loss``, ``val_loss``, ``accuracy``, ``val_accuracy`` and ``kept``.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
    """
    figure = new_figure(9, 3.6)
    figure.suptitle(caption(synthetic, "Training history"), fontsize=10)
    epochs = [row["epoch"] for row in rows]
    best = int(kept_epoch(rows)["epoch"])
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, [row[name] for row in rows], color=COLOURS[0], label="training")
        axes.plot(epochs, [row[f"val_{name}"] for row in rows], color=COLOURS[1], label="validation")
        axes.axvline(best, color="0.6", linestyle=":", label=f"kept: epoch {best}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.legend(frameon=False, fontsize=8)
        clear_spines(axes)
    footnote(figure, caution)
    return figure


def folds(facts: Mapping[str, Any]) -> Figure:
    """Figures of each fold, and of all out-of-fold predictions together, on one scale.

    Args:
        facts: as written to ``cross_validation.json``.
    """
    shown = {"ROC AUC": ("roc_auc",), "accuracy": ("accuracy",), "recall, mean of classes": ("macro", "recall")}
    figure = new_figure(7.2, 3.1)
    axes = figure.subplots()
    for row, path in enumerate(shown.values()):
        values = [value for value in (_at(fold, path) for fold in facts["folds"]) if value is not None]
        axes.plot(values, [row] * len(values), "o", color=COLOURS[0], alpha=0.45, markersize=8, mew=0)
        pooled = _at(facts["pooled"], path)
        if pooled is not None:
            axes.plot(pooled, row, "D", color=COLOURS[0], markersize=8)
    interval = facts["shortcuts"]["network"]["interval"]
    if interval["low"] is not None:
        axes.plot([interval["low"], interval["high"]], [0, 0], color=COLOURS[0], linewidth=2, zorder=0)
    trivial = facts["shortcuts"]["trivial"]["auc"]
    if trivial is not None:
        axes.plot(trivial, 0, "s", color=COLOURS[1], markersize=8, fillstyle="none", mew=2)
    axes.plot([], [], "o", color=COLOURS[0], alpha=0.45, label="one fold")
    axes.plot([], [], "D-", color=COLOURS[0], label="all folds together, 95 % interval")
    axes.plot([], [], "s", color=COLOURS[1], fillstyle="none", mew=2, label="numbers without anatomy, all folds")
    axes.set_yticks(range(len(shown)), list(shown))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    title = f"Cross-validation: {facts['pictures']} pictures in {facts['groups']} groups, {len(facts['folds'])} folds"
    axes.set_title(caption(facts["synthetic"], title), fontsize=10)
    clear_spines(axes)
    footnote(figure, facts["few_groups"])
    return figure


def _at(facts: Mapping[str, Any], path: Sequence[str]) -> float | None:
    value: Any = facts
    for name in path:
        value = value[name]
    return None if value is None else float(value)


def dataset_overview(facts: Mapping[str, Any]) -> Figure:
    """From files to independent groups, and the histograms of size and grey values, of every class.

    Args:
        facts: of :func:`lung_tumor.dataset_facts.describe_dataset`.
    """
    by_class, histograms = facts["counts"]["by_class"], facts["histograms"]
    figure = new_figure(11, 3.4 + 0.7 * len(by_class) + 1.8)
    figure.suptitle(caption(facts["synthetic"], facts["headline"]), fontsize=12, fontweight="bold")
    grid = figure.add_gridspec(2, len(histograms), height_ratios=(1.2 + 0.7 * len(by_class), 2.4))
    _draw_funnel(figure.add_subplot(grid[0, :]), by_class)
    for column, histogram in enumerate(histograms):
        _draw_histogram(figure.add_subplot(grid[1, column]), histogram)
    footnote(figure, facts["few_groups"])
    return figure


def _draw_funnel(axes: Axes, by_class: Mapping[str, Mapping[str, Any]]) -> None:
    """Grouped bars, one group a class, files uppermost."""
    steps = {"files": "file", "distinct_bytes": "distinct file", "pictures": "picture", "groups": "independent group"}
    for row, (label, counts) in enumerate(by_class.items()):
        for position, (step, thing) in enumerate(steps.items()):
            height = row + 0.19 * (position - 1.4)
            axes.barh(height, counts[step], 0.17, color=COLOURS[row % len(COLOURS)], alpha=0.4 + 0.2 * position)
            axes.text(counts[step], height, f" {how_many(counts[step], thing)}", va="center", fontsize=7)
        axes.text(0, row - 0.4, literal(label), fontsize=9, fontweight="bold", va="bottom")
    axes.set_ylim(len(by_class) - 0.45, -0.75)
    axes.margins(x=0.14)
    axes.set_yticks([])
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)


def _draw_histogram(axes: Axes, histogram: Mapping[str, Any]) -> None:
    """Outlines of every class's histogram, each as high as the others, so that small and large classes compare."""
    edges = np.asarray(histogram["edges"], dtype=np.float64)
    for index, (label, counts) in enumerate(histogram["counts"].items()):
        heights = np.asarray(counts, dtype=np.float64) / max(1, *counts)
        axes.stairs(heights, edges, color=COLOURS[index % len(COLOURS)], linewidth=1.6, label=literal(label))
    widths = np.diff(edges)
    if widths[-1] > 1.5 * widths[0]:
        axes.set_xscale("log")
    axes.set_title(histogram["title"], fontsize=9)
    axes.set_xlabel(histogram["unit"], fontsize=8)
    axes.set_ylabel("files, by class", fontsize=8)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    clear_spines(axes)

"""Figures of an evaluation. Functions take data and return a Matplotlib figure; none is shown or saved here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lung_tumor import curves
from lung_tumor.figures import COLOURS, caption, clear_spines, footnote, literal, new_figure
from lung_tumor.operating_point import suspicion
from lung_tumor.wording import percent

_BAND = 0.16
_REFERRED = "0.86"


@dataclass(frozen=True)
class Predictions:
    """What was predicted of n slices.

    Attributes:
        classes: class names, in the order of the columns.
        labels: (n,) index of each slice's true class.
        probabilities: (n, classes), calibrated.
        groups: (n,) group of each slice.
    """

    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.floating[Any]]
    groups: tuple[str, ...]

    def shown(self, negative: str) -> list[int]:
        """Columns that have a curve of their own: of two classes the one that means disease, of more all."""
        if len(self.classes) > 2:
            return list(range(len(self.classes)))
        return [next(index for index, name in enumerate(self.classes) if name != negative)]

    def side(self, index: int) -> npt.NDArray[np.bool_] | None:
        """Whether each slice is of a class, (n,); None where all are or none is."""
        positive: npt.NDArray[np.bool_] = self.labels == index
        return positive if 0 < int(positive.sum()) < len(positive) else None


def roc(
    predictions: Predictions,
    found: Mapping[str, Any],
    point: Mapping[str, Any],
    *,
    synthetic: bool,
    caution: Sequence[str] = (),
    draws: int = 1000,
    seed: int = 0,
) -> Figure:
    """ROC curves with 95 % bands over groups, unless too few: one for two classes, else one against the rest for each class.

    Args:
        predictions: of the test slices.
        found: their figures, ``metrics["test"]["network"]``; areas and their intervals are named in the legend.
        point: ``metrics["operating_point"]``, marked where there are two classes.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
        draws: resamples of a band.
        seed: of the resamples.
    """
    figure = new_figure(4.8, 5.0)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle=":", linewidth=1, label="chance")
    for index in predictions.shown(point["negative"]):
        name, positive = predictions.classes[index], predictions.side(index)
        if positive is None:
            continue
        scores, colour = predictions.probabilities[:, index], COLOURS[index % len(COLOURS)]
        _fill(axes, curves.roc_band(positive, scores, predictions.groups, draws, seed), colour)
        label = _named(name, "AUC", "roc_auc", found)
        axes.plot(*curves.roc(positive, scores), color=colour, linewidth=2, label=label)
    if len(predictions.classes) == 2:
        reached = [point["test"][name]["value"] for name in ("sensitivity", "specificity")]
        if None not in reached:
            axes.plot(1.0 - reached[1], reached[0], "o", color="black", markersize=7, label="operating point")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("false positive rate (1 - specificity)")
    axes.set_ylabel("true positive rate (sensitivity)")
    axes.set_title(caption(synthetic, _titled("ROC, test slices", axes)), fontsize=10)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    clear_spines(axes)
    footnote(figure, caution)
    return figure


def precision_recall(
    predictions: Predictions,
    found: Mapping[str, Any],
    negative: str,
    *,
    synthetic: bool,
    caution: Sequence[str] = (),
    draws: int = 1000,
    seed: int = 0,
) -> Figure:
    """Precision against recall with 95 % bands over groups; dotted, what guessing reaches: the share of the class.

    Args:
        predictions: of the test slices.
        found: their figures, ``metrics["test"]["network"]``.
        negative: class that means no disease; of two classes the other is drawn.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
        draws: resamples of a band.
        seed: of the resamples.
    """
    figure = new_figure(4.8, 5.0)
    axes = figure.subplots()
    for index in predictions.shown(negative):
        name, positive = predictions.classes[index], predictions.side(index)
        if positive is None:
            continue
        scores, colour = predictions.probabilities[:, index], COLOURS[index % len(COLOURS)]
        _fill(axes, curves.precision_recall_band(positive, scores, predictions.groups, draws, seed), colour)
        recall, precision = curves.precision_recall(positive, scores)
        axes.plot(
            np.append(0.0, recall),
            np.append(precision[0], precision),
            color=colour,
            linewidth=2,
            drawstyle="steps-pre",
            label=_named(name, "average precision", "average_precision", found),
        )
        axes.axhline(positive.mean(), color=colour, linestyle=":", linewidth=1)
    axes.plot([], [], color="0.5", linestyle=":", linewidth=1, label="share of the class: guessing")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("recall (sensitivity)")
    axes.set_ylabel("precision")
    axes.set_title(caption(synthetic, _titled("Precision and recall, test slices", axes)), fontsize=10)
    axes.legend(loc="lower left", frameon=False, fontsize=8)
    clear_spines(axes)
    footnote(figure, caution)
    return figure


def reliability(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    errors: Mapping[str, float],
    *,
    synthetic: bool,
    caution: Sequence[str] = (),
) -> Figure:
    """How often the network is right against how sure it is, before and after calibration, with counts below.

    Args:
        before: bins with ``low``, ``high``, ``count``, ``confidence`` and ``accuracy``; empty ones are not drawn.
        after: the same of calibrated probabilities.
        errors: expected calibration error ``before`` and ``after``.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
    """
    figure = new_figure(8.6, 4.8)
    figure.suptitle(caption(synthetic, "Reliability, test slices"), fontsize=10)
    upper, lower = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 1))
    for axes, counts, (when, bins) in zip(upper, lower, (("before", before), ("after", after)), strict=True):
        filled = [entry for entry in bins if entry["count"]]
        confidence, accuracy = ([entry[name] for entry in filled] for name in ("confidence", "accuracy"))
        axes.plot([0, 1], [0, 1], color="0.7", linestyle=":", linewidth=1)
        axes.plot(confidence, accuracy, "o-", color=COLOURS[0], linewidth=1.6, markersize=6)
        axes.set_title(f"{when} calibration: expected calibration error {errors[when]:.3f}", fontsize=9)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        edges = [*(entry["low"] for entry in bins), bins[-1]["high"]] if bins else [0.0, 1.0]
        counts.stairs([entry["count"] for entry in bins] or [0], edges, fill=True, color=COLOURS[5])
        counts.set_xlabel("confidence: probability of the predicted class", fontsize=8)
        counts.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        clear_spines(axes)
        clear_spines(counts)
    upper[0].set_ylabel("share right", fontsize=8)
    lower[0].set_ylabel("slices", fontsize=8)
    footnote(figure, caution)
    return figure


def coverage(point: Mapping[str, Any], *, synthetic: bool, caution: Sequence[str] = ()) -> Figure:
    """What referring buys: the share of wrong answers against the share of slices that get one.

    Along the curve none is refused; the chosen band's point counts those that are, so that it may lie off the curve.

    Args:
        point: ``metrics["operating_point"]``; its ``coverage`` is that of
            :func:`lung_tumor.operating_point.coverage_curve`.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
    """
    shares, errors = ([row[name] for row in point["coverage"]] for name in ("coverage", "error"))
    figure = new_figure(4.8, 4.2)
    axes = figure.subplots()
    axes.plot(shares, errors, color=COLOURS[0], linewidth=2, label="band wider or narrower")
    axes.plot(shares[-1], errors[-1], "s", color=COLOURS[0], markersize=6, label="without a band")
    test = point["test"]
    if (error := test["error_when_answered"]["value"]) is not None:
        answered = 1.0 - test["referred"]["value"] - test["refused"]["value"]
        label = f"chosen band, and refusals: {percent(answered)} answered, {percent(error)} of these wrong"
        axes.plot(answered, error, "o", color=COLOURS[1], markersize=9, label=label)
    axes.set(xlim=(-0.01, 1.02), ylim=(-0.005, max(0.1, 1.4 * max(errors))))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("coverage: share of test slices answered")
    axes.set_ylabel("error: share of answers that are wrong")
    axes.set_title(caption(synthetic, "Coverage and error, test slices"), fontsize=10)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    clear_spines(axes)
    footnote(figure, caution)
    return figure


def score_distribution(
    predictions: Predictions, point: Mapping[str, Any], *, synthetic: bool, caution: Sequence[str] = ()
) -> Figure:
    """How suspicion is spread in each class, with the operating point and the refer band.

    Args:
        predictions: of the test slices.
        point: ``metrics["operating_point"]``.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
    """
    suspicions = suspicion(predictions.probabilities, predictions.classes, point["negative"])
    classes = predictions.classes
    figure = new_figure(8.6, 1.4 + 1.1 * len(classes))
    figure.suptitle(caption(synthetic, "Suspicion by true class, test slices"), fontsize=10)
    edges = np.linspace(0.0, 1.0, 26)
    for index, axes in enumerate(figure.subplots(len(classes), 1, sharex=True, squeeze=False)[:, 0]):
        here = suspicions[predictions.labels == index]
        axes.axvspan(point["low"], point["high"], color=_REFERRED, linewidth=0, label="refer band")
        axes.hist(here, edges, color=COLOURS[index % len(COLOURS)])
        axes.axvline(point["threshold"], color="black", linewidth=1.4, label="operating point")
        axes.set_title(literal(f"{classes[index]}: {len(here)}"), fontsize=9, loc="left")
        axes.set_xlim(0.0, 1.0)
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.set_ylabel("slices", fontsize=8)
        clear_spines(axes)
    axes.set_xlabel(literal(f"suspicion: 1 less the probability of {point['negative']}"), fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    footnote(figure, caution)
    return figure


_MAIN = {
    "ROC AUC": "roc_auc",
    "average precision": "average_precision",
    "balanced accuracy": "balanced_accuracy",
    "accuracy": "accuracy",
    "Matthews correlation": "mcc",
}
_JUDGES = {
    "network": ("the network", "o", COLOURS[0]),
    "trivial": ("numbers without anatomy", "s", COLOURS[1]),
    "majority": ("always the most frequent class", "D", "0.45"),
}


def main_figures(measured: Mapping[str, Any], where: str, *, synthetic: bool, caution: Sequence[str] = ()) -> Figure:
    """The main figures with 95 % intervals: network, numbers without anatomy and majority class on one scale.

    Args:
        measured: ``metrics["test"]`` or ``metrics["cross_validation"]``.
        where: what it was measured on, such as ``Test``.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
    """
    figure = new_figure(8.6, 3.8)
    axes = figure.subplots()
    judges = [(name, style) for name, style in _JUDGES.items() if measured[name] is not None]
    for place, (name, (label, marker, colour)) in enumerate(judges):
        found = measured[name]
        for row, figure_name in enumerate(_MAIN.values()):
            value, interval = found[figure_name], found["intervals"][figure_name]
            height = row + 0.2 * (place - (len(judges) - 1) / 2)
            if interval["low"] is not None:
                axes.plot([interval["low"], interval["high"]], [height] * 2, color=colour, linewidth=2, alpha=0.55)
            if value is not None:
                axes.plot(value, height, marker, color=colour, markersize=7)
        axes.plot([], [], f"{marker}-", color=colour, label=label)
    axes.set_yticks(range(len(_MAIN)), list(_MAIN))
    axes.set_ylim(len(_MAIN) - 0.5, -0.5)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    title = f"{where}: {measured['slices']} slices in {measured['groups']} independent groups, 95 % intervals"
    axes.set_title(caption(synthetic, title), fontsize=10)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    clear_spines(axes)
    footnote(figure, caution)
    return figure


def _fill(axes: Axes, band: curves.Band | None, colour: str) -> None:
    if band is not None:
        axes.fill_between(band.at, band.low, band.high, color=colour, alpha=_BAND, linewidth=0)


def _titled(title: str, axes: Axes) -> str:
    """Whether there is a band around a curve: too few groups leave none."""
    return f"{title}, {'95 % band' if axes.collections else 'too few groups for a band'}"


def _named(name: str, words: str, figure_name: str, found: Mapping[str, Any]) -> str:
    """A legend entry of a class with slices on both sides: its name, area and, where there is one, its interval."""
    value = found["per_class"][name][figure_name]
    interval = found["intervals"][f"per_class.{name}.{figure_name}"]
    text = f"{name}: {words} {value:.3f}"
    if interval["low"] is not None:
        text += f" ({interval['low']:.3f} to {interval['high']:.3f})"
    return literal(text)

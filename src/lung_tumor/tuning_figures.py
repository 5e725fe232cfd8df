"""Figures of a search. Functions take data and return a Matplotlib figure; none is shown or saved here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lung_tumor.figures import COLOURS, caption, clear_spines, footnote, new_figure
from lung_tumor.tuning import COMPLETE, PRUNED, SearchResult
from lung_tumor.wording import how_many, percent

_SPREAD = 20.0
"""Ratio of the largest to the smallest score beyond which they are drawn by their logarithm."""


def search_history(result: SearchResult, *, synthetic: bool, caution: Sequence[str] = ()) -> Figure:
    """Score of every trial, the best so far, and the present configuration.

    Args:
        result: of :func:`lung_tumor.tuning.search`.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
    """
    figure = new_figure(8, 4.2)
    axes = figure.subplots()
    complete = [trial for trial in result.trials if trial.state == COMPLETE]
    pruned = [trial for trial in result.trials if trial.state == PRUNED]
    default, best = result.default, result.best
    numbers = [trial.number for trial in complete]
    scores = [trial.score for trial in complete]
    # Folds are of unequal difficulty: a mean over some of them is drawn where it lies beside the present configuration's.
    guesses = [default.score + trial.excess(default) for trial in pruned]
    if pruned:
        axes.plot(
            [trial.number for trial in pruned],
            guesses,
            "o",
            markersize=5,
            markerfacecolor="none",
            markeredgecolor="0.72",
            label="stopped early: judged by the folds seen",
        )
    axes.plot(numbers, scores, "o", markersize=5, color=COLOURS[5], label="complete")
    ends = [*numbers, result.trials[-1].number]
    so_far = np.minimum.accumulate([*scores, scores[-1]])
    axes.plot(ends, so_far, drawstyle="steps-post", color=COLOURS[0], linewidth=1.6, label="best so far")
    axes.axhline(default.score, color=COLOURS[1], linestyle=":", linewidth=1.2)
    axes.plot(
        0, default.score, "D", markersize=7, color=COLOURS[1], label=f"present configuration: {default.score:.4f}"
    )
    if best is not default:
        axes.plot(best.number, best.score, "*", markersize=13, color=COLOURS[0], label=f"best: {best.score:.4f}")
    shown = [*scores, *guesses]
    if max(shown) > _SPREAD * min(shown) > 0.0:
        axes.set_yscale("log")
    axes.set_xlabel("trial")
    axes.set_ylabel("weighted log loss, mean over folds\n(smaller is better)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(caption(synthetic, f"Search: {how_many(len(result.trials), 'trial')}"), fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    clear_spines(axes)
    footnote(figure, caution)
    return figure


def importances(result: SearchResult, *, synthetic: bool, caution: Sequence[str] = ()) -> Figure:
    """Share of each searched option in what sets good trials apart.

    Args:
        result: of :func:`lung_tumor.tuning.search`.
        synthetic: whether the slices are the phantom's.
        caution: lines below it, such as how few independent pictures it rests on.
    """
    shares = result.importances
    complete = sum(trial.state == COMPLETE for trial in result.trials)
    figure = new_figure(6.4, 1.6 + 0.34 * max(len(shares), 3))
    axes = figure.subplots()
    figure.suptitle(caption(synthetic, "What sets good trials apart"), fontsize=10)
    if shares:
        bars = axes.barh(list(shares), list(shares.values()), 0.62, color=COLOURS[0])
        axes.bar_label(bars, [percent(share) for share in shares.values()], padding=3, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.14)
        axes.set_xlabel(f"importance (PED-ANOVA over {how_many(complete, 'complete trial')})", fontsize=8)
        axes.set_xticks([])
        clear_spines(axes)
        axes.spines["bottom"].set_visible(False)
    else:
        axes.text(0.5, 0.5, "too few complete trials to tell", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
    footnote(figure, caution)
    return figure

"""Figures hold what they were given, and say when it is synthetic."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from lung_tumor import figures
from tests.support.data_sets import facts_of, files_of, small, small_pairs

ROWS = [
    {"epoch": 1, "loss": 0.9, "val_loss": 0.8, "accuracy": 0.5, "val_accuracy": 0.6, "kept": 0.0},
    {"epoch": 2, "loss": 0.5, "val_loss": 0.4, "accuracy": 0.7, "val_accuracy": 0.8, "kept": 1.0},
    {"epoch": 3, "loss": 0.3, "val_loss": 0.6, "accuracy": 0.9, "val_accuracy": 0.7, "kept": 0.0},
]


def sheet(*, synthetic: bool = False, count: int = 5) -> Figure:
    slices = [np.full((32, 32), grey, np.uint8) for grey in range(count)]
    return figures.contact_sheet(slices, [f"slice {n}" for n in range(count)], "normal", synthetic=synthetic, columns=4)


def matrix(*, synthetic: bool = False) -> Figure:
    return figures.confusion_matrix([[3, 1], [0, 0]], ("a", "b"), synthetic=synthetic)


def progress(*, synthetic: bool = False) -> Figure:
    return figures.history(ROWS, synthetic=synthetic)


def overview(*, synthetic: bool = False) -> Figure:
    return figures.dataset_overview(facts_of(small(), small_pairs(), synthetic=synthetic))


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")))


def test_the_overview_says_how_few_groups_stand_behind_it() -> None:
    for line in facts_of(small(), small_pairs())["few_groups"]:
        assert line in overview(synthetic=False).get_supxlabel()


@pytest.mark.parametrize("draw", [sheet, matrix, progress, overview])
def test_every_figure_renders_and_says_when_the_slices_are_synthetic(draw: Callable[..., Figure]) -> None:
    for synthetic in (True, False):
        figure = draw(synthetic=synthetic)
        figure.savefig(buffer := io.BytesIO(), format="png")
        assert buffer.getvalue().startswith(b"\x89PNG")
        assert ("synthetic slices (phantom)" in texts(figure)) == synthetic


def test_a_contact_sheet_shows_each_slice_unchanged_with_its_caption() -> None:
    figure = sheet(count=5)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.images[0].get_array().max() for axes in shown] == [0, 1, 2, 3, 4]
    assert [axes.get_title() for axes in shown] == [f"slice {number}" for number in range(5)]
    assert {axes.images[0].get_clim() for axes in shown} == {(0, 255)}
    assert len(figure.axes) == 8


def test_one_slice_makes_a_sheet_too() -> None:
    assert sum(bool(axes.images) for axes in sheet(count=1).axes) == 1


def test_the_confusion_matrix_shows_counts_and_shares_of_the_true_class() -> None:
    axes = matrix().axes[0]
    assert [text.get_text() for text in axes.texts] == ["3\n75%", "1\n25%", "0\n0%", "0\n0%"]
    assert [(text.get_position()) for text in axes.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])


def test_the_history_marks_the_epoch_that_was_kept() -> None:
    for axes, name in zip(progress().axes, ("loss", "accuracy"), strict=True):
        training, validation, kept = axes.lines
        assert training.get_ydata().tolist() == [row[name] for row in ROWS]
        assert validation.get_ydata().tolist() == [row[f"val_{name}"] for row in ROWS]
        assert kept.get_label() == "kept: epoch 2"
        assert set(kept.get_xdata()) == {2}


def test_the_overview_draws_every_step_of_every_class_to_scale() -> None:
    funnel = overview().axes[0]
    assert [round(bar.get_width()) for bar in funnel.patches] == [7, 6, 2, 1, 4, 4, 3, 3]
    words = [text.get_text().strip() for text in funnel.texts]
    assert words[:5] == ["7 files", "6 distinct files", "2 pictures", "1 independent group", "sick"]


def test_the_overview_draws_the_histograms_that_it_was_given() -> None:
    facts = facts_of(small(), small_pairs())
    figure = figures.dataset_overview(facts)
    for axes, histogram in zip(figure.axes[1:], facts["histograms"], strict=True):
        for steps, counts in zip(axes.patches, histogram["counts"].values(), strict=True):
            np.testing.assert_allclose(steps.get_data().values * max(counts), counts)
            np.testing.assert_allclose(steps.get_data().edges, histogram["edges"])


def test_class_names_are_no_formula_in_the_overview() -> None:
    figure = figures.dataset_overview(facts_of(files_of([{"path": "$\\frac{$/1"}, {"path": "_b/1"}])))
    figure.savefig(io.BytesIO(), format="png")
    assert "frac" in texts(figure)

"""Figures of an evaluation hold what they were given, and say when it is synthetic."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from lung_tumor import evaluation_figures as drawn
from lung_tumor.evaluation_figures import Predictions
from lung_tumor.operating_point import OperatingPoint, OperatingPointOptions, choose, coverage_curve, judge
from tests.support.evaluations import bins, evaluation, measured, point, predicted

Draw = Callable[..., Figure]


def roc(classes: int = 2, *, synthetic: bool = False) -> Figure:
    predictions = predicted(classes)
    found = measured(predictions)["network"]
    return drawn.roc(predictions, found, point(predictions), synthetic=synthetic, draws=20, caution=["few groups"])


def precision_recall(classes: int = 2, *, synthetic: bool = False) -> Figure:
    predictions = predicted(classes)
    found = measured(predictions)["network"]
    return drawn.precision_recall(predictions, found, "normal", synthetic=synthetic, draws=20, caution=["few groups"])


def reliability(classes: int = 2, *, synthetic: bool = False) -> Figure:
    errors = {"before": 0.08, "after": 0.034}
    return drawn.reliability(bins(0.1), bins(), errors, synthetic=synthetic, caution=["few groups"])


def coverage(classes: int = 2, *, synthetic: bool = False) -> Figure:
    predictions = predicted(classes)
    return drawn.coverage(point(predictions), synthetic=synthetic, caution=["few groups"])


def scores(classes: int = 2, *, synthetic: bool = False) -> Figure:
    predictions = predicted(classes)
    return drawn.score_distribution(predictions, point(predictions), synthetic=synthetic, caution=["few groups"])


def main_figures(classes: int = 2, *, synthetic: bool = False) -> Figure:
    metrics = evaluation(predicted(classes))
    return drawn.main_figures(metrics["test"], "Test", synthetic=synthetic, caution=["few groups"])


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")))


def labels(figure: Figure) -> list[str]:
    return [str(line.get_label()) for line in figure.axes[0].lines if not str(line.get_label()).startswith("_")]


@pytest.mark.parametrize("draw", [roc, precision_recall, reliability, coverage, scores, main_figures])
@pytest.mark.parametrize("classes", [2, 3])
def test_every_figure_renders_says_what_is_synthetic_and_how_little_it_rests_on(draw: Draw, classes: int) -> None:
    for synthetic in (True, False):
        figure = draw(classes, synthetic=synthetic)
        figure.savefig(buffer := io.BytesIO(), format="png")
        assert buffer.getvalue().startswith(b"\x89PNG")
        assert ("synthetic slices (phantom)" in texts(figure)) == synthetic
        assert figure.get_supxlabel() == "few groups"


def test_two_classes_share_one_roc_curve_of_the_disease_with_the_operating_point() -> None:
    figure = roc()
    value = measured(predicted())["network"]["roc_auc"]
    chance, curve, marked = labels(figure)
    assert (chance, marked) == ("chance", "operating point")
    assert curve.startswith(f"adenocarcinoma: AUC {value:.3f} (")
    reached = point(predicted())["test"]
    (x,), (y,) = figure.axes[0].lines[-1].get_data()
    assert (x, y) == pytest.approx((1 - reached["specificity"]["value"], reached["sensitivity"]["value"]))
    assert len(figure.axes[0].collections) == 1


def test_three_classes_have_a_curve_and_a_band_each() -> None:
    for draw in (roc, precision_recall):
        named = " ".join(labels(draw(3)))
        assert all(f"{name}: " in named for name in ("adenocarcinoma", "normal", "squamous cell"))
        assert len(draw(3).axes[0].collections) == 3
    assert "operating point" not in labels(roc(3))


def test_a_perfect_ranking_runs_through_the_upper_left_corner() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    predictions = Predictions(("a", "b"), np.array([0, 0, 1, 1]), probabilities, ("g", "h", "i", "j"))
    found = measured(predictions)["network"]
    figure = drawn.roc(predictions, found, point(predictions, "b"), synthetic=False, draws=20)
    assert [0.0, 1.0] in figure.axes[0].lines[1].get_xydata().tolist()
    assert "a: AUC 1.000" in labels(figure)[1]


def test_a_class_without_slices_has_no_curve_and_few_groups_no_band() -> None:
    predictions = Predictions(("a", "b", "c"), np.array([0, 0, 1, 1]), np.full((4, 3), 1 / 3), ("g", "g", "h", "i"))
    found = measured(predictions)["network"]
    figure = drawn.roc(predictions, found, point(predictions, "c"), synthetic=False, draws=20)
    assert [label.partition(":")[0] for label in labels(figure)] == ["chance", "a", "b"]
    assert len(figure.axes[0].collections) == 0
    assert figure.axes[0].get_title() == "ROC, test slices, too few groups for a band"
    assert roc().axes[0].get_title() == "ROC, test slices, 95 % band"
    assert len(labels(drawn.precision_recall(predictions, found, "c", synthetic=False, draws=20))) == 3


def test_the_reliability_diagram_draws_filled_bins_and_all_counts() -> None:
    figure = reliability()
    before, after, counts, _ = figure.axes
    np.testing.assert_allclose(before.lines[1].get_xdata(), [0.55, 0.65, 0.75, 0.85, 0.95])
    np.testing.assert_allclose(before.lines[1].get_ydata(), [0.45, 0.55, 0.65, 0.75, 0.85])
    assert counts.patches[0].get_data().values.tolist() == [0, 0, 0, 0, 0, 3, 6, 9, 12, 15]
    assert "expected calibration error 0.080" in before.get_title()
    assert "expected calibration error 0.034" in after.get_title()


def test_the_coverage_drawn_is_that_of_the_metrics_and_the_chosen_band_lies_on_it() -> None:
    predictions = predicted(slices=200)
    given = predictions.labels, predictions.probabilities, predictions.groups, predictions.classes
    chosen = choose(*given, OperatingPointOptions(0.9, 0.2))
    rows = coverage_curve(chosen, predictions.labels, predictions.probabilities, predictions.classes)
    reached = judge(chosen, *given, 20, 1)
    axes = drawn.coverage({**asdict(chosen), "coverage": rows, "test": reached}, synthetic=False).axes[0]
    curve, whole, marked = axes.lines
    np.testing.assert_allclose(curve.get_xydata(), [(row["coverage"], row["error"]) for row in rows])
    assert whole.get_xydata().tolist() == [[1.0, rows[-1]["error"]]]
    (share,), (error,) = marked.get_data()
    assert share == pytest.approx(1 - reached["referred"]["value"])
    assert error == pytest.approx(reached["error_when_answered"]["value"])
    assert np.isclose(curve.get_xydata(), [share, error]).all(axis=1).any()


def test_without_a_band_nothing_is_referred_and_where_all_are_no_error_is_marked() -> None:
    predictions = predicted()
    given = predictions.labels, predictions.probabilities, predictions.groups, predictions.classes
    lone = OperatingPoint("normal", 0.4, 0.4, 0.4, 0.95, 0.96, 0.7, 30)
    (share,), _ = drawn.coverage(_judged(lone, given), synthetic=False).axes[0].lines[-1].get_data()
    assert share == 1.0
    whole = replace(lone, low=0.0, high=1.0)
    assert len(drawn.coverage(_judged(whole, given), synthetic=False).axes[0].lines) == 2


def test_who_is_refused_is_not_among_the_answered_of_the_chosen_band() -> None:
    predictions = predicted()
    given = predictions.labels, predictions.probabilities, predictions.groups, predictions.classes
    refused = np.arange(60) < 15
    judged = _judged(OperatingPoint("normal", 0.4, 0.4, 0.4, 0.95, 0.96, 0.7, 30), given, refused)
    axes = drawn.coverage(judged, synthetic=False).axes[0]
    (share,), (error,) = axes.lines[-1].get_data()
    assert share == pytest.approx(45 / 60)
    assert f"75 % answered, {100 * error:.0f} % of these wrong" in axes.lines[-1].get_label()


def _judged(chosen: OperatingPoint, given: Any, refused: np.ndarray | None = None) -> dict[str, Any]:
    rows = coverage_curve(chosen, given[0], given[1], given[3])
    return {**asdict(chosen), "coverage": rows, "test": judge(chosen, *given, 20, 1, refused)}


def test_scores_are_counted_by_class_beside_the_operating_point() -> None:
    figure = scores(3)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "adenocarcinoma: 20",
        "normal: 20",
        "squamous cell: 20",
    ]
    for axes in figure.axes:
        assert axes.lines[0].get_xdata() == [0.4, 0.4]
        assert sum(patch.get_height() for patch in axes.patches[1:]) == 20


def test_main_figures_stand_beside_the_baselines_and_undefined_ones_are_left_out() -> None:
    test = measured(predicted())
    test["trivial"] = None
    test["network"]["roc_auc"] = None
    axes = drawn.main_figures(test, "Test", synthetic=False).axes[0]
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(points) == 5 + 5 - 1
    assert labels(axes.figure) == ["the network", "always the most frequent class"]
    assert "60 slices in 30 independent groups" in axes.get_title()


def test_class_names_are_no_formula() -> None:
    predictions = Predictions(
        ("$\\frac{$", "_b"), *(getattr(predicted(), name) for name in ("labels", "probabilities", "groups"))
    )
    found = measured(predictions)["network"]
    chosen = point(predictions, "_b")
    for figure in (
        drawn.roc(predictions, found, chosen, synthetic=False, draws=10),
        drawn.precision_recall(predictions, found, "_b", synthetic=False, draws=10),
        drawn.score_distribution(predictions, chosen, synthetic=False),
    ):
        figure.savefig(io.BytesIO(), format="png")
        assert "frac" in texts(figure)

"""Whether a new model may take the champion's place: only if it is not worse, on the same slices, beyond a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lung_tumor.bootstrap import Interval, few_groups, interval_of
from lung_tumor.metrics import Labels, Probabilities, classification_metrics
from lung_tumor.options import require_types
from lung_tumor.scores import SINGLE, draw_figures

IN_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "Matthews's correlation",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}


@dataclass(frozen=True)
class PromotionOptions:
    """``params:evaluation.promotion``.

    Attributes:
        figure: what decides, one of :data:`lung_tumor.scores.SINGLE`.
        margin: by how much the new model may be worse, in units of the figure, 0 or more.
        draws: resamples behind the interval, in [100, 100000].
    """

    figure: str = "roc_auc"
    margin: float = 0.05
    draws: int = 1000

    def __post_init__(self) -> None:
        require_types(self, "promotion")
        if self.figure not in SINGLE:
            raise ValueError(f"promotion.figure must be one of {', '.join(SINGLE)}, received {self.figure!r}")
        if not 0.0 <= self.margin < float("inf"):
            raise ValueError(f"promotion.margin must be 0 or more, received {self.margin}")
        if not 100 <= self.draws <= 100_000:
            raise ValueError(f"promotion.draws must lie in [100, 100000], received {self.draws}")


def judge(
    labels: Labels,
    groups: Sequence[str],
    classes: Sequence[str],
    candidate: Probabilities,
    champion: Probabilities | None,
    options: PromotionOptions,
    seed: int,
    incomparable: str = "",
) -> dict[str, Any]:
    """Compare two models on the same slices, which neither may have learnt from (paired bootstrap over groups).

    The candidate is promoted if the 95 % interval of the difference lies above ``-margin``: a test for non-inferiority. So
    a small test set, of which much could be true, keeps the champion.

    Args:
        labels: (n,) index of each test slice's true class.
        groups: (n,) group of each slice.
        classes: class names, in the order of the columns.
        candidate: (n, classes) probabilities of the new model.
        champion: (n, classes) probabilities of the model in service, or None where there is none.
        options: see :class:`PromotionOptions`.
        seed: of the resamples; both models see the same ones.
        incomparable: why the champion cannot be compared, such as other classes or another data set; the candidate is then
            promoted. Empty if it can.

    Returns:
        ``promoted``, ``first`` (there was no champion), ``difference`` (``value``, by how much the candidate is better, so
        that a smaller Brier score counts as positive, and its ``interval``; None without a comparison), ``margin``,
        ``figure`` and ``sentence``.

    Raises:
        ValueError: probabilities of the two that do not have one shape.
    """
    facts = {"margin": options.margin, "figure": options.figure}
    if champion is None or incomparable:
        sentence = (
            "This is the first model, so that it is the champion."
            if champion is None and not incomparable
            else f"The new model is the champion without a comparison: {incomparable}."
        )
        first = champion is None and not incomparable
        return {"promoted": True, "first": first, "difference": None, **facts, "sentence": sentence}
    if champion.shape != candidate.shape:
        raise ValueError(
            f"champion and candidate must judge the same slices, received {champion.shape} and {candidate.shape}"
        )
    value = _difference(labels, candidate, champion, classes, options.figure)
    if value is None:
        sentence = (
            f"The champion stays: {IN_WORDS[options.figure]} is undefined on these {len(labels)} test slices, so that the new "
            f"model cannot be compared."
        )
        return {"promoted": False, "first": False, "difference": None, **facts, "sentence": sentence}
    interval = _interval(labels, groups, classes, candidate, champion, options, seed)
    # Without an interval nothing is known of what else could be true: then it must not be worse at all.
    promoted = value >= 0.0 if interval.low is None else interval.low >= -options.margin
    return {
        "promoted": promoted,
        "first": False,
        "difference": {"value": value, "interval": interval.to_dict()},
        **facts,
        "sentence": _sentence(promoted, value, interval, options, len(labels)),
    }


def _difference(
    labels: Labels, candidate: Probabilities, champion: Probabilities, classes: Sequence[str], figure: str
) -> float | None:
    """By how much the candidate is better on these slices."""
    new, old = (classification_metrics(labels, given, classes)[figure] for given in (candidate, champion))
    if new is None or old is None:
        return None
    return float(new - old if SINGLE[figure] else old - new)


def _interval(
    labels: Labels,
    groups: Sequence[str],
    classes: Sequence[str],
    candidate: Probabilities,
    champion: Probabilities,
    options: PromotionOptions,
    seed: int,
) -> Interval:
    if reason := few_groups(groups, [classes[index] for index in labels]):
        return Interval(None, None, 0, reason=reason)
    new, old = (
        draw_figures(labels, given, groups, classes, options.draws, seed)[options.figure]
        for given in (candidate, champion)
    )
    return interval_of((new - old if SINGLE[options.figure] else old - new).tolist())


def _sentence(promoted: bool, value: float, interval: Interval, options: PromotionOptions, slices: int) -> str:
    figure = IN_WORDS[options.figure]
    size = f"{abs(value):.3f}"
    found = (
        "equals the champion's"
        if size == "0.000"
        else f"is {size} {'better' if value > 0 else 'worse'} than the champion's"
    )
    if interval.low is None or interval.high is None:
        sure = f"without an interval ({interval.reason}), so that it must not be worse at all"
    else:
        sure = f"95 % interval of the gain {interval.low:+.3f} to {interval.high:+.3f}"
    verdict = "The new model is promoted" if promoted else "The champion stays"
    allowed = f"a loss of up to {options.margin:g} is allowed"
    return f"{verdict}: the new {figure} {found} on the same {slices} test slices ({sure}); {allowed}."

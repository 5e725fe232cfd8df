"""Whether a new model may take the champion's place: only if it is not worse, on the same slices, beyond a margin.

Two things are compared: a figure of merit, and how the answers come out at each model's own operating point, which is what
readers meet. And the new model must not lie a margin below the best that a champion before it reached on these very slices,
or a line of champions could get worse by a margin each time.

Only slices count that neither has learnt from. The new model has learnt from none of the test slices; a champion of another
split may have, so that whole groups are left out. Where of a class fewer than :data:`lung_tumor.bootstrap.FEWEST_GROUPS`
are then left, the two are not comparable, and the champion stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from lung_tumor.bootstrap import FEWEST_GROUPS, Interval, few_groups, fewest_groups, group_bootstrap, interval_of
from lung_tumor.metrics import Labels, Probabilities, classification_metrics
from lung_tumor.operating_point import suspicion
from lung_tumor.options import require_types
from lung_tumor.scores import SINGLE, draw_figures

Flags = npt.NDArray[np.bool_]
OperatingFigure = Literal["balanced_accuracy", "sensitivity", "none"]

OPERATING = "operating_point."
"""What the name of a figure at the operating point begins with: there is a balanced accuracy of the likeliest class too."""

IN_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "Matthews's correlation",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
    f"{OPERATING}balanced_accuracy": "balanced accuracy at the operating point",
    f"{OPERATING}sensitivity": "sensitivity at the operating point",
}

REMOVE = "to replace it all the same, remove its file and evaluate again"
"""The way out of every verdict that keeps a champion without a comparison."""

AGAIN = "This is the champion itself, evaluated again: it stays served."


@dataclass(frozen=True)
class PromotionOptions:
    """``params:evaluation.promotion``.

    Attributes:
        figure: what decides, one of :data:`lung_tumor.scores.SINGLE`.
        margin: by how much the new model may be worse, in units of the figure, 0 or more.
        operating_figure: what decides beside it, of the answers at each model's own operating point: ``sensitivity``,
            ``balanced_accuracy`` (the mean of sensitivity and specificity), or ``none``.
        operating_margin: by how much the new model may be worse there, 0 or more.
        draws: resamples behind the intervals, in [100, 100000].
    """

    figure: str = "roc_auc"
    margin: float = 0.05
    operating_figure: OperatingFigure = "balanced_accuracy"
    operating_margin: float = 0.1
    draws: int = 1000

    def __post_init__(self) -> None:
        require_types(self, "promotion")
        for name, known in (("figure", tuple(SINGLE)), ("operating_figure", get_args(OperatingFigure))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"promotion.{name} must be one of {', '.join(known)}, received {getattr(self, name)!r}"
                )
        for name in ("margin", "operating_margin"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"promotion.{name} must be 0 or more, received {getattr(self, name)}")
        if not 100 <= self.draws <= 100_000:
            raise ValueError(f"promotion.draws must lie in [100, 100000], received {self.draws}")

    @property
    def margins(self) -> dict[str, float]:
        """What decides, and by how much the new model may be worse in it."""
        operating = {f"{OPERATING}{self.operating_figure}": self.operating_margin}
        return {self.figure: self.margin} | (operating if self.operating_figure != "none" else {})


@dataclass(frozen=True)
class HeldOut:
    """The test slices that both models judge.

    Attributes:
        labels: (n,) index of each one's true class.
        groups: (n,) group of each.
        classes: class names.
        negative: the class that means that nothing is suspected.
        digest: of which slices these are, with their labels and groups.
    """

    labels: Labels
    groups: Sequence[str]
    classes: Sequence[str]
    negative: str
    digest: str

    def at(self, rows: Flags) -> HeldOut:
        """Some of them; not the digest's slices any more."""
        places = np.flatnonzero(rows).tolist()
        groups = [self.groups[place] for place in places]
        return HeldOut(self.labels[rows], groups, self.classes, self.negative, digest="")

    @property
    def names(self) -> list[str]:
        """(n,) name of each slice's true class."""
        return [self.classes[index] for index in self.labels]

    @property
    def diseased(self) -> Flags:
        """(n,) whether a slice is of another class than the negative one."""
        return np.asarray(self.labels != list(self.classes).index(self.negative))


@dataclass(frozen=True)
class Said:
    """What one model says of the test slices.

    Attributes:
        probabilities: (n, classes), columns in the order of the classes.
        threshold: the suspicion from which on it suspects, at its own operating point. Whom it refers or refuses is left out
            of the comparison, as in the sensitivity of its report.
    """

    probabilities: Probabilities
    threshold: float

    def at(self, rows: Flags) -> Said:
        """The same of some of the slices."""
        return Said(self.probabilities[rows], self.threshold)

    def suspected(self, held_out: HeldOut) -> Flags:
        """(n,) whether a slice is suspected."""
        given = suspicion(self.probabilities.astype(np.float64), held_out.classes, held_out.negative)
        return np.asarray(given >= self.threshold)


@dataclass(frozen=True)
class Lineage:
    """What the best of a line of champions reached on the same test slices.

    Attributes:
        test_digest: :attr:`HeldOut.digest`; on other slices it says nothing.
        best: the best value of each figure that decided, by its name.
    """

    test_digest: str = ""
    best: Mapping[str, float] = field(default_factory=dict)

    def on(self, held_out: HeldOut) -> Mapping[str, float]:
        """The best values, none where they are of other slices."""
        return self.best if self.test_digest == held_out.digest else {}


def judge(
    held_out: HeldOut,
    candidate: Said,
    champion: Said | None,
    lineage: Lineage,
    options: PromotionOptions,
    seed: int,
    incomparable: str = "",
    learnt: Collection[str] = (),
) -> dict[str, Any]:
    """Compare two models on the same slices, those that neither has learnt from (paired bootstrap over groups).

    The candidate is promoted if the 95 % interval of every difference lies above its margin: a test for non-inferiority. So
    a small test set, of which much could be true, keeps the champion.

    Args:
        held_out: the test slices.
        candidate: what the new model says of them.
        champion: what the model in service says, or None where there is none.
        lineage: of the champion.
        options: see :class:`PromotionOptions`.
        seed: of the resamples; both models see the same ones.
        incomparable: why the champion cannot be compared, such as other classes; the candidate is then promoted. Empty if
            it can.
        learnt: groups that the champion learnt from; their test slices do not count, see the module.

    Returns:
        ``promoted``; ``served``, whether the model judged here is the one that is served from now on; ``first`` (there was
        no champion); ``left_out``, how many test slices do not count; ``compared``, by figure: its value of ``candidate`` and
        ``champion``, ``gain``, by how much the candidate is better, so that a smaller Brier score counts as positive, with
        its ``interval``, the ``margin``, the ``best`` value of all champions (None where it is not known) and ``passed``;
        ``lineage`` as it is from now on; ``sentence``.

    Raises:
        ValueError: probabilities of the two that do not have one shape.
    """
    if champion is None or incomparable:
        first = champion is None and not incomparable
        sentence = (
            "This is the first model, so that it is the champion."
            if first
            else f"The new model is the champion without a comparison: {incomparable}."
        )
        grown = asdict(grow(Lineage(), held_out, candidate, options))
        return _verdict(promoted=True, first=first, lineage=grown, sentence=sentence)
    if champion.probabilities.shape != candidate.probabilities.shape:
        received = f"{champion.probabilities.shape} and {candidate.probabilities.shape}"
        raise ValueError(f"champion and candidate must judge the same slices, received {received}")
    fair = np.array([group not in learnt for group in held_out.groups])
    left_out = int((~fair).sum())
    if reason := _too_few(held_out, fair):
        return stay(lineage, reason, left_out)
    # Of other slices, as these are where some do not count, the best of the line says nothing.
    best = {} if left_out else lineage.on(held_out)
    shown, new, old = held_out.at(fair), candidate.at(fair), champion.at(fair)
    compared = {
        name: _compare(name, shown, new, old, best.get(name), margin, options.draws, seed)
        for name, margin in options.margins.items()
    }
    promoted = all(found["passed"] for found in compared.values())
    telling = {name: found for name, found in compared.items() if promoted or not found["passed"]}
    told = [_clause(name, found, shown) for name, found in telling.items()]
    reasons = dict.fromkeys(found["interval"]["reason"] for found in telling.values() if _unsure(found))
    unsure = f" No interval: {'; '.join(reasons)}. So it must not be worse at all." if reasons else ""
    unsure += f" {_left_out(left_out, held_out)} do not count." if left_out else ""
    return _verdict(
        promoted=promoted,
        compared=compared,
        left_out=left_out,
        lineage=asdict(grow(lineage, held_out, candidate, options)) if promoted else asdict(lineage),
        sentence=f"{'The new model is promoted' if promoted else 'The champion stays'}: {'; '.join(told)}.{unsure}",
    )


def _too_few(held_out: HeldOut, fair: Flags) -> str:
    """Why the slices that count are too few to compare two models on, empty if they are not, or if all count."""
    if fair.all():
        return ""
    kept = held_out.at(fair)
    counts = {
        name: len({group for group, label in zip(kept.groups, kept.names, strict=True) if label == name})
        for name in held_out.classes
    }
    if min(counts.values()) >= FEWEST_GROUPS:
        return ""
    left = ", ".join(f"{name} {count}" for name, count in counts.items())
    return (
        f"it is not comparable with the new model. {_left_out(int((~fair).sum()), held_out)} do not count; of the groups of "
        f"the others ({left}) each class needs {FEWEST_GROUPS}"
    )


def _left_out(slices: int, held_out: HeldOut) -> str:
    return f"{slices} of {len(held_out.labels)} test slices that the champion learnt from, or from relatives of,"


def _unsure(found: Mapping[str, Any]) -> bool:
    """Whether a difference has no interval."""
    return found["interval"] is not None and found["interval"]["low"] is None


def stay(lineage: Lineage, reason: str, left_out: int = 0) -> dict[str, Any]:
    """The verdict where the champion stays whatever the figures say."""
    sentence = f"The champion stays: {reason}; {REMOVE}."
    return _verdict(lineage=asdict(lineage), left_out=left_out, sentence=sentence)


def evaluate_again(held_out: HeldOut, champion: Said, lineage: Lineage, options: PromotionOptions) -> dict[str, Any]:
    """The verdict on the model that is served already: it does not compete with itself, and stays, with new figures."""
    grown = asdict(grow(lineage, held_out, champion, options))
    return _verdict(lineage=grown, sentence=AGAIN) | {"served": True}


def grow(lineage: Lineage, held_out: HeldOut, champion: Said, options: PromotionOptions) -> Lineage:
    """The lineage with one more champion; on other test slices than before it begins anew."""
    best = dict(lineage.on(held_out))
    for name in options.margins:
        value = figure(name, held_out, champion)
        if value is not None and (name not in best or _gain(name, value, best[name]) > 0.0):
            best[name] = value
    return Lineage(held_out.digest, best)


def figure(name: str, held_out: HeldOut, said: Said) -> float | None:
    """One of :data:`IN_WORDS`; None where these slices do not define it."""
    if name.startswith(OPERATING):
        return _share_right(name, said.suspected(held_out), held_out.diseased)
    found: float | None = classification_metrics(held_out.labels, said.probabilities, held_out.classes)[name]
    return found


def _verdict(
    *,
    promoted: bool = False,
    first: bool = False,
    compared: Mapping[str, Any] | None = None,
    left_out: int = 0,
    lineage: Mapping[str, Any],
    sentence: str,
) -> dict[str, Any]:
    return {
        "promoted": promoted,
        "served": promoted,
        "first": first,
        "left_out": left_out,
        "compared": compared or {},
        "lineage": lineage,
        "sentence": sentence,
    }


def _compare(
    name: str,
    held_out: HeldOut,
    candidate: Said,
    champion: Said,
    best: float | None,
    margin: float,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    new, old = (figure(name, held_out, said) for said in (candidate, champion))
    facts: dict[str, Any] = {"candidate": new, "champion": old, "margin": margin, "best": best}
    if new is None or old is None:
        return facts | {"gain": None, "interval": None, "passed": False}
    gain, interval = _gain(name, new, old), _interval(name, held_out, candidate, champion, draws, seed)
    # Without an interval nothing is known of what else could be true: then it must not be worse at all.
    as_good = gain >= 0.0 if interval.low is None else interval.low >= -margin
    return facts | {
        "gain": gain,
        "interval": interval.to_dict(),
        "passed": as_good and (best is None or _gain(name, new, best) >= -margin),
    }


def _gain(name: str, new: float, old: float) -> float:
    """By how much the new value is better."""
    return new - old if SINGLE.get(name, True) else old - new


def _interval(name: str, held_out: HeldOut, candidate: Said, champion: Said, draws: int, seed: int) -> Interval:
    groups, names = held_out.groups, held_out.names
    if name.startswith(OPERATING):
        new, old, diseased = candidate.suspected(held_out), champion.suspected(held_out), held_out.diseased

        def difference(rows: npt.NDArray[np.intp]) -> float | None:
            both = [_share_right(name, flags[rows], diseased[rows]) for flags in (new, old)]
            return None if both[0] is None or both[1] is None else both[0] - both[1]

        return group_bootstrap(groups, names, difference, draws, seed)
    if reason := few_groups(groups, names):
        return Interval(None, None, 0, reason=reason)
    drawn = [
        draw_figures(held_out.labels, said.probabilities, groups, held_out.classes, draws, seed)[name]
        for said in (candidate, champion)
    ]
    gains = drawn[0] - drawn[1] if SINGLE[name] else drawn[1] - drawn[0]
    return interval_of(gains.tolist(), fewest_groups(groups, names))


def _share_right(name: str, suspected: Flags, diseased: Flags) -> float | None:
    """Sensitivity, or its mean with the specificity; None without the slices that it takes."""
    if not diseased.any():
        return None
    sensitivity = float(suspected[diseased].mean())
    if name == f"{OPERATING}sensitivity":
        return sensitivity
    return None if diseased.all() else (sensitivity + float((~suspected[~diseased]).mean())) / 2.0


def _clause(name: str, found: Mapping[str, Any], held_out: HeldOut) -> str:
    """One comparison in words."""
    gain, words, slices = found["gain"], IN_WORDS[name], len(held_out.labels)
    if gain is None:
        return f"{words} is undefined on these {slices} test slices, so that the new model cannot be compared"
    size = f"{abs(gain):.3f}"
    than = (
        "equals the champion's"
        if size == "0.000"
        else f"is {size} {'better' if gain > 0 else 'worse'} than the champion's"
    )
    told = f"the new {words} {than} on the same {slices} test slices"
    if not _unsure(found):
        low, high = (f"{found['interval'][end]:+.3f}" for end in ("low", "high"))
        told += f" (95 % interval of the gain {low} to {high}; a loss of up to {found['margin']:g} is allowed)"
    best, new = found["best"], found["candidate"]
    if best is not None and _gain(name, new, best) < -found["margin"]:
        told += f", and at {new:.3f} is worse by more than that than the best champion was on them, {best:.3f}"
    return told

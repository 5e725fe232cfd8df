"""Shortcut audit: what can a model without anatomy know?

A classifier on :mod:`lung_tumor.trivial` numbers is cross-validated over the grouped folds. Where it tells the classes apart,
so can a network, without ever looking at a lung.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier

from lung_tumor.bootstrap import Indices, Interval, Statistic, group_bootstrap
from lung_tumor.errors import LeakError
from lung_tumor.metrics import Labels, Probabilities, class_indices
from lung_tumor.options import require_types
from lung_tumor.roc import area, macro_area
from lung_tumor.trivial import THUMBNAIL_SIDE, in_words

Matrix = npt.NDArray[np.float64]

CHANCE = 0.5
"""AUC of a model that knows nothing."""

_FEWEST = 8
"""Groups of a class below which trees cannot learn it and chance alone separates it by some number."""

_THUMBNAIL = [f"thumb_{place:02d}" for place in range(THUMBNAIL_SIDE**2)]

_BLOCKS = 4
"""The classifier sees the thumbnail as so many blocks a side.

At 8×8 a cell of a slice cropped to the body is some 40 mm wide, so that a large mass shows: that would be anatomy.
"""


@dataclass(frozen=True)
class ShortcutOptions:
    """``params:data_ingestion.shortcuts``.

    Attributes:
        warn_at: AUC from which the data set is said to give its classes away, in [0.5, 1].
        draws: resamples behind each interval, in [100, 100000].
        trees: trees of the classifier, in [10, 2000].
        leaf: fewest pictures in a leaf, in [1, 100]; more holds the trees back from learning noise.
    """

    warn_at: float = 0.8
    draws: int = 1000
    trees: int = 100
    leaf: int = 3

    def __post_init__(self) -> None:
        require_types(self, "shortcuts")
        ranges = {"warn_at": (0.5, 1.0), "draws": (100, 100_000), "trees": (10, 2000), "leaf": (1, 100)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"shortcuts.{name} must lie in [{low:g}, {high:g}], received {getattr(self, name)}")


@dataclass(frozen=True)
class ComparisonOptions:
    """``params:evaluation.comparison``; ``draws``: resamples behind each interval, in [100, 100000]."""

    draws: int = 1000

    def __post_init__(self) -> None:
        require_types(self, "comparison")
        if not 100 <= self.draws <= 100_000:
            raise ValueError(f"comparison.draws must lie in [100, 100000], received {self.draws}")


def audit_shortcuts(
    before: pd.DataFrame, after: pd.DataFrame, rows: pd.DataFrame, options: ShortcutOptions, seed: int
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Tell the classes apart by trivial numbers alone, before and after preparation.

    The intervals are of the pictures judged; that another collection would also train another classifier is not in them.

    Args:
        before: one row a picture, columns of :func:`lung_tumor.trivial.of_file`.
        after: one row a picture, columns of :func:`lung_tumor.trivial.of_prepared`.
        rows: one row a picture, in the same order: ``pixels``, ``label``, ``group`` and ``fold`` (whole numbers; no group
            in two folds).
        options: see :class:`ShortcutOptions`.
        seed: of the classifier and of the intervals; the same seed gives the same result.

    Returns:
        Facts, JSON-ready: ``pictures``, ``groups``, ``classes``, ``warn_at``, ``warning`` (an AUC of at least ``warn_at``,
        before or after), ``sentence``, and under ``before`` and ``after`` each ``auc`` (pooled over folds; of more than two
        classes the mean, one against the rest), ``interval`` (:class:`lung_tumor.bootstrap.Interval`), ``reason`` (why there
        is no AUC, else empty) and ``best`` (the single number that separates best, chosen with hindsight: ``name``,
        ``words``, ``auc``, and for two classes ``higher_in``; None where undefined).
        And the out-of-fold probabilities: ``pixels``, ``label``, ``group``, ``before_<class>``, ``after_<class>``, NaN where
        there is no AUC.

    Raises:
        ValueError: tables of different length, a missing column, a fold that is no whole number, or a number that is not
            finite.
        LeakError: a group stands in two folds.
    """
    _require_fitting(before, after, rows)
    classes = sorted(rows["label"].astype(str).unique())
    facts: dict[str, Any] = {
        "pictures": len(rows),
        "groups": int(rows["group"].nunique()),
        "classes": classes,
        "warn_at": options.warn_at,
    }
    reason = _undefined(rows, classes)
    table = rows[["pixels", "label", "group"]].reset_index(drop=True)
    for name, numbers in (("before", before), ("after", after)):
        facts[name], probabilities = _look(numbers.reset_index(drop=True), rows, classes, reason, options, seed)
        table = table.assign(**{f"{name}_{label}": probabilities[:, i] for i, label in enumerate(classes)})
    facts["warning"] = any((facts[name]["auc"] or 0.0) >= options.warn_at for name in ("before", "after"))
    facts["sentence"] = _sentence(facts)
    return facts, table


def compare_with_network(
    labels: Labels,
    groups: Sequence[str],
    network: Probabilities,
    trivial: Probabilities,
    classes: Sequence[str],
    options: ComparisonOptions,
    seed: int,
    why_not: str = "",
) -> dict[str, Any]:
    """Whether the network knows more than the trivial numbers do, on the same pictures.

    Args:
        labels: (n,) index of each picture's true class.
        groups: (n,) group of each picture.
        network: (n, classes) probabilities of the network.
        trivial: (n, classes) probabilities of :func:`audit_shortcuts`, of the same pictures.
        classes: class names, in the order of the columns.
        options: how many resamples of whole groups; network and trivial numbers see the same ones.
        seed: of the resamples.
        why_not: why ``trivial`` has no probabilities, as :func:`audit_shortcuts` says it under ``reason``.

    Returns:
        JSON-ready: ``network`` and ``trivial`` (each ``auc``, ``interval``), ``difference`` (``value``, ``interval``; from the
        trivial numbers or from chance, whichever is higher),
        ``clearly_above`` (the lower end of the difference is above 0; False where undefined), ``reason`` (why something is
        undefined, else empty) and ``sentence``.

    Raises:
        ValueError: shapes that do not fit.
    """
    for name, array in (("network", network), ("trivial", trivial)):
        if array.shape != (len(labels), len(classes)):
            raise ValueError(f"{name} must have shape ({len(labels)}, {len(classes)}), received {array.shape}")
    names = [classes[index] for index in labels]
    reason = _missing(names, classes, network, trivial, why_not)

    def interval(statistic: Statistic, value: float | None) -> dict[str, Any]:
        if value is None:
            return Interval(None, None, 0, reason=reason).to_dict()
        return group_bootstrap(groups, names, statistic, options.draws, seed).to_dict()

    def one(probabilities: Probabilities) -> dict[str, Any]:
        value = None if reason else macro_area(labels, probabilities)
        return {"auc": value, "interval": interval(lambda i: macro_area(labels[i], probabilities[i]), value)}

    def above(indices: Indices) -> float | None:
        here = labels[indices]
        first, second = macro_area(here, network[indices]), macro_area(here, trivial[indices])
        # A trivial model below chance is no bar to clear.
        return None if first is None or second is None else first - max(second, CHANCE)

    value = None if reason else above(np.arange(len(labels)))
    spread = interval(above, value)
    facts = {
        "network": one(network),
        "trivial": one(trivial),
        "difference": {"value": value, "interval": spread},
        "clearly_above": spread["low"] is not None and spread["low"] > 0.0,
        "reason": reason or spread["reason"],
    }
    return facts | {"sentence": _comparison(facts)}


# --- The classifier ---------------------------------------------------------------------------------------------------


def _look(
    numbers: pd.DataFrame,
    rows: pd.DataFrame,
    classes: Sequence[str],
    reason: str,
    options: ShortcutOptions,
    seed: int,
) -> tuple[dict[str, Any], Matrix]:
    """What one table of numbers gives away, and the out-of-fold probabilities, (n, classes)."""
    if reason:
        undefined = {"auc": None, "interval": Interval(None, None, 0, reason=reason).to_dict(), "best": None}
        return undefined | {"reason": reason}, np.full((len(rows), len(classes)), np.nan)
    names = rows["label"].astype(str).tolist()
    labels = class_indices(names, classes)
    probabilities = _out_of_fold(_columns(numbers), labels, rows["fold"].to_numpy(), options, seed)
    interval = group_bootstrap(
        rows["group"].tolist(), names, lambda i: macro_area(labels[i], probabilities[i]), options.draws, seed
    )
    facts = {
        "auc": macro_area(labels, probabilities),
        "interval": interval.to_dict(),
        "best": _best(numbers, labels, classes),
        "reason": "",
    }
    return facts, probabilities


def _columns(numbers: pd.DataFrame) -> Matrix:
    """What the classifier sees: numbers as they are, words as one column a value, the thumbnail as blocks."""
    words = [name for name in numbers if not pd.api.types.is_numeric_dtype(numbers[name])]
    thumbnail = _THUMBNAIL if set(_THUMBNAIL) <= set(numbers) else []
    plain = numbers.drop(columns=[*words, *thumbnail]).to_numpy(dtype=np.float64)
    coded = pd.get_dummies(numbers[words], dtype=np.float64).to_numpy() if words else np.zeros((len(numbers), 0))
    parts = [plain, coded]
    if thumbnail:
        cell = THUMBNAIL_SIDE // _BLOCKS
        cells = numbers[thumbnail].to_numpy(dtype=np.float64).reshape(-1, _BLOCKS, cell, _BLOCKS, cell)
        parts.append(cells.mean(axis=(2, 4)).reshape(len(numbers), -1))
    return np.concatenate(parts, axis=1)


def _out_of_fold(
    columns: Matrix, labels: Labels, folds: npt.NDArray[Any], options: ShortcutOptions, seed: int
) -> Matrix:
    """Probabilities of every picture by a classifier that saw no picture of its fold, (n, classes)."""
    probabilities = np.zeros((len(labels), int(labels.max()) + 1))
    for fold in np.unique(folds):
        held_out = folds == fold
        # Extremely randomised trees (Geurts et al. 2006): they find a shortcut of any shape, such as "exactly 512 wide".
        classifier = ExtraTreesClassifier(
            options.trees,
            min_samples_leaf=options.leaf,
            class_weight="balanced",
            random_state=seed,
            n_jobs=1,
        )
        classifier.fit(columns[~held_out], labels[~held_out])
        probabilities[held_out] = classifier.predict_proba(columns[held_out])
    return probabilities


def _best(numbers: pd.DataFrame, labels: Labels, classes: Sequence[str]) -> dict[str, Any] | None:
    """The number that separates the classes best on its own, in either direction; the first of equals."""
    found: dict[str, Any] | None = None
    for name in numbers:
        if not pd.api.types.is_numeric_dtype(numbers[name]):
            continue
        values = numbers[name].to_numpy(dtype=np.float64)
        areas = [area(labels == index, values) or 0.0 for index in range(len(classes))]
        strength = float(np.mean([max(value, 1.0 - value) for value in areas]))
        if found is None or strength > found["auc"]:
            higher = classes[int(np.argmax(areas))] if len(classes) == 2 and strength > 0.5 else None
            found = {"name": str(name), "words": in_words(str(name)), "auc": strength, "higher_in": higher}
    return found


# --- What may be asked at all ------------------------------------------------------------------------------------------


def _require_fitting(before: pd.DataFrame, after: pd.DataFrame, rows: pd.DataFrame) -> None:
    if lacking := [name for name in ("pixels", "label", "group", "fold") if name not in rows]:
        raise ValueError(f"rows must have the columns pixels, label, group and fold; lacking: {', '.join(lacking)}")
    if not pd.api.types.is_integer_dtype(rows["fold"]):
        raise ValueError(f"rows: fold must be whole numbers, received the type {rows['fold'].dtype}")
    for name, numbers in (("before", before), ("after", after)):
        if len(numbers) != len(rows) or numbers.shape[1] == 0:
            raise ValueError(f"{name} needs one row a picture, {len(rows)}, and a column, received {numbers.shape}")
        for column in numbers.select_dtypes("number"):
            if not np.isfinite(numbers[column]).all():
                raise ValueError(f"{name}: column {column!r} holds values that are not finite numbers")
    crossing = rows.groupby("group")["fold"].nunique()
    if (crossing > 1).any():
        raise LeakError(
            f"{int((crossing > 1).sum())} group(s) stand in more than one fold, such as {crossing.idxmax()!r}; "
            "folds must be made by group"
        )


def _undefined(rows: pd.DataFrame, classes: Sequence[str]) -> str:
    """Why the classes of these pictures cannot be told apart by cross-validation; empty if they can."""
    if len(classes) < 2:
        return f"{len(classes)} class(es): there is nothing to tell apart"
    groups = rows.groupby("label")["group"].nunique()
    if small := [f"{label}: {count}" for label, count in groups.items() if count < _FEWEST]:
        return f"too few independent groups ({', '.join(small)}; {_FEWEST} are needed)"
    folds = rows.groupby("label")["fold"].nunique()
    if alone := [str(label) for label in folds.index[folds < 2]]:
        return f"{', '.join(sorted(alone))}: all pictures in one fold, so that none can be learnt when it is held out"
    return ""


def _missing(
    labels: Sequence[str], classes: Sequence[str], network: Probabilities, trivial: Probabilities, why_not: str
) -> str:
    """Why two models cannot be compared on these pictures; empty if they can."""
    if len(classes) < 2:
        return f"{len(classes)} class(es): there is nothing to tell apart"
    if absent := [name for name in classes if name not in labels]:
        return f"{', '.join(absent)}: no picture"
    if np.isnan(trivial).any() and why_not:
        return f"of numbers without anatomy: {why_not}"
    if np.isnan(network).any() or np.isnan(trivial).any():
        return "some pictures have no probability"
    return ""


# --- Sentences --------------------------------------------------------------------------------------------------------


def _with_interval(value: float, interval: dict[str, Any]) -> str:
    if interval["low"] is None:
        return f"{value:.2f} (no interval: {interval['reason']})"
    return f"{value:.2f} ({interval['low']:.2f} to {interval['high']:.2f})"


def _sentence(facts: dict[str, Any]) -> str:
    before, after = facts["before"], facts["after"]
    if before["auc"] is None or after["auc"] is None:
        return f"Whether numbers that know no anatomy tell the classes apart cannot be said ({before['reason']})."
    return (
        f"Numbers that know no anatomy (size, brightness, a tiny thumbnail) tell the classes apart with "
        f"{'a mean AUC of' if len(facts['classes']) > 2 else 'AUC'} {_with_interval(before['auc'], before['interval'])} "
        f"before preparation, {_with_interval(after['auc'], after['interval'])} after it."
    )


def _comparison(facts: dict[str, Any]) -> str:
    network, trivial, difference = facts["network"], facts["trivial"], facts["difference"]
    if difference["value"] is None:
        return f"Whether the network knows more than numbers without anatomy cannot be said ({facts['reason']})."
    verdict = "is clearly above" if facts["clearly_above"] else "is not clearly above"
    below = " from chance" if trivial["auc"] < CHANCE else ""
    lacking = [row["interval"]["reason"] for row in (network, trivial, difference) if row["interval"]["low"] is None]
    # All three mostly lack it for one reason, which is said once.
    if len(lacking) == 3 and len(set(lacking)) == 1:
        figures, why = [f"{value:.2f}" for value in (network["auc"], trivial["auc"], difference["value"])], lacking[0]
    else:
        figures, why = (
            [
                _with_interval(network["auc"], network["interval"]),
                _with_interval(trivial["auc"], trivial["interval"]),
                _with_interval(difference["value"], difference["interval"]),
            ],
            "",
        )
    return (
        f"The network (AUC {figures[0]}) {verdict} numbers that know no anatomy (AUC {figures[1]}) on the same pictures; "
        f"the difference{below} is {figures[2]}{f' (no intervals: {why})' if why else ''}."
    )

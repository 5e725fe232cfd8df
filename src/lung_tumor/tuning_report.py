"""What a search found, as a table, in words, and as parameters to train with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.stats import t as student

from lung_tumor.tuning import COMPLETE, FAILED, PRUNED, SearchResult, Trial
from lung_tumor.wording import how_many, percent

_LEVEL = 0.95


@dataclass(frozen=True)
class Gain:
    """By how much one configuration beats another on the same folds.

    Attributes:
        mean: mean difference of the scores; positive is better.
        low: lower end of its 95 % interval, None where there are fewer than two folds.
        high: upper end.
        better_folds: folds on which it is better.
        folds: all of them.
    """

    mean: float
    low: float | None
    high: float | None
    better_folds: int
    folds: int

    @property
    def clear(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low is not None and self.low > 0.0


def gain(best: Trial, default: Trial) -> Gain:
    """Compare two complete trials fold by fold.

    The interval is Student's with the variance of Nadeau and Bengio (Machine Learning 52, 2003): training sets of different
    folds overlap, which the plain standard error of k folds does not know; 1 / k becomes 1 / k + 1 / (k - 1).
    """
    pairs = zip(default.folds, best.folds, strict=True)
    differences = np.array([before.score - after.score for before, after in pairs])
    folds, mean = len(differences), float(differences.mean())
    low = high = None
    if folds > 1:
        variance = float(differences.var(ddof=1)) * (1.0 / folds + 1.0 / (folds - 1))
        reach = float(student.ppf((1.0 + _LEVEL) / 2.0, folds - 1)) * math.sqrt(variance)
        low, high = mean - reach, mean + reach
    return Gain(mean, low, high, int((differences > 0).sum()), folds)


def table(result: SearchResult) -> pd.DataFrame:
    """One row a trial: what it reached, then every option, lists as YAML writes them.

    ``score`` and ``auc`` are of complete trials; ``excess`` over the present configuration is over the folds that were seen.
    """
    rows = []
    for trial in result.trials:
        whole = trial.state == COMPLETE
        aucs = [fold.auc for fold in trial.folds if fold.auc is not None and whole]
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state,
                "score": trial.score if whole else None,
                "excess": trial.excess(result.default),
                "auc": float(np.mean(aucs)) if aucs else None,
                "folds": len(trial.folds),
                "seconds": round(trial.seconds, 3),
                **flat(trial),
            }
        )
    return pd.DataFrame(rows)


def flat(trial: Trial) -> dict[str, Any]:
    """Every option of a trial as one plain value."""
    options = trial.configuration.to_dict()
    return {name: str(list(value)) if isinstance(value, tuple) else value for name, value in options.items()}


def summarise(result: SearchResult, *, source: str, synthetic: bool) -> dict[str, Any]:
    """Facts and sentences for people.

    Args:
        result: of :func:`lung_tumor.tuning.search`.
        source: where the slices come from, for everyone to read.
        synthetic: whether the slices are the phantom's.
    """
    states = [trial.state for trial in result.trials]
    return {
        "sentences": sentences(result),
        "synthetic": synthetic,
        "source": source,
        "trials": {state: states.count(state) for state in (COMPLETE, PRUNED, FAILED)} | {"asked": result.asked},
        "seconds": round(math.fsum(trial.seconds for trial in result.trials), 1),
        "default": _facts(result.default),
        "best": _facts(result.best),
        "gain": asdict(gain(result.best, result.default)) | {"clear": gain(result.best, result.default).clear},
        "importances": dict(result.importances),
    }


def sentences(result: SearchResult) -> list[str]:
    """What was found, and what to make of it."""
    best, default, states = result.best, result.default, [trial.state for trial in result.trials]
    counted = (
        f"{how_many(len(states), 'trial')}: {states.count(COMPLETE)} complete, {states.count(PRUNED)} stopped early"
    )
    if FAILED in states:
        counted += f", {states.count(FAILED)} without a finite score"
    if len(states) < result.asked:
        counted += f"; {result.asked} were asked for, time was up"
    told = [f"{counted}. The present configuration scores {default.score:.4f} (weighted log loss, smaller is better)."]
    if best is default:
        return [*told, "No trial is better than the present configuration."]
    found = gain(best, default)
    interval = "" if found.low is None else f" (95 % interval over folds {found.low:.4f} to {found.high:.4f})"
    told.append(
        f"Trial {best.number} is the best with {best.score:.4f}: better by {found.mean:.4f}{interval}, on "
        f"{found.better_folds} of {how_many(found.folds, 'fold')}."
    )
    told.append(
        "It is better than the present configuration."
        if found.clear
        else "It is not clearly better than the present configuration: the folds differ by more than that."
    )
    told.append(
        f"As the best of {len(states)} on these very folds it looks better than it is; the test split had no part."
    )
    if result.importances:
        name, share = next(iter(result.importances.items()))
        told.append(f"What set good trials apart was {name} most of all ({percent(share)}).")
    return told


def parameters_file(
    result: SearchResult, path: str, searched_with: Mapping[str, Mapping[str, Any]], seed: int, *, source: str
) -> str:
    """The best configuration as YAML for ``kedro run --config``, what it is and how it is used told in comments.

    It names the pipelines that depend on it, so that it trains on the slices it was found on, and none are fetched anew; and
    every option that its score depends on, whatever the configuration of the project says by then.

    Args:
        result: of :func:`lung_tumor.tuning.search`.
        path: where the file will lie, relative to the project, for its own instructions.
        searched_with: parameters that all trials had in common, by pipeline and group (``training`` to ``head`` …), each a
            dictionary of options; those of the configuration take their place.
        seed: that of the run.
        source: where the slices come from, for everyone to read.
    """
    told = [
        f"Made by `kedro run --pipeline=tuning` from: {source}",
        *sentences(result),
        "",
        f"Train with it:  kedro run --config {path}",
        "(--params beside --config replaces all of these params.) To keep it, copy the values to conf/base/parameters_*.yml.",
    ]
    comments = "".join(f"# {line}".rstrip() + "\n" for entry in told for line in entry.splitlines() or [""])
    run = {
        # Cross-validation among them: evaluation refuses what another configuration left out of fold.
        "pipelines": "model_prep,features,training,serving,cross_validation,evaluation",
        "params": {"seed": seed, **_joined(searched_with, result.best.configuration.parameters())},
    }
    return comments + yaml.safe_dump({"run": run}, sort_keys=False, default_flow_style=None)


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both nested dictionaries; where they differ the second counts."""
    both = {
        name: _joined(one[name], other[name]) for name in one.keys() & other.keys() if isinstance(one[name], Mapping)
    }
    return {**one, **other, **both}


def _facts(trial: Trial) -> dict[str, Any]:
    options = trial.configuration.to_dict()
    return {
        "trial": trial.number,
        "score": trial.score,
        "folds": [asdict(fold) for fold in trial.folds],
        "options": {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()},
    }

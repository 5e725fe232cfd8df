"""Which configuration to train with: a search over head, regularisation, views and fine-tuning depth on grouped folds.

Every step depends on the seed and on earlier scores alone. So a search that was cut short is not resumed from a state of
its own: it begins again, remembered trials (:mod:`lung_tumor.tuning_memory`) answer at once, and it goes on from there.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from lung_tumor.network import NetworkOptions
from lung_tumor.tuning_memory import Configuration, FoldScore, Record, TrialMemory
from lung_tumor.tuning_options import CHOICES, LOGARITHMIC, RANGES, TuningOptions

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"

Evaluate = Callable[[Configuration], Iterator[FoldScore]]
"""Yields a score after each fold, always of the same folds in the same order, the same for the same configuration."""

_RANDOM_TRIALS = 10
"""Trials drawn at random before the search learns from them (Optuna's default)."""

_UNPRUNED_TRIALS = 5
_UNPRUNED_FOLDS = 2
"""No trial stops before so many trials are complete, and none before its second fold: one fold says too little."""

_LEAST_FOR_IMPORTANCE = 10
"""Complete trials below which importances would be noise."""


@dataclass(frozen=True)
class Trial:
    """One configuration with what it reached.

    Attributes:
        number: 0 is the present configuration.
        configuration: what was tried.
        state: ``complete``; ``pruned`` where it was stopped early as worse than most; ``failed`` where a score was no number.
        folds: scores of the folds that were looked at.
        seconds: time it took, when it was computed.
        started: when it began in this run, seconds since 1970.
    """

    number: int
    configuration: Configuration
    state: str
    folds: tuple[FoldScore, ...]
    seconds: float
    started: float

    @property
    def score(self) -> float:
        """Mean over the folds that were looked at; smaller is better. Compare it with scores over the same folds only."""
        return _mean(self.folds)

    def excess(self, other: Trial) -> float:
        """By how much the mean is larger than that of a complete trial over the same folds."""
        return self.score - _mean(other.folds[: len(self.folds)])


@dataclass(frozen=True)
class SearchResult:
    """A finished search.

    Attributes:
        trials: in their order; the first is the present configuration.
        importances: share of each searched option in what sets good trials apart (PED-ANOVA, Watanabe et al., IJCAI 2023),
            largest first; empty where too few trials are complete.
        asked: number of trials that were asked for; more than there are where time was up.
    """

    trials: tuple[Trial, ...]
    importances: Mapping[str, float]
    asked: int

    @property
    def default(self) -> Trial:
        """The present configuration."""
        return self.trials[0]

    @property
    def best(self) -> Trial:
        """The complete trial of the smallest score, the first of equals; never worse than :attr:`default`."""
        return min((trial for trial in self.trials if trial.state == COMPLETE), key=lambda trial: trial.score)


def search(
    evaluate: Evaluate,
    default: Configuration,
    options: TuningOptions,
    seed: int,
    *,
    memory: TrialMemory | None = None,
    on_trial: Callable[[Trial], None] | None = None,
) -> SearchResult:
    """Search for the configuration of the smallest score.

    Tree-structured Parzen estimators propose (Bergstra et al., NeurIPS 2011); a median rule stops trials that are worse
    than most (Golovin et al., KDD 2017). Both see by how much a trial differs from the present configuration on the same
    folds: folds are of unequal difficulty, and a bare mean over the first of them would compare trials with folds.

    Args:
        evaluate: see :data:`Evaluate`.
        default: the present configuration: the first trial, whole, even where it lies outside the space.
        options: see :class:`~lung_tumor.tuning_options.TuningOptions`.
        seed: of the proposals.
        memory: what it knows is not computed again, and what is computed is kept in it.
        on_trial: called after each trial.

    Raises:
        ValueError: the present configuration gives no finite score.
    """
    memory = TrialMemory() if memory is None else memory
    study, space = _study(seed), _distributions(options)
    trials: list[Trial] = []
    begun = time.monotonic()
    with tqdm(total=options.trials, desc="Tuning", unit="trial") as bar:
        for number in range(options.trials):
            if trials and options.timeout_s is not None and time.monotonic() - begun >= options.timeout_s:
                logger.warning("tuning stopped after %d of %d trials: time is up", number, options.trials)
                break
            asked = study.ask(space) if trials else None
            configuration = default if asked is None else _configuration(asked.params, options)
            try:
                trial = _try(number, configuration, evaluate, memory, asked, trials[0].folds if trials else ())
            except KeyboardInterrupt:
                logger.warning("tuning interrupted after %d of %d trials", number, options.trials)
                raise
            if not trials and trial.state != COMPLETE:
                raise ValueError(f"the present configuration gives no finite score: {trial.configuration.to_dict()}")
            trials.append(trial)
            _tell(study, asked, trial, trials[0], options)
            if on_trial is not None:
                on_trial(trial)
            bar.set_postfix_str(f"best {min(row.score for row in trials if row.state == COMPLETE):.4f}")
            bar.update()
    return SearchResult(tuple(trials), _importances(study), options.trials)


def _study(seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # NumPy's generator behind the sampler takes 32 bits.
    sampler = optuna.samplers.TPESampler(n_startup_trials=_RANDOM_TRIALS, multivariate=True, seed=seed % 2**32)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED_TRIALS, n_warmup_steps=_UNPRUNED_FOLDS)
    return optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)


def _distributions(options: TuningOptions) -> dict[str, optuna.distributions.BaseDistribution]:
    """What there is to choose, by name; options with one value only are not asked for."""
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    space: dict[str, BaseDistribution] = {}
    for name in CHOICES:
        # Optuna's categories are plain values: a list goes by its text.
        choices = [str(choice) for choice in getattr(options, name)]
        if len(choices) > 1:
            space[name] = CategoricalDistribution(choices)
    for name in RANGES:
        low, high = getattr(options, name)
        if low < high:
            space[name] = FloatDistribution(low, high, log=name in LOGARITHMIC)
    return space


def _configuration(proposed: Mapping[str, Any], options: TuningOptions) -> Configuration:
    """The configuration that Optuna's values mean, numbers rounded to what can be told apart."""
    values: dict[str, Any] = {}
    for name in CHOICES:
        by_text = {str(choice): choice for choice in getattr(options, name)}
        values[name] = by_text[proposed[name]] if name in proposed else next(iter(by_text.values()))
    for name in RANGES:
        value = proposed.get(name, getattr(options, name)[0])
        values[name] = float(f"{value:.3g}") if name in LOGARITHMIC else round(value, 2)
    learning_rate, views = values.pop("learning_rate"), values.pop("views")
    return Configuration(NetworkOptions(**values), learning_rate, views)


def _proposal(configuration: Configuration, options: TuningOptions) -> dict[str, Any] | None:
    """Optuna's values that mean this configuration, None where it lies outside the space."""
    values = configuration.to_dict()
    inside = all(values[name] in getattr(options, name) for name in CHOICES)
    inside &= all(low <= values[name] <= high for name in RANGES for low, high in [getattr(options, name)])
    if not inside:
        return None
    return {name: str(values[name]) if name in CHOICES else values[name] for name in _distributions(options)}


def _try(
    number: int,
    configuration: Configuration,
    evaluate: Evaluate,
    memory: TrialMemory,
    asked: optuna.Trial | None,
    reference: Sequence[FoldScore],
) -> Trial:
    """Look at one fold after the other until all are seen or the trial is worse than most.

    Nothing is kept of a trial that is interrupted: it is computed again.
    """
    known = memory.get(configuration)
    started, begun = time.time(), time.monotonic()
    folds: list[FoldScore] = []
    state = COMPLETE
    with closing(_folds(configuration, evaluate, known)) as scores:
        for score in scores:
            folds.append(score)
            if not math.isfinite(score.score):
                state = FAILED
                break
            if asked is None:
                continue
            asked.report(_mean(folds) - _mean(reference[: len(folds)]), step=len(folds))
            if len(folds) < len(reference) and asked.should_prune():
                state = PRUNED
                break
    if not folds:
        raise ValueError(f"no fold was evaluated for {configuration.to_dict()}")
    if known is not None and len(folds) <= len(known.folds):
        seconds = known.seconds
    else:
        seconds = time.monotonic() - begun
        memory.put(configuration, Record(tuple(folds), whole=state == COMPLETE, seconds=seconds))
    return Trial(number, configuration, state, tuple(folds), seconds, started)


def _folds(configuration: Configuration, evaluate: Evaluate, known: Record | None) -> Generator[FoldScore]:
    """Remembered scores, then, where there are more folds to see, computed ones."""
    seen = 0
    if known is not None:
        yield from known.folds
        seen = len(known.folds)
        if known.whole:
            return
    for number, score in enumerate(evaluate(configuration)):
        if number >= seen:
            yield score


def _tell(
    study: optuna.Study, asked: optuna.Trial | None, trial: Trial, default: Trial, options: TuningOptions
) -> None:
    """Let the study learn from a trial."""
    from optuna.trial import TrialState, create_trial

    if asked is None:
        proposal = _proposal(trial.configuration, options)
        if proposal is not None:
            zeros = dict.fromkeys(range(1, len(trial.folds) + 1), 0.0)
            study.add_trial(
                create_trial(
                    value=0.0, params=proposal, distributions=_distributions(options), intermediate_values=zeros
                )
            )
    elif trial.state == COMPLETE:
        study.tell(asked, trial.excess(default))
    else:
        study.tell(asked, state=TrialState.PRUNED if trial.state == PRUNED else TrialState.FAIL)


def _importances(study: optuna.Study) -> dict[str, float]:
    import optuna

    values = {trial.value for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))}
    # Equal scores count once: where all are the same there is nothing to explain.
    return optuna.importance.get_param_importances(study) if len(values) >= _LEAST_FOR_IMPORTANCE else {}


def _mean(folds: Sequence[FoldScore]) -> float:
    return math.fsum(fold.score for fold in folds) / len(folds)

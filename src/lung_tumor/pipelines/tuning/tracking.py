"""One nested MLflow run for each trial of a search."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any

from lung_tumor.tuning import COMPLETE, Trial
from lung_tumor.tuning_report import flat

_QUIET = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"


class TrialRuns:
    """Logs trials below the active run, one after the other in a thread of its own: a slow server does not hold up the search.

    Runs are made by :class:`mlflow.MlflowClient` in three requests each; ``mlflow.start_run`` takes more, and would tag each
    with the user and with a path of this machine. Without an active run nothing is logged.
    """

    def __init__(self, tags: Mapping[str, str]) -> None:
        """Begin.

        Args:
            tags: of every run, such as where the slices come from.
        """
        import mlflow

        self._tags = dict(tags)
        self._parent = mlflow.active_run()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow-trials")
        self._logged: list[Future[None]] = []

    def __enter__(self) -> TrialRuns:
        # A server's client prints two lines on every run that ends.
        self._quiet_before = os.environ.get(_QUIET)
        os.environ[_QUIET] = "true"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for what is still to be logged; a failure to log is raised unless something worse was."""
        try:
            self._thread.shutdown(cancel_futures=kind is not None)
        finally:
            if self._quiet_before is None:
                with suppress(KeyError):
                    del os.environ[_QUIET]
            else:
                os.environ[_QUIET] = self._quiet_before
        if kind is None:
            for logged in self._logged:
                logged.result()

    def log(self, trial: Trial) -> None:
        """Log a trial: its options, the score of every fold, their mean where all were seen, and how long it took."""
        if self._parent is not None:
            self._logged.append(self._thread.submit(_log, self._parent.info, trial, self._tags))


def _log(parent: Any, trial: Trial, tags: Mapping[str, str]) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    client = MlflowClient()
    began, ended = int(trial.started * 1000), int((trial.started + trial.seconds) * 1000)
    run = client.create_run(
        parent.experiment_id,
        start_time=began,
        tags={**tags, MLFLOW_PARENT_RUN_ID: parent.run_id, "trial": str(trial.number), "state": trial.state},
        run_name=f"trial {trial.number}",
    )
    metrics = [Metric("seconds", trial.seconds, ended, 0), Metric("folds", len(trial.folds), ended, 0)]
    for number, fold in enumerate(trial.folds, start=1):
        named = {"fold.score": fold.score, "fold.auc": fold.auc}
        metrics += [Metric(name, value, ended, number) for name, value in named.items() if value is not None]
    if trial.state == COMPLETE:
        # A mean of some folds must not stand in the column by which runs are sorted.
        metrics.append(Metric("score", trial.score, ended, 0))
    metrics = [metric for metric in metrics if math.isfinite(metric.value)]
    params = [Param(name, str(value)) for name, value in flat(trial).items()]
    client.log_batch(run.info.run_id, metrics=metrics, params=params)
    client.set_terminated(run.info.run_id, end_time=ended)

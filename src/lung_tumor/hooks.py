"""What Kedro and kedro-mlflow leave open. MLflow is imported when a pipeline runs, not when it is looked at."""

from __future__ import annotations

import atexit
import dataclasses
import hashlib
import logging
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog

from lung_tumor.source_options import public_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

REGISTERED = "lung-tumor-classifier"
"""Name in MLflow's model registry under which the alias ``champion`` points at what is served."""

_IDENTITY = "model"
"""Tag of a registered version: which model it is, by :func:`lung_tumor.onnx_metadata.model_identity`."""

SOURCE = "source"
"""The one runtime parameter that the catalog reads and no node does."""

_LONGEST = 250
"""Most characters of a metric's name."""

_POINTS_A_BATCH = 1000
"""Most metrics that an MLflow server takes in one request."""


def _end_interrupted_run() -> None:
    """A run that is still open when the process ends was interrupted; MLflow itself would call it finished."""
    import mlflow

    if mlflow.active_run() is not None:
        mlflow.end_run("KILLED")


def _audited(data: Mapping[str, Any]) -> dict[str, Any]:
    by_class = {
        label: {depth: count for depth, count in counts.items() if depth not in ("splits", "folds")}
        for label, counts in data["counts"]["by_class"].items()
    }
    return {"data": by_class, "shortcuts": {"dataset": data["shortcuts"]}}


def _judged(data: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the test split under ``test``, with the ends of the intervals of those that are single numbers."""
    network = data["test"]["network"]
    ends = {
        f"{name}_{end}": interval[end]
        for name, interval in network["intervals"].items()
        if "." not in name
        for end in ("low", "high")
    }
    figures = {name: value for name, value in network.items() if name != "intervals"}
    return {
        "test": figures | ends,
        "shortcuts": data["shortcuts"],
        "operating_point": {name: value for name, value in data["operating_point"].items() if name != "coverage"},
        "calibration": {
            when: {name: value for name, value in data["calibration"][when].items() if name != "bins"}
            for when in ("before", "after")
        },
        **{name: data[name] for name in ("novelty", "evidence", "promotion")},
    }


_FIGURES: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "audit": _audited,
    "metrics": _judged,
    "training_facts": lambda data: {"training": {name: data[name] for name in ("agreement", "fine_tuning")}},
    "cross_validation_metrics": lambda data: {
        "cross_validation": {name: data[name] for name in ("pooled", "shortcuts")}
    },
    # Under names of their own: `score` is for the trials, by which they are sorted.
    "tuning_summary": lambda data: {
        "tuning": {"best": data["best"]["score"], "default": data["default"]["score"], "gain": data["gain"]}
    },
}
"""Which numbers of a dataset become metrics of the run, by the dataset's name."""


class ParameterHooks:
    """Stops a run before its first node when a parameter given on the command line means nothing."""

    @hook_impl
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Check the names of all parameters, from files and from the command line, and the seed.

        Raises:
            ValueError: a name that no node reads, or a seed that is no whole number.
        """
        inputs = {name for pipeline in pipelines.values() for name in pipeline.inputs()}
        known = {name.removeprefix("params:") for name in inputs if name.startswith("params:")} | {SOURCE}
        given = {name.removeprefix("params:") for name in catalog.keys() if name.startswith("params:")}  # noqa: SIM118
        for name in sorted(given):
            if not any(f"{name}.".startswith(f"{group}.") or f"{group}.".startswith(f"{name}.") for group in known):
                raise ValueError(f"unknown parameter {name!r}; known are {', '.join(sorted(known))}")
        seed = catalog.load("params:seed") if "params:seed" in catalog else 0
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ValueError(f"seed must be a whole number, 0 or more, received {seed!r}")


class TrackingHooks:
    """Logs one column per option of typed parameters, every epoch and figure, the origin of the slices, and the champion."""

    _served: bytes | None = None

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Take this machine's path and any credential out of what kedro-mlflow is about to tag the run with."""
        atexit.register(_end_interrupted_run)
        run_params["project_path"] = None
        given = run_params.get("runtime_params") or {}
        if isinstance(given.get(SOURCE), str):
            run_params["runtime_params"] = {**given, SOURCE: public_name(given[SOURCE])}

    @hook_impl
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """Log the fields of every options dataclass that a node is about to receive."""
        import mlflow

        if mlflow.active_run() is None:
            return
        for name, value in inputs.items():
            if name.startswith("params:") and dataclasses.is_dataclass(value) and not isinstance(value, type):
                prefix = name.removeprefix("params:")
                options = dataclasses.asdict(value).items()
                mlflow.log_params({f"{prefix}.{option}": chosen for option, chosen in options})

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Tag the run when the provenance of its slices is read."""
        self._tag(dataset_name, data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Tag the run when the provenance of its slices is written; log figures of what was measured or counted."""
        self._tag(dataset_name, data)
        if dataset_name == "history":
            self._log([(f"history.{name}", value, int(row["epoch"])) for row in data for name, value in row.items()])
        elif dataset_name in _FIGURES:
            self._log([(name, value, 0) for name, value in flatten(_FIGURES[dataset_name](data)).items()])
        elif dataset_name == "served_model":
            self._served = data
        elif dataset_name == "promotion":
            # Written after the model that it speaks of.
            _tag({"promotion": "promoted" if data["promoted"] else "evaluated again" if data["served"] else "refused"})
            if data["served"] and self._served is not None:
                _register(self._served, data["model"], promoted=data["promoted"])
            self._served = None

    @staticmethod
    def _tag(dataset_name: str, data: Any) -> None:
        if dataset_name == "provenance":
            _tag({"synthetic": str(data["synthetic"]).lower(), "slices_from": data["source"]})

    @staticmethod
    def _log(points: list[tuple[str, float, int]]) -> None:
        """Log in batches: kedro-mlflow's own dataset makes one request a point, a thousand for a usual training."""
        import mlflow
        from mlflow.entities import Metric

        run = mlflow.active_run()
        if run is None:
            return
        now = int(time.time() * 1000)
        metrics = [Metric(metric_name(name), value, now, step) for name, value, step in points]
        for start in range(0, len(metrics), _POINTS_A_BATCH):
            mlflow.MlflowClient().log_batch(run.info.run_id, metrics[start : start + _POINTS_A_BATCH])


def _tag(tags: dict[str, str]) -> None:
    import mlflow

    if mlflow.active_run() is not None:
        mlflow.set_tags(tags)


def _register(model: bytes, identity: str, *, promoted: bool) -> None:
    """Keep the served model with its run, and give it the alias ``champion`` where the server has a registry.

    A model that already has the alias is not registered again. DagsHub's hosted MLflow may answer 404 to the registry's
    requests: the run that promoted the model then holds it and its tag all the same.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    run = mlflow.active_run()
    if run is None:
        return
    client = mlflow.MlflowClient()
    try:
        if _registered(client) == identity:
            return
    except MlflowException:
        if not promoted:
            return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "classifier.onnx"
        file.write_bytes(model)
        mlflow.log_artifact(str(file), "model")
    try:
        if not client.search_registered_models(f"name='{REGISTERED}'"):
            client.create_registered_model(REGISTERED)
        source = f"{run.info.artifact_uri}/model/classifier.onnx"
        version = client.create_model_version(REGISTERED, source, run.info.run_id, tags={_IDENTITY: identity})
        client.set_registered_model_alias(REGISTERED, "champion", version.version)
    except MlflowException as error:
        logger.info("no alias was set: the tracking server has no usable model registry (%s)", error.error_code)


def _registered(client: MlflowClient) -> str:
    """Identity of the model that has the alias, empty where none has."""
    for found in client.search_registered_models(f"name='{REGISTERED}'"):
        if version := found.aliases.get("champion"):
            return str(client.get_model_version(REGISTERED, version).tags.get(_IDENTITY, ""))
    return ""


def metric_name(name: str) -> str:
    """A name that MLflow takes: other characters of a class name become their code point, so that names stay different.

    A slash is among them, since ``a//b`` is no path; what is too long ends in a digest of the whole.
    """
    told = re.sub(r"[^\w.\- :]", lambda found: f"_u{ord(found.group()):04x}", name)
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 9]}.{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers of a nested dictionary under dotted names; the rest is left out."""
    flat: dict[str, float] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{name}"] = float(value)
    return flat

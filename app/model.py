"""The model that this process serves: found through the catalog, loaded and tried once."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flask import current_app
from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.io import DataCatalog
from werkzeug.exceptions import ServiceUnavailable

from lung_tumor.predictor import Predictor
from lung_tumor.settings import CONFIG_LOADER_ARGS

log = logging.getLogger(__name__)

ENTRY = "served_model"
"""The catalog entry that names the served model."""

EXTENSION = "served_model"
"""Where ``app.extensions`` keeps the :class:`ServedModel`."""

NO_MODEL = "No model has been trained here yet. Train one with `make run`, then start the app again."
BAD_MODEL = (
    "The model file cannot be used; the server's log says why. "
    "Train a new one with `make run`, then start the app again."
)


@dataclass(frozen=True)
class ServedModel:
    """A model, or the reason why there is none.

    Attributes:
        predictor: the loaded model, None where there is none.
        reason: why there is none and what to do, empty otherwise; names no path of the server.
        turns: one for each picture that may be held decoded at a time, since a large one takes hundreds of megabytes.
    """

    predictor: Predictor | None
    reason: str = ""
    turns: threading.Semaphore = field(default_factory=threading.Semaphore)

    @classmethod
    def of(cls, predictor: Predictor, judged_at_once: int) -> ServedModel:
        """Serve ``predictor`` once it has answered for a black slice with one probability for each of its classes.

        Raises:
            ValueError: it answers in another shape.
        """
        size, classes = predictor.metadata.preparation.size, predictor.metadata.classes
        answered = predictor.predict(np.zeros((1, size, size), dtype=np.uint8)).shape
        if answered != (1, len(classes)):
            raise ValueError(f"the model must answer one slice with shape (1, {len(classes)}), received {answered}")
        return cls(predictor, turns=threading.Semaphore(judged_at_once))

    def require(self) -> Predictor:
        """The model.

        Raises:
            ServiceUnavailable: there is none.
        """
        if self.predictor is None:
            raise ServiceUnavailable(self.reason)
        return self.predictor


def served_model() -> ServedModel:
    """The model of the app that handles this request."""
    served: ServedModel = current_app.extensions[EXTENSION]
    return served


def load(project: Path, env: str | None, judged_at_once: int) -> ServedModel:
    """Load the catalog's served model, without a Kedro session and so without a tracking server.

    Args:
        project: folder that holds ``conf`` and ``data``.
        env: Kedro's configuration environment; None for the project's default.
        judged_at_once: pictures that may be held decoded at a time.

    Raises:
        MissingConfigException: ``project`` holds no configuration.
        KeyError: the catalog names no served model.
    """
    project = project.resolve()
    if not (project / "conf").is_dir():
        raise MissingConfigException(f"no folder conf in {project}; point LUNG_TUMOR_PROJECT at the project's root")
    # A checkout or an image without secrets may lack conf/local, which Kedro insists on.
    if env is None and not (project / "conf" / str(CONFIG_LOADER_ARGS["default_run_env"])).is_dir():
        env = str(CONFIG_LOADER_ARGS["base_env"])
    entry = OmegaConfigLoader(str(project / "conf"), env=env, **CONFIG_LOADER_ARGS)["catalog"][ENTRY]
    catalog = DataCatalog.from_config({ENTRY: _with_absolute_paths(entry, project)})
    if not catalog.exists(ENTRY):
        log.warning("no served model at %s; train one with `make run`", catalog[ENTRY])
        return ServedModel(None, NO_MODEL)
    try:
        return ServedModel.of(catalog.load(ENTRY), judged_at_once)
    # ONNX Runtime's errors share no narrower base; whatever is wrong with the model, the page has to say it.
    except Exception:
        log.exception("the served model cannot be used")
        return ServedModel(None, BAD_MODEL)


def _with_absolute_paths(entry: dict[str, Any], project: Path) -> dict[str, Any]:
    """A catalog entry whose relative ``filepath`` starts at the project, as Kedro's own session would have it."""
    path = entry.get("filepath")
    if not isinstance(path, str) or "://" in path:
        return entry
    return {**entry, "filepath": str(project / path)}

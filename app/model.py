"""The model that this process serves: found through the catalog, loaded and tried once, replaced while serving."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flask import current_app
from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.io import AbstractDataset, DataCatalog
from werkzeug.exceptions import ServiceUnavailable

from app.admission import Room
from app.engine import Engine
from app.metrics import Metrics
from app.turns import Turns
from lung_tumor.configuration import CONFIG_LOADER_ARGS
from lung_tumor.files import record_of
from lung_tumor.predictor import Predictor
from lung_tumor.processor import INT8_FLAGS, multiplies_int8

log = logging.getLogger(__name__)

ENTRY = "served_model"
"""The catalog entry that names the served model."""

EXTENSION = "served_model"
"""Where ``app.extensions`` keeps the :class:`Champion`."""

NO_MODEL = "No model has been trained here yet. Train one with `make run`; it is served from then on."
BAD_MODEL = "The model file cannot be used; the server's log says why. Train a new one with `make run`."

RETRY_SECONDS = 30
"""When to ask again a server that has no model."""

_LOOK_SECONDS = 1.0
"""A model file is looked at no more often than this."""


@dataclass(frozen=True)
class Resources:
    """What all models of one process share.

    Attributes:
        config: the app's configuration, of which limits are read.
        engine: where slices wait for the model.
        metrics: what is counted.
        turns: one for each picture that may be held decoded at a time.
        unpacked: room for what the zips and the deflated files of all requests hold unpacked.
        large: held while a large picture is decoded, since one alone takes hundreds of megabytes.
    """

    config: Mapping[str, Any]
    engine: Engine
    metrics: Metrics
    turns: Turns
    unpacked: Room
    large: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Resources:
        """Resources as the configuration bounds them."""
        return cls(config, Engine(config["RUNS"]), Metrics(), Turns(config["JUDGED_AT_ONCE"]), Room.of(config))


@dataclass(frozen=True)
class ServedModel:
    """A model, or the reason why there is none.

    Attributes:
        resources: what it shares with those before and after it.
        predictor: the loaded model, None where there is none.
        digest: SHA-256 of its file; empty where it came from no file.
        cautions: what speaks against believing it on this machine.
        reason: why there is none and what to do, empty otherwise; names no path of the server.
    """

    resources: Resources
    predictor: Predictor | None
    digest: str = ""
    reason: str = ""
    cautions: tuple[str, ...] = ()

    def require(self) -> Predictor:
        """The model.

        Raises:
            ServiceUnavailable: there is none.
        """
        if self.predictor is None:
            raise ServiceUnavailable(self.reason, retry_after=RETRY_SECONDS)
        return self.predictor

    @property
    def warnings(self) -> tuple[str, ...]:
        """All that speaks against believing it: on this machine, and by the audit of its slices."""
        return (*self.cautions, *(self.predictor.metadata.warnings if self.predictor else ()))


def check(predictor: Predictor) -> None:
    """Ask a model about a black slice, alone and side by side with others, which also warms both of its sessions.

    Raises:
        ValueError: it answers in another shape than it names classes, or cannot tell suspected from clear.
    """
    metadata = predictor.metadata
    if metadata.operating_point is None or metadata.novelty is None:
        raise ValueError("the model carries no operating point or no limit of novelty; train it anew with `make run`")
    black = np.zeros((1, metadata.preparation.size, metadata.preparation.size), dtype=np.uint8)
    count = len(metadata.classes)
    for judged in (predictor.judge(black), predictor.judge(black, crowded=True)):
        for name, found, expected in (
            ("probabilities", judged.probabilities.shape, (1, count)),
            ("unusual_evidence", judged.unusual_evidence.shape[:2], (1, count)),
            ("distance", judged.distances.shape, (1,)),
        ):
            if found != expected:
                raise ValueError(f"the model must answer one slice with {name} of shape {expected}, received {found}")


class Champion:
    """The model of a file that may be replaced at any time, without a restart and without a request dropped.

    A request asks once for :meth:`current` and keeps what it got; a new file is loaded beside it and takes over when it
    has answered for a slice. One that cannot be used leaves the old one in place, and is tried again after a while.

    Args:
        current: what is served first.
        load: loads the file anew, as it is now; None where the model is fixed.
        stamp: tells one state of the file from another; None where there is no file.
    """

    def __init__(
        self,
        current: ServedModel,
        load: Callable[[], ServedModel] | None = None,
        stamp: Callable[[], object] = lambda: None,
    ) -> None:
        self._current = current
        self._load = load
        self._stamp = stamp
        self._seen = stamp()
        self._looked = time.monotonic()
        self._busy = threading.Lock()
        if load is not None and current.predictor is None:
            self._current = load()
        self._again = math.inf if self._current.predictor is not None else self._looked + RETRY_SECONDS

    def current(self) -> ServedModel:
        """The model to use for this request."""
        if self._load is None or time.monotonic() - self._looked < _LOOK_SECONDS:
            return self._current
        if self._busy.acquire(blocking=False):
            started = False
            try:
                self._looked = time.monotonic()
                found = self._stamp()
                if found is not None and (found != self._seen or self._looked >= self._again):
                    arguments = self._load, found
                    threading.Thread(target=self._replace, args=arguments, name="new model", daemon=True).start()
                    started = True
            # A thread may not start, where there are too many; the next request looks again.
            except Exception:
                log.exception("the model file cannot be looked at")
            finally:
                if not started:
                    self._busy.release()
        return self._current

    def _replace(self, load: Callable[[], ServedModel], found: object) -> None:
        # What failed for want of memory or files may not fail again.
        self._again = time.monotonic() + RETRY_SECONDS
        try:
            loaded = load()
            if loaded.predictor is not None:
                self._current = loaded
                self._again = math.inf
                log.info("a new model is served", extra={"fields": {"model": loaded.digest}})
            elif self._current.predictor is None:
                self._current = loaded
            else:
                log.warning("the model file was replaced by one that cannot be used; the old model stays")
        except Exception:
            log.exception("the new model file cannot be loaded")
        finally:
            self._seen = found
            self._busy.release()


def served_model() -> ServedModel:
    """The model of the app that handles this request."""
    champion: Champion = current_app.extensions[EXTENSION]
    return champion.current()


def open_champion(predictor: Predictor | None, resources: Resources) -> Champion:
    """Serve ``predictor``, or the catalog's entry ``served_model`` where there is none.

    Raises:
        MissingConfigException: the configured project holds no configuration.
        KeyError: its catalog names no served model.
        ValueError: ``predictor`` cannot be served.
    """
    if predictor is not None:
        check(predictor)
        return Champion(ServedModel(resources, predictor, cautions=_cautions(predictor)))
    dataset, path = _catalog_entry(Path(resources.config["PROJECT"]), resources.config["CONF_ENV"])
    missing = ServedModel(resources, None, reason=NO_MODEL)
    return Champion(missing, lambda: _load(dataset, path, resources), lambda: _stamp(path))


def _catalog_entry(project: Path, env: str | None) -> tuple[AbstractDataset[Any, Predictor], Path]:
    """The served model's dataset and file, without a Kedro session and so without a tracking server."""
    project = project.resolve()
    if not (project / "conf").is_dir():
        raise MissingConfigException(f"no folder conf in {project}; point LUNG_TUMOR_PROJECT at the project's root")
    # A checkout or an image without secrets may lack conf/local, which Kedro insists on.
    if env is None and not (project / "conf" / str(CONFIG_LOADER_ARGS["default_run_env"])).is_dir():
        env = str(CONFIG_LOADER_ARGS["base_env"])
    entry = OmegaConfigLoader(str(project / "conf"), env=env, **CONFIG_LOADER_ARGS)["catalog"][ENTRY]
    # Relative paths start at the project, as Kedro's own session would have it.
    entry = {**entry, "filepath": str(project / entry["filepath"])}
    return DataCatalog.from_config({ENTRY: entry})[ENTRY], Path(entry["filepath"])


def _stamp(path: Path) -> object:
    """State of the file and of its record, which is written a moment later; None where there is no file."""
    return (found, _state(record_of(path))) if (found := _state(path)) else None


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _load(dataset: AbstractDataset[Any, Predictor], path: Path, resources: Resources) -> ServedModel:
    if not path.is_file():
        log.warning("no served model at %s; train one with `make run`", path)
        return ServedModel(resources, None, reason=NO_MODEL)
    try:
        predictor = dataset.load()
        pinned = resources.config["MODEL_SHA256"]
        if pinned and predictor.digest != pinned.lower():
            raise ValueError(f"LUNG_TUMOR_MODEL_SHA256 expects a model of digest {pinned}, received {predictor.digest}")
        check(predictor)
    # ONNX Runtime's errors share no narrower base; whatever is wrong with the model, the page has to say it.
    except Exception as error:
        # The reason stands here, since the log leaves out what exceptions say; no patient is in a model file.
        log.exception("the served model cannot be used: %s", error)
        return ServedModel(resources, None, reason=BAD_MODEL)
    cautions = _cautions(predictor)
    for caution in cautions:
        log.warning("%s", caution)
    return ServedModel(resources, predictor, predictor.digest, cautions=cautions)


def _cautions(predictor: Predictor) -> tuple[str, ...]:
    if predictor.metadata.precision != "int8" or multiplies_int8():
        return ()
    able = ", ".join(sorted(INT8_FLAGS))
    words = (
        "This model computes in int8, and this server's processor has no VNNI, so that sums may overflow: "
        f"probabilities may not be those that it was judged by. Serve it on a processor with one of {able}."
    )
    return (words,)

"""Half-done fitting in a file, from which the next run goes on."""

from __future__ import annotations

import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_tumor.files import replacing

logger = logging.getLogger(__name__)

History = list[dict[str, float]]
"""One row an epoch: ``epoch``, ``learning_rate``, ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``."""


@dataclass(frozen=True)
class Checkpoint:
    """Fitting after some whole epoch.

    Attributes:
        digest: what was being fitted.
        history: one row for each epoch done.
        best: weights of the best of them.
        state: all that the next step depends on.
    """

    digest: str
    history: History
    best: list[npt.NDArray[np.float32]]
    state: list[npt.NDArray[Any]]


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write to ``path`` whole or not at all, as an uncompressed NumPy archive."""
    about = {
        "digest": checkpoint.digest,
        "history": checkpoint.history,
        # Nothing else tells that one is missing.
        "best": len(checkpoint.best),
        "state": len(checkpoint.state),
    }
    arrays = {
        f"{name}/{index}": part
        for name, parts in (("best", checkpoint.best), ("state", checkpoint.state))
        for index, part in enumerate(parts)
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


def read(path: Path, digest: str) -> Checkpoint | None:
    """Read what :func:`write` wrote; None where nothing is there, it is of something else, or it is damaged (a warning)."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            if about["digest"] != digest:
                logger.info("%s is of another fit: starting from the first epoch", path.name)
                return None
            best, state = ([archive[f"{name}/{index}"] for index in range(about[name])] for name in ("best", "state"))
            return Checkpoint(digest, about["history"], best, state)
    # A flipped bit fails zip's checksum, or makes a member look encrypted or of another version; a cut file has no directory of
    # its members, or is no archive at all.
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        logger.warning("%s is damaged (%s): starting from the first epoch", path.name, error)
        return None

"""Scores of configurations, remembered by what they were made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lung_tumor.network import NetworkOptions


@dataclass(frozen=True)
class Configuration:
    """One setting that a search may propose, in terms of the project's options.

    Attributes:
        network: all of ``params:model_prep.network``.
        learning_rate: ``params:training.head.learning_rate``, the head's.
        views: ``params:features.augmentation.views``.
    """

    network: NetworkOptions
    learning_rate: float
    views: int

    def to_dict(self) -> dict[str, Any]:
        """Every option under its own name."""
        return {**asdict(self.network), "learning_rate": self.learning_rate, "views": self.views}

    def parameters(self) -> dict[str, Any]:
        """The same as Kedro parameters, lists as lists."""
        network = {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self.network).items()
        }
        return {
            "model_prep": {"network": network},
            "training": {"head": {"learning_rate": self.learning_rate}},
            "features": {"augmentation": {"views": self.views}},
        }


@dataclass(frozen=True)
class FoldScore:
    """What a configuration reached on the pictures of one fold, which it never saw.

    Attributes:
        score: weighted log loss; smaller is better.
        auc: for information; None where undefined.
    """

    score: float
    auc: float | None = None


@dataclass(frozen=True)
class Record:
    """What is remembered of one configuration.

    Attributes:
        folds: the first folds, or all.
        whole: whether these are all.
        seconds: what it took to compute them.
    """

    folds: tuple[FoldScore, ...]
    whole: bool
    seconds: float


class TrialMemory:
    """Records by configuration and by everything else that decides its scores, in a file to which lines are added.

    Every record is written at once and begins a line of its own. What a killed run left half-written cannot be read as a
    record, is passed over, and is computed again.
    """

    def __init__(self, path: Path | None = None, made_by: str = "") -> None:
        """Open the memory.

        Args:
            path: the file; None remembers only as long as this object lives.
            made_by: everything but the configuration that decides the scores: slices, folds, other options, seed, code.
        """
        self._path = path
        self._made_by = made_by
        self._records: dict[str, Record] = {}
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._records.update(_parsed(line))

    def of(self, made_by: str) -> TrialMemory:
        """The same file for other slices, options or code."""
        return TrialMemory(self._path, made_by)

    def get(self, configuration: Configuration) -> Record | None:
        """What is known of a configuration."""
        return self._records.get(self._key(configuration))

    def put(self, configuration: Configuration, record: Record) -> None:
        """Remember a configuration's scores instead of what was known of it."""
        key = self._key(configuration)
        self._records[key] = record
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # The configuration itself is for people who look into the file.
        line = json.dumps({"key": key, **asdict(record), "configuration": configuration.to_dict()})
        with self._path.open("ab") as file:
            file.write(f"\n{line}\n".encode())

    def _key(self, configuration: Configuration) -> str:
        told = json.dumps([self._made_by, configuration.to_dict()], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:32]


def _parsed(line: str) -> dict[str, Record]:
    """The record that a line holds, by its key; empty where it holds none."""
    try:
        told = json.loads(line)
        folds = tuple(FoldScore(**fold) for fold in told["folds"])
        return {told["key"]: Record(folds, told["whole"], told["seconds"])}
    except (ValueError, KeyError, TypeError):
        return {}

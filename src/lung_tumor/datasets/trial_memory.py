"""The memory of a search in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from lung_tumor.tuning_memory import TrialMemory


class TrialMemoryDataset(AbstractDataset[NoReturn, TrialMemory]):
    """Opens a :class:`lung_tumor.tuning_memory.TrialMemory`, which is there whether or not it holds anything yet.

    Example in YAML::

        trial_memory:
          type: lung_tumor.datasets.trial_memory.TrialMemoryDataset
          filepath: data/01_raw/tuning_trials.jsonl

    Example in Python::

        >>> memory = TrialMemoryDataset(filepath="tuning_trials.jsonl").load()  # doctest: +SKIP
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> TrialMemory:
        """Open the memory."""
        return TrialMemory(self._filepath)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: a search writes to it, trial by trial."""
        raise DatasetError("a memory of trials is written through TrialMemory.put")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

"""The feature store in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from lung_tumor.feature_store import FeatureStore


class FeatureStoreDataset(AbstractDataset[NoReturn, FeatureStore]):
    """Opens a :class:`lung_tumor.feature_store.FeatureStore`, which is there whether or not it holds anything yet.

    Example in YAML::

        feature_store:
          type: lung_tumor.datasets.feature_store.FeatureStoreDataset
          filepath: data/01_raw/features.sqlite
          budget_bytes: 4294967296

    Example in Python::

        >>> store = FeatureStoreDataset(filepath="features.sqlite").load()  # doctest: +SKIP
    """

    def __init__(self, *, filepath: str, budget_bytes: int = 4 * 2**30, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self._budget = budget_bytes
        self.metadata = metadata

    def load(self) -> FeatureStore:
        """Open the store."""
        return FeatureStore(self._filepath, self._budget)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: whoever computes activations puts them in."""
        raise DatasetError("a feature store is written through FeatureStore.put")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "budget_bytes": self._budget}

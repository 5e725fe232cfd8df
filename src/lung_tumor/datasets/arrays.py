"""Named arrays in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from kedro.io import AbstractDataset

from lung_tumor.files import replacing

Arrays = dict[str, npt.NDArray[Any]]


class ArraysDataset(AbstractDataset[Arrays, Arrays]):
    """Saves a dictionary of NumPy arrays as one uncompressed ``.npz`` file.

    Example in YAML::

        features:
          type: lung_tumor.datasets.arrays.ArraysDataset
          filepath: data/04_feature/features.npz

    Example in Python::

        >>> dataset = ArraysDataset(filepath="features.npz")
        >>> dataset.save({"pixels": np.array(["a1"]), "activation0": np.zeros((1, 512))})  # doctest: +SKIP
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Arrays:
        """Read every array; pickled objects are refused."""
        with np.load(self._filepath, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def save(self, data: Arrays) -> None:
        """Write the file whole or not at all."""
        with replacing(self._filepath) as temporary:
            np.savez(temporary, allow_pickle=False, **data)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

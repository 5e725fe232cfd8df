"""A served model in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from lung_tumor.files import write_atomically
from lung_tumor.predictor import Predictor


class OnnxModelDataset(AbstractDataset[bytes, Predictor]):
    """Saves an ONNX file, loads it as a :class:`~lung_tumor.predictor.Predictor` (ONNX Runtime, no TensorFlow).

    Example in YAML::

        served_model:
          type: lung_tumor.datasets.onnx_model.OnnxModelDataset
          filepath: data/06_models/classifier.onnx

    Example in Python::

        >>> dataset = OnnxModelDataset(filepath="data/06_models/classifier.onnx")
        >>> predictor = dataset.load()  # doctest: +SKIP
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Predictor:
        """Open the file with ONNX Runtime."""
        if not self._filepath.is_file():
            raise DatasetError(f"no served model at {self._filepath}; make one with `kedro run` (or `make run`)")
        return Predictor(self._filepath)

    def save(self, data: bytes) -> None:
        """Write the serialised ONNX model whole or not at all."""
        write_atomically(self._filepath, data)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

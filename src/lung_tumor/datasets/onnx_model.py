"""A served model in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from lung_tumor.files import require_recorded, write_recorded
from lung_tumor.predictor import Predictor


class OnnxModelDataset(AbstractDataset[bytes, Predictor]):
    """Saves an ONNX file, loads it as a :class:`~lung_tumor.predictor.Predictor` (ONNX Runtime, no TensorFlow).

    The file's SHA-256 is saved beside it, ``classifier.onnx.sha256``, and another file in its place is not loaded.

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
        """Open the file with ONNX Runtime, if it is the one that was saved."""
        if not self._filepath.is_file():
            raise DatasetError(f"no served model at {self._filepath}; make one with `kedro run` (or `make run`)")
        predictor = Predictor(self._filepath)
        require_recorded(self._filepath, predictor.digest)
        return predictor

    def save(self, data: bytes) -> None:
        """Write the serialised ONNX model whole or not at all, then its SHA-256."""
        write_recorded(self._filepath, data)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

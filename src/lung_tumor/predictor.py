"""Answers from a served model, with NumPy in and out and no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from lung_tumor.imaging import Pixels, to_network_input
from lung_tumor.metadata import ModelMetadata

METADATA_KEY = "lung_tumor"
"""Key of the JSON text of :class:`ModelMetadata` among an ONNX file's metadata."""


class Predictor:
    """A served classifier. Safe to share between threads: ONNX Runtime's ``run`` is.

    Attributes:
        metadata: what the model says of itself.

    Raises:
        ValueError: the ONNX file does not carry this project's metadata.
    """

    def __init__(self, model: bytes | Path, threads: int | None = None) -> None:
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        if threads is not None:
            settings.intra_op_num_threads = threads
        content = str(model) if isinstance(model, Path) else model
        self._session = ort.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
        found = self._session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in found:
            raise ValueError(
                f"the ONNX file carries no {METADATA_KEY!r} metadata; export it with `kedro run --pipeline=training`"
            )
        self.metadata = ModelMetadata.from_json(found[METADATA_KEY])
        self._input = self._session.get_inputs()[0].name

    def predict(self, prepared: Pixels) -> npt.NDArray[np.float32]:
        """Class probabilities of prepared slices.

        Args:
            prepared: (n, size, size) uint8, 0 to 255, made by :func:`lung_tumor.imaging.prepare` with
                ``self.metadata.preparation``.

        Returns:
            (n, classes) float32; each row sums to 1, columns as in ``self.metadata.classes``.
        """
        (probabilities,) = self._session.run(None, {self._input: to_network_input(prepared)})
        return np.asarray(probabilities, dtype=np.float32)

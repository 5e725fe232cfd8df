"""From a trained classifier to the ONNX file that is served."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

from lung_tumor.classifier import Classifier
from lung_tumor.errors import ExportError
from lung_tumor.imaging import Pixels, to_network_input
from lung_tumor.predictor import METADATA_KEY, Predictor

TOLERANCE = 1e-4
"""Largest difference in probability that float32 arithmetic in another order explains."""


def to_onnx(classifier: Classifier, checks: Pixels) -> bytes:
    """Export to ONNX, float32, and check the result against the original.

    Args:
        classifier: trained network with its metadata, which is written into the file.
        checks: prepared slices, (n, size, size) uint8, on which both must agree.

    Returns:
        The serialised ONNX model.

    Raises:
        ExportError: some probability differs by more than :data:`TOLERANCE`.
    """
    # Keras exports only what it has run at least once, so the expectation comes first.
    expected = np.asarray(classifier.model.predict_on_batch(to_network_input(checks)))
    content = _export(classifier)
    received = Predictor(content).predict(checks)
    difference = float(np.abs(expected - received).max())
    if not difference <= TOLERANCE:
        raise ExportError(f"the ONNX model's probabilities differ by {difference:.2g}, expected at most {TOLERANCE:g}")
    return content


def _export(classifier: Classifier) -> bytes:
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        with warnings.catch_warnings():
            # Keras's exporter asks NumPy for an attribute that NumPy is about to define anew.
            warnings.simplefilter("ignore", FutureWarning)
            classifier.model.export(path, format="onnx", verbose=False)
        model = onnx.load(path)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, classifier.metadata.to_json()
    content: bytes = model.SerializeToString()
    return content

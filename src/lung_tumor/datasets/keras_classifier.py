"""A Keras classifier in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from lung_tumor import classifier
from lung_tumor.files import replacing


class KerasClassifierDataset(AbstractDataset[classifier.Classifier, classifier.Classifier]):
    """Saves and loads a :class:`~lung_tumor.classifier.Classifier` as one ``.keras`` file.

    Example in YAML::

        classifier:
          type: lung_tumor.datasets.keras_classifier.KerasClassifierDataset
          filepath: data/06_models/classifier.keras

    Example in Python::

        >>> dataset = KerasClassifierDataset(filepath="data/06_models/classifier.keras")
        >>> dataset.load().metadata.classes  # doctest: +SKIP
        ('adenocarcinoma', 'normal')
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> classifier.Classifier:
        """Load the network, uncompiled, and its metadata."""
        if not self._filepath.is_file():
            raise DatasetError(f"no classifier at {self._filepath}; make one with `kedro run` (or `make run`)")
        return classifier.read(self._filepath)

    def save(self, data: classifier.Classifier) -> None:
        """Write the file whole or not at all."""
        with replacing(self._filepath) as temporary:
            classifier.write(data, temporary)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

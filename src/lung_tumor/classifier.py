"""A trained or untrained network together with what it says of itself. Importing this loads no TensorFlow."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lung_tumor.metadata import ModelMetadata

if TYPE_CHECKING:
    import keras

_ENTRY = "lung_tumor.json"


@dataclass(frozen=True)
class Classifier:
    """One classifier.

    Attributes:
        model: takes pixels (n, size, size, 3) float32, 0 to 255; returns probabilities (n, classes) float32.
        metadata: class names, provenance and preparation.
    """

    model: keras.Model
    metadata: ModelMetadata


def write(classifier: Classifier, path: Path) -> None:
    """Write one ``.keras`` file that plain ``keras.models.load_model`` opens; the metadata is one more entry in it."""
    classifier.model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_ENTRY, classifier.metadata.to_json())


def read(path: Path) -> Classifier:
    """Read what :func:`write` wrote.

    Raises:
        ValueError: the file is no ``.keras`` archive of this project.
    """
    import keras

    return Classifier(keras.models.load_model(path, compile=False), read_metadata(path))


def read_metadata(path: Path) -> ModelMetadata:
    """Read the metadata alone, without loading Keras.

    Raises:
        ValueError: the file is no ``.keras`` archive of this project.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return ModelMetadata.from_json(archive.read(_ENTRY).decode())
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f"{path.name} is no classifier of this project ({error}); train one with `kedro run`"
        ) from None

"""The pretrained weights in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from lung_tumor import weights
from lung_tumor.files import write_atomically


class ImageNetWeightsDataset(AbstractDataset[NoReturn, weights.Tensors]):
    """Loads VGG16's verified ImageNet tensors and keeps a copy, so that they are fetched once.

    Example in YAML::

        imagenet_weights:
          type: lung_tumor.datasets.imagenet_weights.ImageNetWeightsDataset
          filepath: data/01_raw/vgg16_imagenet.npz

    Example in Python::

        >>> dataset = ImageNetWeightsDataset(filepath="data/01_raw/vgg16_imagenet.npz")
        >>> tensors = dataset.load()  # doctest: +SKIP
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> weights.Tensors:
        """Resolve, verify and cache the tensors."""
        tensors, place = weights.resolve(self._filepath)
        if place != "cache":
            write_atomically(self._filepath, weights.to_bytes(tensors))
        return tensors

    def save(self, data: NoReturn) -> None:
        """Refuse: pretrained weights are read, never written."""
        raise DatasetError("pretrained weights are read-only")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

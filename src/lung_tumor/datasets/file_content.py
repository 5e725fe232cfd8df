"""A file as bytes, or None where there is none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from lung_tumor.files import require_recorded, write_atomically


class FileContentDataset(AbstractDataset[bytes, "bytes | None"]):
    """Loads the bytes of a file, None where it does not exist: the champion of a first run, for one.

    Example in YAML::

        champion:
          type: lung_tumor.datasets.file_content.FileContentDataset
          filepath: data/06_models/classifier.onnx

    Example in Python::

        >>> FileContentDataset(filepath="no/such/file").load() is None
        True
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> bytes | None:
        """Read the file, if it is the one that was saved where a SHA-256 was recorded."""
        if not self._filepath.is_file():
            return None
        content = self._filepath.read_bytes()
        require_recorded(self._filepath, hashlib.sha256(content).hexdigest())
        return content

    def save(self, data: bytes) -> None:
        """Write the file whole or not at all."""
        write_atomically(self._filepath, data)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

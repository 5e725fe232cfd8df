"""A folder of figures in the catalog, with a preview."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure
from PIL import Image

from lung_tumor.files import replacing


class FigureFolderDataset(AbstractDataset[dict[str, Figure], dict[str, bytes]]):
    """Saves figures by name as PNG files in one folder; figures of an earlier run are removed.

    ``matplotlib.MatplotlibDataset`` saves such a dictionary too, but can then show no preview in Kedro-Viz.

    Example in YAML::

        contact_sheets:
          type: lung_tumor.datasets.figure_folder.FigureFolderDataset
          filepath: data/08_reporting/contact_sheets

    Example in Python::

        >>> dataset = FigureFolderDataset(filepath="data/08_reporting/contact_sheets")
        >>> dataset.save({"normal": Figure()})  # doctest: +SKIP
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, bytes]:
        """PNG bytes by file name, sorted."""
        return {path.name: path.read_bytes() for path in self._figures()}

    def save(self, data: dict[str, Figure]) -> None:
        """Write each figure, named by its key made safe for a file system."""
        names = {f"{_file_stem(key)}.png": figure for key, figure in data.items()}
        self._filepath.mkdir(parents=True, exist_ok=True)
        for path in self._figures():
            if path.name not in names:
                path.unlink()
        for name, figure in names.items():
            with replacing(self._filepath / name) as temporary:
                figure.savefig(temporary)

    def preview(self) -> ImagePreview:
        """All figures one above the other, as base64 text of one PNG."""
        pictures = [Image.open(io.BytesIO(content)).convert("RGB") for content in self.load().values()]
        width = max((picture.width for picture in pictures), default=1)
        stacked = Image.new("RGB", (width, max(sum(picture.height for picture in pictures), 1)), "white")
        top = 0
        for picture in pictures:
            stacked.paste(picture, (0, top))
            top += picture.height
        buffer = io.BytesIO()
        stacked.save(buffer, "PNG")
        return ImagePreview(base64.b64encode(buffer.getvalue()).decode())

    def _exists(self) -> bool:
        return bool(self._figures())

    def _figures(self) -> list[Path]:
        """Figures in the order of their names, without what a killed run left half-written."""
        return sorted(path for path in self._filepath.glob("*.png") if not path.name.startswith("."))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _file_stem(key: str) -> str:
    """A name that every file system takes, different for different keys; no part of one names a folder or is hidden."""
    stem = quote(key, safe=" ").replace(".", "%2E")
    return stem if len(stem) <= 120 else f"{stem[:100]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"

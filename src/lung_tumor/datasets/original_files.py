"""The source of slices, to be opened by whoever needs its files once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from lung_tumor.datasets.slice_source import SliceSourceDataset
from lung_tumor.sources import SliceSource


class OriginalFilesDataset(AbstractDataset[NoReturn, Callable[[], SliceSource]]):
    """Loads a call that opens the source; until it is called, nothing is fetched, unpacked or drawn.

    Takes what :class:`~lung_tumor.datasets.slice_source.SliceSourceDataset` takes.

    Example in YAML::

        original_files:
          type: lung_tumor.datasets.original_files.OriginalFilesDataset
          uri: ${runtime_params:source,${globals:source}}
          filepath: data/01_raw

    Example in Python::

        >>> dataset = OriginalFilesDataset(uri="phantom:?slices=4", filepath="data/01_raw")
        >>> dataset.load()().classes  # doctest: +SKIP
        ('adenocarcinoma', 'normal')
    """

    def __init__(
        self,
        *,
        uri: str,
        filepath: str,
        options: dict[str, Any] | None = None,
        phantom: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._source = SliceSourceDataset(uri=uri, filepath=filepath, options=options, phantom=phantom)
        self.metadata = metadata

    def load(self) -> Callable[[], SliceSource]:
        """The call; it raises what opening the source raises."""
        return self._source.load

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: a source is read only."""
        raise DatasetError("a source of slices is read only; point `source` to a folder and put slices there")

    def _exists(self) -> bool:
        return self._source.exists()

    def _describe(self) -> dict[str, Any]:
        return self._source._describe()

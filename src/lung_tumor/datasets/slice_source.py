"""The source of slices in the catalog."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from kedro.io import AbstractDataset, DatasetError

from lung_tumor.errors import SourceError
from lung_tumor.phantom import PhantomOptions
from lung_tumor.settings import PROJECT
from lung_tumor.sources import SliceSource, SourceOptions, is_at_hand, open_source, public_name

_Options = TypeVar("_Options", SourceOptions, PhantomOptions)


class SliceSourceDataset(AbstractDataset[NoReturn, SliceSource]):
    """Opens the source that one URI names; fetching, unpacking and drawing happen in ``load``, once.

    Example in YAML::

        slice_source:
          type: lung_tumor.datasets.slice_source.SliceSourceDataset
          uri: ${runtime_params:source,${globals:source}}
          filepath: data/01_raw
          options: ${globals:source_options}
          phantom:
            slices: ${globals:phantom.slices}
            mass_mm: ${globals:phantom.mass_mm}
            seed: ${globals:seed}

    Example in Python::

        >>> dataset = SliceSourceDataset(uri="phantom:?slices=4", filepath="data/01_raw")
        >>> dataset.load().classes  # doctest: +SKIP
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
        self._uri = _as_text(uri)
        self._cache = Path(filepath)
        self._options = _build(SourceOptions, "source_options", options)
        self._phantom = _build(PhantomOptions, "phantom", phantom)
        self.metadata = metadata

    def load(self) -> SliceSource:
        """Open the source.

        Raises:
            DatasetError: it cannot be opened; the message is the whole story.
        """
        try:
            return open_source(self._uri, self._cache, self._options, self._phantom, PROJECT)
        except SourceError as error:
            raise DatasetError(str(error)) from None

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: a source is read only."""
        raise DatasetError("a source of slices is read only; point `source` to a folder and put slices there")

    def _exists(self) -> bool:
        return is_at_hand(self._uri, self._cache, self._options, PROJECT)

    def _describe(self) -> dict[str, Any]:
        return {"uri": public_name(self._uri), "filepath": str(self._cache)}


def _as_text(uri: object) -> str:
    """The URI as it was written: ``--params source=phantom:`` arrives as the mapping that YAML sees in it."""
    if isinstance(uri, dict) and len(uri) == 1:
        [(key, value)] = uri.items()
        uri = f"{key}:" if value is None else uri
    if isinstance(uri, str):
        return uri
    raise DatasetError(f"source must be text, received {uri!r}; put it in quotes: --params \"source='…'\"")


def _build(kind: type[_Options], name: str, values: dict[str, Any] | None) -> _Options:
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(values or {}) - set(known))
    if unknown:
        raise DatasetError(f"unknown {name}: {', '.join(unknown)}; known are {', '.join(known)}")
    try:
        return kind(**(values or {}))
    except (TypeError, ValueError) as error:
        raise DatasetError(str(error)) from None

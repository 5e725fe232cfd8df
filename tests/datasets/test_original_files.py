"""A source that is opened only by whoever needs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from lung_tumor.datasets.original_files import OriginalFilesDataset


def test_nothing_is_opened_before_the_call(tmp_path: Path) -> None:
    opened = OriginalFilesDataset(uri="phantom:?slices=4", filepath=str(tmp_path)).load()
    assert list(tmp_path.iterdir()) == []
    assert opened().classes == ("adenocarcinoma", "normal")
    assert list(tmp_path.iterdir()) != []


def test_a_source_that_is_gone_is_told_when_it_is_called(tmp_path: Path) -> None:
    dataset = OriginalFilesDataset(uri=str(tmp_path / "gone"), filepath=str(tmp_path))
    assert not dataset.exists()
    opened = dataset.load()
    with pytest.raises(DatasetError, match="gone"):
        opened()


def test_a_source_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="read only"):
        OriginalFilesDataset(uri="phantom:", filepath=str(tmp_path)).save({})

"""A file as bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from lung_tumor.datasets.file_content import FileContentDataset
from lung_tumor.files import write_recorded


def test_bytes_come_back_and_no_file_is_none(tmp_path: Path) -> None:
    dataset = FileContentDataset(filepath=str(tmp_path / "06_models/classifier.onnx"))
    assert dataset.load() is None
    assert not dataset.exists()
    dataset.save(b"\x00onnx")
    assert dataset.exists()
    assert dataset.load() == b"\x00onnx"
    assert [path.name for path in (tmp_path / "06_models").iterdir()] == ["classifier.onnx"]


def test_a_champion_that_was_swapped_is_neither_compared_nor_saved_again(tmp_path: Path) -> None:
    path = tmp_path / "classifier.onnx"
    write_recorded(path, b"\x00onnx")
    assert FileContentDataset(filepath=str(path)).load() == b"\x00onnx"
    path.write_bytes(b"another")
    with pytest.raises(DatasetError, match="not the file that was saved"):
        FileContentDataset(filepath=str(path)).load()

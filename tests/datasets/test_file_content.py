"""A file as bytes."""

from __future__ import annotations

from pathlib import Path

from lung_tumor.datasets.file_content import FileContentDataset


def test_bytes_come_back_and_no_file_is_none(tmp_path: Path) -> None:
    dataset = FileContentDataset(filepath=str(tmp_path / "06_models/classifier.onnx"))
    assert dataset.load() is None
    assert not dataset.exists()
    dataset.save(b"\x00onnx")
    assert dataset.exists()
    assert dataset.load() == b"\x00onnx"
    assert [path.name for path in (tmp_path / "06_models").iterdir()] == ["classifier.onnx"]

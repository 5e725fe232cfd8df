"""Named arrays in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kedro.io import DataCatalog, DatasetError

from lung_tumor.datasets.arrays import ArraysDataset

ARRAYS = {
    "pixels": np.array(["aa", "bb"]),
    "activation0": np.arange(6, dtype=np.float32).reshape(2, 3),
    "activation1": np.zeros((2, 0, 4)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "04_feature" / "features.npz"


@pytest.fixture
def dataset(path: Path) -> ArraysDataset:
    return ArraysDataset(filepath=str(path))


def test_what_is_loaded_is_what_was_saved(dataset: ArraysDataset) -> None:
    dataset.save(ARRAYS)
    loaded = dataset.load()
    assert loaded.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], values, strict=True)


def test_it_exists_once_saved(dataset: ArraysDataset) -> None:
    assert not dataset.exists()
    dataset.save(ARRAYS)
    assert dataset.exists()


def test_saving_again_forgets_the_arrays_of_before(dataset: ArraysDataset) -> None:
    dataset.save(ARRAYS)
    dataset.save({"pixels": np.array(["cc"])})
    assert list(dataset.load()) == ["pixels"]


def test_an_array_that_would_need_pickle_is_refused_and_the_old_file_stays(dataset: ArraysDataset, path: Path) -> None:
    dataset.save(ARRAYS)
    with pytest.raises(DatasetError, match="Object arrays cannot be saved"):
        dataset.save({"paths": np.array([Path()], dtype=object)})
    assert list(path.parent.iterdir()) == [path]
    assert dataset.load().keys() == ARRAYS.keys()


def test_a_pickled_array_is_not_loaded(dataset: ArraysDataset, path: Path) -> None:
    path.parent.mkdir()
    np.savez(path, hostile=np.array([Path()], dtype=object))
    with pytest.raises(DatasetError, match="allow_pickle=False"):
        dataset.load()


def test_the_catalog_builds_it_and_keeps_its_layer(path: Path) -> None:
    entry = {
        "type": "lung_tumor.datasets.arrays.ArraysDataset",
        "filepath": str(path),
        "metadata": {"kedro-viz": {"layer": "04_feature"}},
    }
    dataset = DataCatalog.from_config({"features": entry})["features"]
    assert dataset.metadata == entry["metadata"]
    assert str(path) in str(dataset)

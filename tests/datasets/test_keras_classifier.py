"""A Keras classifier in the catalog."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from lung_tumor import classifier as files
from lung_tumor.datasets.keras_classifier import KerasClassifierDataset
from lung_tumor.imaging import to_network_input
from tests.support.classifiers import pixels, small_classifier

# Keras 3.15 saves variables through an argument that NumPy 2.4 wants declared.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "06_models" / "classifier.keras"


def test_what_is_loaded_answers_as_what_was_saved(path: Path) -> None:
    dataset = KerasClassifierDataset(filepath=str(path))
    original = small_classifier(("a", "b", "c"))
    assert not dataset.exists()
    dataset.save(original)
    assert dataset.exists()
    loaded = dataset.load()
    given = to_network_input(pixels(4))
    np.testing.assert_allclose(loaded.model.predict_on_batch(given), original.model.predict_on_batch(given), atol=1e-6)
    assert loaded.metadata == original.metadata
    assert list(path.parent.iterdir()) == [path]


def test_a_save_that_fails_half_way_leaves_the_old_classifier(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object, temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError("no space left")

    path.parent.mkdir()
    path.write_bytes(b"old")
    monkeypatch.setattr(files, "write", fail)
    with pytest.raises(DatasetError, match="no space left"):
        KerasClassifierDataset(filepath=str(path)).save(small_classifier())
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_classifier_is_an_error_that_says_how_to_make_one(path: Path) -> None:
    dataset = KerasClassifierDataset(filepath=str(path))
    with pytest.raises(DatasetError, match=r"no classifier at .*classifier\.keras; make one with `kedro run`"):
        dataset.load()
    assert str(path) in str(dataset)

"""A served model in the catalog."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError

from lung_tumor.datasets.onnx_model import OnnxModelDataset
from lung_tumor.predictor import Predictor
from tests.support.classifiers import pixels, small_classifier
from tests.support.served import served


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "06_models" / "classifier.onnx"


def test_what_is_loaded_answers_as_the_bytes_that_were_saved(path: Path) -> None:
    content = served(small_classifier(("a", "b", "c")))
    dataset = OnnxModelDataset(filepath=str(path))
    assert not dataset.exists()
    dataset.save(content)
    assert dataset.exists()
    loaded = dataset.load()
    assert isinstance(loaded, Predictor)
    np.testing.assert_array_equal(loaded.predict(pixels(4)), Predictor(content).predict(pixels(4)))
    assert loaded.metadata.classes == ("a", "b", "c")


def test_a_missing_model_is_an_error_that_says_how_to_make_one(path: Path) -> None:
    dataset = OnnxModelDataset(filepath=str(path))
    with pytest.raises(DatasetError, match=r"no served model at .*classifier\.onnx; make one with `kedro run`"):
        dataset.load()
    assert str(path) in str(dataset)


def test_a_file_that_is_no_model_is_an_error(path: Path) -> None:
    dataset = OnnxModelDataset(filepath=str(path))
    dataset.save(b"junk")
    with pytest.raises(DatasetError, match="onnx"):
        dataset.load()


def test_another_model_than_the_one_saved_is_an_error_that_says_what_to_do(path: Path) -> None:
    dataset = OnnxModelDataset(filepath=str(path))
    dataset.save(served(small_classifier(("a", "b"))))
    path.write_bytes(served(small_classifier(("a", "b", "c"))))
    with pytest.raises(DatasetError, match=r"classifier\.onnx is not the file that was saved.*remove both"):
        dataset.load()
    (path.parent / "classifier.onnx.sha256").unlink()
    assert dataset.load().metadata.classes == ("a", "b", "c")

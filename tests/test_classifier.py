"""A classifier as one file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from lung_tumor import classifier as files
from lung_tumor.classifier import Classifier
from lung_tumor.imaging import to_network_input
from tests.support.classifiers import pixels, small_classifier

# Keras 3.15 saves variables through an argument that NumPy 2.4 wants declared.

GIVEN = to_network_input(pixels(4))


@pytest.fixture(scope="module")
def original() -> Classifier:
    return small_classifier(("adenocarcinoma", "normal", "other"), source="a folder of ünïcode")


@pytest.fixture(scope="module")
def path(original: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("models") / "classifier.keras"
    files.write(original, file)
    return file


def test_what_is_read_answers_as_what_was_written(original: Classifier, path: Path) -> None:
    received = files.read(path)
    expected = original.model.predict_on_batch(GIVEN)
    np.testing.assert_allclose(received.model.predict_on_batch(GIVEN), expected, atol=1e-6)
    assert received.metadata == original.metadata


def test_plain_keras_opens_the_file(original: Classifier, path: Path) -> None:
    model = keras.models.load_model(path)
    np.testing.assert_allclose(model.predict_on_batch(GIVEN), original.model.predict_on_batch(GIVEN), atol=1e-6)


def test_writing_again_replaces_model_and_metadata(original: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "classifier.keras"
    files.write(small_classifier(), path)
    files.write(original, path)
    assert files.read_metadata(path) == original.metadata


def test_metadata_alone_is_read_without_tensorflow(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from lung_tumor.classifier import read_metadata;"
        "print(read_metadata(Path(sys.argv[1])).classes);"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.strip() == "('adenocarcinoma', 'normal', 'other')"


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "junk.keras"
    path.write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"junk\.keras is no classifier of this project .*train one with `kedro run`"):
        files.read_metadata(path)


def test_a_model_of_someone_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.keras"
    given = keras.Input((2,))
    keras.Model(given, keras.layers.Dense(1)(given)).save(path)
    with pytest.raises(ValueError, match=r"theirs\.keras is no classifier of this project"):
        files.read(path)

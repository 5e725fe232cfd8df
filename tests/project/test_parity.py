"""The pipeline and the app make the same of the same files: what was evaluated is what is served."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient

from app import create_app
from lung_tumor.imaging import decode
from lung_tumor.pipelines.data_ingestion.nodes import prepare_slices
from lung_tumor.predictor import Predictor
from tests.support.dicom_files import ct_file, phantom_hounsfield
from tests.support.pictures import encoded, source_of
from tests.test_strokes import marked


@pytest.fixture(scope="module")
def client(finished: Path) -> FlaskClient:
    """The app on the run's own catalog and model."""
    return create_app(config={"PROJECT": finished}).test_client()


def answers(client: FlaskClient, contents: list[bytes]) -> list[dict[str, Any]]:
    # By hand: Werkzeug's test client spools a large form to disk, and leaves it open.
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="%d"\r\n\r\n'
    body = b"".join(head % index + content + b"\r\n" for index, content in enumerate(contents)) + b"--x--\r\n"
    url = "/api/v1/predictions?images=true"
    response = client.post(url, data=body, content_type="multipart/form-data; boundary=x")
    assert response.status_code == 200, response.text
    return list(response.json["predictions"])  # type: ignore[index]


def shown(item: dict[str, Any]) -> np.ndarray:
    """The slice as the app says that the model saw it."""
    content = base64.b64decode(item["images"]["slice"].partition(",")[2])
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_runs_own_files_get_the_pixels_and_the_probabilities_of_the_run(
    finished: Path, client: FlaskClient
) -> None:
    predictions = pd.read_csv(finished / "data/07_model_output/predictions.csv")
    sources = [next(finished.glob(f"data/01_raw/**/{path}")).read_bytes() for path in predictions["path"]]
    items = answers(client, sources)
    assert len(items) == len(predictions) > 0
    judged = 0
    for item, (_, row) in zip(items, predictions.iterrows(), strict=True):
        prepared = cv2.imread(str(finished / f"data/03_primary/slices/{row['pixels']}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(shown(item), prepared)
        assert item["answer"] == row["answer"]
        assert item["novelty"]["distance"] == pytest.approx(row["distance"], abs=1e-4)
        if item["probabilities"] is None:
            continue
        judged += 1
        assert item["probabilities"] == pytest.approx(
            {name: row[f"p_{name}"] for name in item["probabilities"]}, abs=1e-4
        )
        assert item["suspicion"] == pytest.approx(row["suspicion"], abs=1e-4)
    assert judged > 0


def test_a_marked_picture_in_colour_and_a_dicom_file_are_prepared_as_the_pipeline_prepares_them(
    finished: Path, client: FlaskClient, tmp_path: Path
) -> None:
    options = Predictor(finished / "data/06_models/classifier.onnx").metadata.preparation
    files = {"a/marked.png": encoded(marked()[0]), "b/slice.dcm": ct_file(phantom_hounsfield())}
    assert decode(files["a/marked.png"], options.dicom_window).strokes is not None
    manifest = pd.DataFrame({"path": list(files), "pixels": list(files), "verdict": "accepted"})
    expected = prepare_slices(source_of(tmp_path, files), manifest, options)
    for item, path in zip(answers(client, list(files.values())), files, strict=True):
        np.testing.assert_array_equal(shown(item), np.asarray(expected[path]()))

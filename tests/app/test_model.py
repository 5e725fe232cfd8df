"""Where the served model comes from, and what happens when it is missing or broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kedro.config import MissingConfigException

from app import create_app
from lung_tumor.predictor import Predictor
from lung_tumor.settings import PROJECT


def with_model(project: Path, content: bytes) -> Path:
    file = project / "data" / "06_models" / "classifier.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return project


def test_the_model_comes_from_the_catalog_and_is_loaded_once(served_project, bright, monkeypatch):
    loads = []
    original = Predictor.__init__
    monkeypatch.setattr(Predictor, "__init__", lambda self, *a, **k: (loads.append(1), original(self, *a, **k))[1])
    client = create_app(config={"PROJECT": served_project}).test_client()
    for _ in range(3):
        assert client.get("/healthz").status_code == 200
    assert loads == [1]


def test_the_project_may_be_named_by_the_environment(served_project, monkeypatch):
    monkeypatch.setenv("LUNG_TUMOR_PROJECT", str(served_project))
    assert create_app().test_client().get("/healthz").status_code == 200


def test_a_configuration_environment_may_name_another_model(project, make_model, monkeypatch):
    (project / "conf" / "ward").mkdir()
    (project / "conf" / "ward" / "catalog.yml").write_text(
        "served_model:\n  type: lung_tumor.datasets.onnx_model.OnnxModelDataset\n  filepath: ward.onnx\n"
    )
    (project / "ward.onnx").write_bytes(make_model(version="9.9.9"))
    monkeypatch.setenv("KEDRO_ENV", "ward")
    client = create_app(config={"PROJECT": project}).test_client()
    assert client.get("/healthz").json["model"]["version"] == "9.9.9"


def test_a_project_without_a_local_configuration_is_served(served_project, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "base").symlink_to(served_project / "conf" / "base")
    (tmp_path / "data").symlink_to(served_project / "data")
    assert create_app(config={"PROJECT": tmp_path}).test_client().get("/healthz").status_code == 200


def test_a_folder_without_configuration_stops_the_start_with_the_fix(tmp_path):
    with pytest.raises(MissingConfigException, match="LUNG_TUMOR_PROJECT"):
        create_app(config={"PROJECT": tmp_path})


def test_a_damaged_model_is_503_and_its_path_stays_in_the_log(project, caplog):
    client = create_app(config={"PROJECT": with_model(project, b"no model")}).test_client()
    response = client.get("/healthz")
    assert response.status_code == 503
    assert "cannot be used" in response.json["reason"]
    assert str(project) not in response.text
    assert str(project) in caplog.text


def test_a_model_that_answers_for_other_classes_than_it_names_is_not_served(project, make_model, caplog):
    model = make_model(("adenocarcinoma", "normal"), outputs=3)
    client = create_app(config={"PROJECT": with_model(project, model)}).test_client()
    assert client.get("/healthz").status_code == 503
    assert "shape (1, 2), received (1, 3)" in caplog.text


def test_serving_imports_nothing_that_trains(served_project):
    """A fresh process, a real prediction, then a look at what it has loaded."""
    code = """
import io, sys
import numpy as np
from PIL import Image
from app import create_app
buffer = io.BytesIO()
Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8)).save(buffer, "PNG")
buffer.seek(0)
response = create_app().test_client().post("/api/v1/predictions", data={"file": (buffer, "slice.png")})
assert response.status_code == 200, response.text
heavy = {"tensorflow", "keras", "mlflow", "sklearn", "pandas", "matplotlib", "scipy", "tf2onnx", "onnx", "kedro_mlflow"}
found = sorted(heavy & {name.partition(".")[0] for name in sys.modules})
assert not found, found
assert "kedro.framework.session" not in sys.modules
assert "lung_tumor.pipelines" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={"LUNG_TUMOR_PROJECT": str(served_project), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr

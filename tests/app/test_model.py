"""Where the served model comes from, and what happens when it is missing or broken."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from kedro.config import MissingConfigException

from app import create_app
from app import model as model_module
from app.model import Champion, Resources, ServedModel
from lung_tumor.configuration import PROJECT
from lung_tumor.datasets.onnx_model import OnnxModelDataset
from lung_tumor.files import write_atomically, write_recorded
from lung_tumor.predictor import Predictor


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
        assert client.get("/readyz").status_code == 200
    assert loads == [1]


def test_the_project_may_be_named_by_the_environment(served_project, monkeypatch):
    monkeypatch.setenv("LUNG_TUMOR_PROJECT", str(served_project))
    assert create_app().test_client().get("/readyz").status_code == 200


def test_a_configuration_environment_may_name_another_model(project, make_model, monkeypatch):
    (project / "conf" / "ward").mkdir()
    (project / "conf" / "ward" / "catalog.yml").write_text(
        "served_model:\n  type: lung_tumor.datasets.onnx_model.OnnxModelDataset\n  filepath: ward.onnx\n"
    )
    (project / "ward.onnx").write_bytes(make_model(version="9.9.9"))
    monkeypatch.setenv("KEDRO_ENV", "ward")
    client = create_app(config={"PROJECT": project}).test_client()
    assert client.get("/readyz").json["model"]["version"] == "9.9.9"


def test_a_project_without_a_local_configuration_is_served(served_project, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "base").symlink_to(served_project / "conf" / "base")
    (tmp_path / "data").symlink_to(served_project / "data")
    assert create_app(config={"PROJECT": tmp_path}).test_client().get("/readyz").status_code == 200


def test_a_folder_without_configuration_stops_the_start_with_the_fix(tmp_path):
    with pytest.raises(MissingConfigException, match="LUNG_TUMOR_PROJECT"):
        create_app(config={"PROJECT": tmp_path})


def test_a_damaged_model_is_503_and_its_path_stays_in_the_log(project, caplog):
    client = create_app(config={"PROJECT": with_model(project, b"no model")}).test_client()
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "cannot be used" in response.get_json(force=True)["detail"]
    assert str(project) not in response.text
    assert str(project) in caplog.text


def test_both_ways_of_asking_a_model_are_warmed_before_it_is_ready(make_model, monkeypatch):
    """One that has never run takes several times as long for its first slice."""
    asked = []
    judge = Predictor.judge

    def watch(self, prepared, crowded=False):
        asked.append(crowded)
        return judge(self, prepared, crowded)

    monkeypatch.setattr(Predictor, "judge", watch)
    create_app(Predictor(make_model(), threads=2))
    assert sorted(asked) == [False, True]


def test_a_model_that_answers_for_other_classes_than_it_names_is_not_served(project, make_model, caplog):
    model = make_model(("adenocarcinoma", "normal"), outputs=3)
    client = create_app(config={"PROJECT": with_model(project, model)}).test_client()
    assert client.get("/readyz").status_code == 503
    assert "shape (1, 2), received (1, 3)" in caplog.text


def test_a_model_that_cannot_tell_suspected_from_clear_is_not_served(project, make_model, caplog):
    model = make_model(operating_point=None)
    client = create_app(config={"PROJECT": with_model(project, model)}).test_client()
    assert client.get("/readyz").status_code == 503
    assert "operating point" in caplog.text


@pytest.mark.parametrize(
    ("precision", "able", "warned"), [("int8", False, True), ("int8", True, False), ("float32", False, False)]
)
def test_an_int8_model_on_a_processor_whose_sums_overflow_is_warned_of(
    project, make_model, bright, monkeypatch, caplog, precision, able, warned
):
    monkeypatch.setattr(model_module, "multiplies_int8", lambda: able)
    project = with_model(project, make_model(precision=precision, warnings=("few groups",)))
    client = create_app(config={"PROJECT": project}).test_client()
    answer = client.post("/api/v1/predictions", data={"file": (io.BytesIO(bright), "slice.png")}).json
    assert ("no VNNI" in caplog.text) is warned
    for model in (client.get("/readyz").json["model"], answer["model"], client.get("/api/v1/model").json):
        assert ["no VNNI" in text for text in model["warnings"]] == ([True, False] if warned else [False])
    page = client.get("/").text
    assert "few groups" in page
    assert ("no VNNI" in page[: page.index("<form")]) is warned


def test_the_digest_of_the_file_is_told_everywhere(project, make_model, bright):
    model = make_model()
    digest = hashlib.sha256(model).hexdigest()
    client = create_app(config={"PROJECT": with_model(project, model)}).test_client()
    assert client.get("/readyz").json["model"]["digest"] == digest
    assert client.get("/api/v1/model").json["digest"] == digest
    answer = client.post("/api/v1/predictions", data={"file": (io.BytesIO(bright), "slice.png")}).json
    assert answer["model"]["digest"] == digest
    assert f'digest="{digest}"' in client.get("/metrics").text


def test_the_model_file_is_read_once(project, make_model, monkeypatch):
    path = with_model(project, make_model()) / "data" / "06_models" / "classifier.onnx"
    reads = []
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: (reads.append(self), original(self, *a, **k))[1])
    assert create_app(config={"PROJECT": project}).test_client().get("/readyz").status_code == 200
    assert reads.count(path) == 1


def test_whoever_asks_a_server_without_a_model_is_told_when_to_come_again(client_without_model, bright):
    answers = [client_without_model.get(path) for path in ("/", "/about", "/readyz", "/api/v1/model")]
    for path in ("/", "/api/v1/predictions"):
        answers.append(client_without_model.post(path, data={"file": (io.BytesIO(bright), "slice.png")}))
    for answer in answers:
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0


class Fails:
    """Raises the first time, and then gives what it was made with."""

    def __init__(self, later: object) -> None:
        self.later = later
        self.calls = 0

    def __call__(self, *_: object, **__: object) -> object:
        self.calls += 1
        if self.calls == 1:
            raise MemoryError
        return self.later


def champion_of(predictor, monkeypatch, load, stamp) -> Champion:
    monkeypatch.setattr("app.model._LOOK_SECONDS", 0.0)
    resources = Resources.of(create_app(predictor).config)
    return Champion(ServedModel(resources, predictor, "old"), load, stamp)


def digest_within(champion: Champion, seconds: float, wanted: str) -> str:
    deadline = time.monotonic() + seconds
    while champion.current().digest != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return champion.current().digest


def test_a_load_that_raises_keeps_no_later_model_out(predictor, monkeypatch, caplog):
    stamps = iter(range(10_000))
    load = Fails(None)
    champion = champion_of(predictor, monkeypatch, load, lambda: next(stamps))
    load.later = replace(champion.current(), digest="new")
    assert digest_within(champion, 10, "new") == "new"
    assert load.calls >= 2
    assert "cannot be loaded" in caplog.text


def test_a_file_that_could_not_be_loaded_is_tried_again_without_having_changed(predictor, monkeypatch):
    monkeypatch.setattr("app.model.RETRY_SECONDS", 0.2)
    load = Fails(None)
    stamps = iter((0,))
    champion = champion_of(predictor, monkeypatch, load, lambda: next(stamps, 1))
    load.later = replace(champion.current(), digest="new")
    assert digest_within(champion, 10, "new") == "new"
    time.sleep(0.3)
    assert champion.current().digest == "new"
    assert load.calls == 2, "what is served is not loaded again"


def test_a_look_or_a_thread_that_fails_keeps_no_later_model_out(predictor, monkeypatch, caplog):
    stamps = iter(range(10_000))
    champion = champion_of(predictor, monkeypatch, lambda: new, lambda: next(stamps))
    new = replace(champion._current, digest="new")
    monkeypatch.setattr(threading.Thread, "start", Fails(None))
    assert champion.current().digest == "old"
    monkeypatch.undo()
    monkeypatch.setattr("app.model._LOOK_SECONDS", 0.0)
    assert digest_within(champion, 10, "new") == "new"
    assert "cannot be looked at" in caplog.text


def test_another_model_than_the_pinned_one_is_not_served(project, make_model, monkeypatch, caplog):
    model = make_model()
    with_model(project, model)
    for pin, status in ((hashlib.sha256(model).hexdigest().upper(), 200), ("0" * 64, 503)):
        monkeypatch.setenv("LUNG_TUMOR_MODEL_SHA256", pin)
        assert create_app(config={"PROJECT": project}).test_client().get("/readyz").status_code == status
    assert "LUNG_TUMOR_MODEL_SHA256" in caplog.text


def replace_model(project: Path, content: bytes) -> None:
    """As the pipeline does."""
    OnnxModelDataset(filepath=str(project / "data" / "06_models" / "classifier.onnx")).save(content)


def test_a_model_that_was_damaged_or_swapped_after_it_was_saved_is_not_served(project, make_model, caplog):
    replace_model(project, make_model(version="1"))
    assert create_app(config={"PROJECT": project}).test_client().get("/readyz").json["model"]["version"] == "1"
    write_atomically(project / "data" / "06_models" / "classifier.onnx", make_model(version="2"))
    response = create_app(config={"PROJECT": project}).test_client().get("/readyz")
    assert response.status_code == 503
    assert str(project) not in response.text
    assert "is not the file that was saved" in caplog.text


def test_a_new_champion_waits_for_its_record_alone(project, make_model, monkeypatch, caplog):
    """Half an hour would pass before the file itself is tried again."""
    monkeypatch.setattr("app.model.RETRY_SECONDS", 1800)
    replace_model(project, make_model(version="1"))
    client = create_app(config={"PROJECT": project}).test_client()
    path, content = project / "data" / "06_models" / "classifier.onnx", make_model(version="2")
    write_atomically(path, content)
    deadline = time.monotonic() + 20
    while "the old model stays" not in caplog.text and time.monotonic() < deadline:
        assert client.get("/readyz").json["model"]["version"] == "1"
        time.sleep(0.05)
    assert "the old model stays" in caplog.text
    write_recorded(path, content)
    assert version_within(client, 20, "2") == "2"


def version_within(client, seconds: float, wanted: str) -> str:
    """The version that is ready, asked for until it is the one wanted."""
    deadline = time.monotonic() + seconds
    while True:
        response = client.get("/readyz")
        found = response.json["model"]["version"] if response.status_code == 200 else ""
        if found == wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_a_new_champion_takes_over_without_a_restart_and_without_a_request_dropped(project, make_model, bright):
    app = create_app(config={"PROJECT": with_model(project, make_model(version="1"))})
    statuses, versions, over = [], [], threading.Event()

    def ask() -> None:
        client = app.test_client()
        while not over.is_set():
            response = client.post("/api/v1/predictions", data={"file": (io.BytesIO(bright), "slice.png")})
            statuses.append(response.status_code)
            versions.append(response.json["model"]["version"])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    replace_model(project, make_model(version="2"))
    found = version_within(app.test_client(), 20, "2")
    time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join()
    assert found == "2"
    assert set(statuses) == {200}
    assert set(versions) == {"1", "2"}


def test_a_new_file_that_cannot_be_used_leaves_the_old_model_in_place(project, make_model, caplog):
    client = create_app(config={"PROJECT": with_model(project, make_model(version="1"))}).test_client()
    replace_model(project, b"no model")
    deadline = time.monotonic() + 20
    while "the old model stays" not in caplog.text and time.monotonic() < deadline:
        assert client.get("/readyz").json["model"]["version"] == "1"
        time.sleep(0.05)
    assert "the old model stays" in caplog.text
    replace_model(project, make_model(version="3"))
    assert version_within(client, 20, "3") == "3"


def test_the_first_model_is_served_as_soon_as_it_is_trained(project, make_model):
    client = create_app(config={"PROJECT": project}).test_client()
    assert client.get("/readyz").status_code == 503
    with_model(project, make_model(version="1"))
    assert version_within(client, 20, "1") == "1"


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
assert "kedro.framework" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={"LUNG_TUMOR_PROJECT": str(served_project), "PATH": "", "PYTHONPATH": str(PROJECT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr

"""Where a run comes from."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
import yaml
from kedro.io import DatasetError

from lung_tumor.datasets import run_facts
from lung_tumor.datasets.run_facts import RunFactsDataset


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_facts, "PROJECT", tmp_path)
    return tmp_path


def git(project: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    done = subprocess.run(["git", "-C", str(project), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_folder_without_git_dvc_and_run_has_no_facts(project: Path) -> None:
    assert RunFactsDataset().load() == {"commit": "", "dvc_lock": "", "mlflow_run": ""}


def test_the_commit_is_named_and_marked_where_files_differ(project: Path) -> None:
    (project / "file").write_text("one")
    git(project, "init", "-q")
    git(project, "add", "file")
    git(project, "commit", "-qm", "one")
    facts = RunFactsDataset().load()
    assert facts["commit"] == git(project, "rev-parse", "HEAD")
    (project / "file").write_text("two")
    assert RunFactsDataset().load()["commit"] == facts["commit"] + "+"


def test_the_lock_is_told_only_where_it_names_the_model_that_lies_there(project: Path) -> None:
    dataset, digest = RunFactsDataset(model="models/a.onnx"), hashlib.md5(b"model").hexdigest()
    (project / "models").mkdir()
    (project / "models/a.onnx").write_bytes(b"model")
    assert dataset.load()["dvc_lock"] == ""
    lock = {"stages": {"serving": {"outs": [{"path": "models/a.onnx", "hash": "md5", "md5": digest}]}, "other": {}}}
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert dataset.load()["dvc_lock"] == digest
    (project / "models/a.onnx").write_bytes(b"a model that DVC did not make")
    assert dataset.load()["dvc_lock"] == ""
    (project / "models/a.onnx").unlink()
    assert dataset.load()["dvc_lock"] == ""


def test_facts_cannot_be_written(project: Path) -> None:
    with pytest.raises(DatasetError, match="read only"):
        RunFactsDataset().save({"commit": "mine"})

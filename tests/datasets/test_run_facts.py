"""Where a run comes from."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
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
    (project / "dvc.lock").write_bytes(b"lock")
    facts = RunFactsDataset().load()
    assert facts["commit"] == git(project, "rev-parse", "HEAD")
    assert facts["dvc_lock"] == hashlib.sha256(b"lock").hexdigest()
    (project / "file").write_text("two")
    assert RunFactsDataset().load()["commit"] == facts["commit"] + "+"


def test_facts_cannot_be_written(project: Path) -> None:
    with pytest.raises(DatasetError, match="read only"):
        RunFactsDataset().save({"commit": "mine"})

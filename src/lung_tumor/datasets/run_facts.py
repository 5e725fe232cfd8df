"""Where a run comes from: what a model card needs so that somebody else can do it again."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from kedro.io import AbstractDataset, DatasetError

from lung_tumor.configuration import PROJECT


class RunFactsDataset(AbstractDataset[dict[str, str], dict[str, str]]):
    """Loads ``commit``, ``dvc_lock`` and ``mlflow_run`` of the present run; each is empty where there is none.

    ``commit`` ends in ``+`` where tracked files differ from it. ``dvc_lock`` is the MD5 under which ``dvc.lock`` names the file
    ``model``, and DVC's cache keeps it; empty unless that is the file at hand.

    Example in YAML::

        run_facts:
          type: lung_tumor.datasets.run_facts.RunFactsDataset
          model: data/06_models/candidate.onnx

    Example in Python::

        >>> sorted(RunFactsDataset().load())
        ['commit', 'dvc_lock', 'mlflow_run']
    """

    def __init__(self, *, model: str = "", metadata: dict[str, Any] | None = None) -> None:
        self._model = model
        self.metadata = metadata

    def load(self) -> dict[str, str]:
        """Ask git, DVC's lock file and MLflow."""
        locked = _locked(PROJECT, self._model)
        return {"commit": _commit(PROJECT), "dvc_lock": locked, "mlflow_run": _mlflow_run()}

    def save(self, data: dict[str, str]) -> None:
        """Refuse: facts are not ours to make."""
        raise DatasetError("run facts are read only")

    def _describe(self) -> dict[str, Any]:
        return {}


def _locked(project: Path, model: str) -> str:
    """What ``dvc.lock`` calls the model, if it is the model that lies there."""
    lock, file = project / "dvc.lock", project / model
    if not model or not lock.is_file() or not file.is_file():
        return ""
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {}).values()
    named = {out["path"]: str(out.get("md5", "")) for stage in stages for out in stage.get("outs", ())}
    found = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    return found if named.get(model) == found else ""


def _commit(project: Path) -> str:
    git = shutil.which("git")
    # A folder of its own, not one somewhere below another repository.
    if git is None or not (project / ".git").exists():
        return ""

    def said(*arguments: str) -> str:
        asked = [git, "-C", str(project), *arguments]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603

    commit = said("rev-parse", "HEAD")
    return commit + ("+" if commit and said("status", "--porcelain", "--untracked-files=no") else "")


def _mlflow_run() -> str:
    import mlflow

    run = mlflow.active_run()
    return run.info.run_id if run else ""

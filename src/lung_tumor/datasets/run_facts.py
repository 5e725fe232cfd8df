"""Where a run comes from: what a model card needs so that somebody else can do it again."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from lung_tumor.configuration import PROJECT


class RunFactsDataset(AbstractDataset[dict[str, str], dict[str, str]]):
    """Loads ``commit``, ``dvc_lock`` and ``mlflow_run`` of the present run; each is empty where there is none.

    ``commit`` ends in ``+`` where tracked files differ from it. ``dvc_lock`` is the SHA-256 of ``dvc.lock``.

    Example in YAML::

        run_facts:
          type: lung_tumor.datasets.run_facts.RunFactsDataset

    Example in Python::

        >>> sorted(RunFactsDataset().load())
        ['commit', 'dvc_lock', 'mlflow_run']
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def load(self) -> dict[str, str]:
        """Ask git, DVC's lock file and MLflow."""
        lock = PROJECT / "dvc.lock"
        digest = hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""
        return {"commit": _commit(PROJECT), "dvc_lock": digest, "mlflow_run": _mlflow_run()}

    def save(self, data: dict[str, str]) -> None:
        """Refuse: facts are not ours to make."""
        raise DatasetError("run facts are read only")

    def _describe(self) -> dict[str, Any]:
        return {}


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

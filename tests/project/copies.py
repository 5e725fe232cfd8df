"""A copy of the project in another folder, small and fast, and `kedro run` in it as a person would call it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

from lung_tumor.settings import PROJECT

NEEDED = (
    "src",
    "conf",
    "pyproject.toml",
    ".telemetry",
    "dvc.yaml",
    ".dvcignore",
    ".dvc/config",
    ".dvc/.gitignore",
    ".gitignore",
)
"""What running takes; neither data, runs nor local configuration of the tree under test."""

TINY = {
    "globals.yml": {"source": "phantom:?slices=24"},
    "parameters.yml": {"data_ingestion": {"preparation": {"size": 64}}, "training": {"head": {"epochs": 3}}},
}
"""`conf/local` of a copy: the real thing on few and small slices."""

NO_NETWORK = '''
"""Refuses every connection that leaves this machine, and writes down that it was asked for."""
import pathlib, socket

_connect, _getaddrinfo = socket.socket.connect, socket.getaddrinfo

def _refuse(host):
    with pathlib.Path(__file__).with_name("asked").open("a") as asked:
        asked.write(f"{host}\\n")
    raise OSError(f"no network in this test: {host}")

def connect(self, address):
    if isinstance(address, tuple) and not str(address[0]).startswith("127."):
        _refuse(address[0])
    return _connect(self, address)

def getaddrinfo(host, *rest, **options):
    if host not in (None, "localhost", "127.0.0.1"):
        _refuse(host)
    return _getaddrinfo(host, *rest, **options)

socket.socket.connect, socket.getaddrinfo = connect, getaddrinfo
'''

BIN = Path(sys.executable).parent


def copy_project(folder: Path, local: dict[str, dict[str, Any]] | None = None, origin: Path = PROJECT) -> Path:
    """Copy the project from ``origin`` into ``folder`` and configure it as ``local`` (:data:`TINY`) says."""
    for name in NEEDED:
        source, target = origin / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "local"))
        elif source.is_file():
            shutil.copyfile(source, target)
    (folder / "data").mkdir()
    (folder / "conf" / "local").mkdir()
    for name, content in (TINY if local is None else local).items():
        (folder / "conf" / "local" / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def environment() -> dict[str, str]:
    """This process's environment, its own tools first, without anything that points a run elsewhere."""
    foreign = ("MLFLOW_", "KEDRO_", "DVC_", "GIT_", "COV_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    quiet = {
        "KEDRO_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_NO_ANALYTICS": "1",
        "COLUMNS": "400",
    }
    return kept | quiet | {"PATH": f"{BIN}{os.pathsep}{kept.get('PATH', '')}", "PYTHONDONTWRITEBYTECODE": "1"}


def call(*command: str, cwd: Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, standard error joined to standard output."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def kedro_run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`kedro run` in ``cwd``; fails with everything that it said."""
    done = call("kedro", "run", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout[-6000:]
    return done


def python(code: str, *, cwd: Path = PROJECT, options: tuple[str, ...] = ()) -> str:
    """Standard output and error of some Python in a fresh process; fails with both."""
    done = call(sys.executable, *options, "-c", textwrap.dedent(code), cwd=cwd)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def written(folder: Path) -> dict[str, Path]:
    """Every visible file that runs left under ``data``, by its path there."""
    data = folder / "data"
    files = (path for path in data.rglob("*") if path.is_file())
    relative = ((path.relative_to(data), path) for path in files)
    return {name.as_posix(): path for name, path in relative if not any(part.startswith(".") for part in name.parts)}

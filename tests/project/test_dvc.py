"""dvc.yaml says of each pipeline what the code says; DVC runs what changed and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.pipeline import Pipeline

from lung_tumor.pipeline_registry import register_pipelines
from lung_tumor.settings import PROJECT
from tests.project.copies import TINY, call, copy_project
from tests.project.imports import closure, file_of, imported

STAGES: dict[str, Any] = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
CATALOG: dict[str, Any] = yaml.safe_load((PROJECT / "conf/base/catalog.yml").read_text(encoding="utf-8"))
PIPELINES = {name: pipeline for name, pipeline in register_pipelines().items() if name != "__default__"}

by_stage = pytest.mark.parametrize("name", PIPELINES)


def path_of(dataset: str) -> str | None:
    """Where a catalog entry lies, None for one that lies nowhere."""
    entry = CATALOG.get(dataset, {})
    inner = entry["dataset"] if isinstance(entry.get("dataset"), dict) else entry
    return next(
        (
            entry_or_inner[key]
            for entry_or_inner in (inner, entry)
            for key in ("filepath", "path")
            if key in entry_or_inner
        ),
        None,
    )


def types_of(dataset: str) -> set[str]:
    """Types of a catalog entry and of the one it wraps."""
    entry = CATALOG.get(dataset, {})
    inner = entry.get("dataset")
    return {entry.get("type", ""), inner["type"] if isinstance(inner, dict) else str(inner or "")}


def modules_of(name: str, pipeline: Pipeline) -> set[str]:
    """Modules of ours behind the nodes and datasets of a pipeline."""
    nodes = {node.func.__module__ for node in pipeline.nodes} | {f"lung_tumor.pipelines.{name}.pipeline"}
    types = {kind for dataset in pipeline.datasets() for kind in types_of(dataset)}
    return closure(nodes | {kind.rpartition(".")[0] for kind in types if kind.startswith("lung_tumor.")})


def written_by(stage: dict[str, Any]) -> set[str]:
    outputs = [*stage.get("outs", ()), *stage.get("metrics", ()), *stage.get("plots", ())]
    return {next(iter(output)) if isinstance(output, dict) else output for output in outputs}


def files_of(datasets: set[str]) -> set[str]:
    """Files that catalog entries are kept in, with the sums that lie beside models."""
    paths = {name: path for name in datasets if (path := path_of(name))}
    models = {path for name, path in paths.items() if any(kind.endswith("OnnxModelDataset") for kind in types_of(name))}
    return {*paths.values(), *(f"{path}.sha256" for path in models)}


def code_in(stage: dict[str, Any]) -> set[str]:
    return {path for path in stage["deps"] if path.startswith("src/")}


def test_imports_are_read_without_those_for_type_checkers() -> None:
    source = """
if TYPE_CHECKING:
    from lung_tumor import phantom
else:
    import os
def f():
    from lung_tumor import imaging
"""
    assert imported(source) == {"lung_tumor.imaging"}
    assert imported("from lung_tumor import __version__, network\nimport lung_tumor.errors") == {
        "lung_tumor",
        "lung_tumor.network",
        "lung_tumor.errors",
    }


def test_every_pipeline_is_a_stage_in_the_order_of_the_registry() -> None:
    assert list(STAGES) == list(PIPELINES)


@by_stage
def test_a_stage_runs_its_own_pipeline(name: str) -> None:
    assert STAGES[name]["cmd"] == f"kedro run --pipeline={name}"


@by_stage
def test_a_stage_names_the_code_that_its_pipeline_uses_and_no_other(name: str) -> None:
    files = {str(file_of(module).relative_to(PROJECT)) for module in modules_of(name, PIPELINES[name])}  # type: ignore[union-attr]
    own = f"src/lung_tumor/pipelines/{name}"
    used = {own if file.startswith(f"{own}/") else file for file in files}
    read = {
        "src/lung_tumor/pages.py": "src/lung_tumor/templates",
        "src/lung_tumor/int8_network.py": "src/lung_tumor/int8_ranges.json",
    }
    used |= {data for code, data in read.items() if code in used}
    named = code_in(STAGES[name])
    assert named == used, f"lacking: {sorted(used - named)}; not used: {sorted(named - used)}"


@by_stage
def test_a_stage_depends_on_what_its_pipeline_reads_and_writes_what_it_writes(name: str) -> None:
    pipeline = PIPELINES[name]
    read = files_of({dataset for dataset in pipeline.inputs() if not dataset.startswith("params:")})
    saved = files_of({dataset for node in pipeline.nodes for dataset in node.outputs})
    # The champion is the file that the run replaces: no stage can depend on its own output.
    assert {path for path in STAGES[name]["deps"] if path.startswith("data/")} == {
        path for path in read - saved if not path.startswith("data/01_raw")
    }
    assert written_by(STAGES[name]) == saved


@by_stage
def test_every_dependency_under_version_control_exists(name: str) -> None:
    assert [
        path for path in STAGES[name]["deps"] if not path.startswith("data/") and not (PROJECT / path).exists()
    ] == []


@by_stage
def test_parameters_are_plain_values_of_the_pipeline_and_no_templates(name: str) -> None:
    tracked: dict[str, list[str]] = {}
    for entry in STAGES[name].get("params", ()):
        tracked |= entry
    for file, keys in tracked.items():
        values = yaml.safe_load((PROJECT / file).read_text(encoding="utf-8"))
        assert set(keys) <= set(values), f"{file} lacks some of {keys}"
        assert "${" not in yaml.safe_dump([values[key] for key in keys]), f"DVC reads {file} without filling in ${{…}}"
    groups = {
        parameter.removeprefix("params:").split(".")[0]
        for parameter in PIPELINES[name].inputs()
        if parameter.startswith("params:")
    }
    assert groups <= {key for keys in tracked.values() for key in keys}


def test_the_ingestion_tracks_everything_that_chooses_its_slices() -> None:
    chosen = yaml.safe_load((PROJECT / "conf/base/globals.yml").read_text(encoding="utf-8"))
    params = next(entry for entry in STAGES["data_ingestion"]["params"] if "conf/base/globals.yml" in entry)
    assert sorted(params["conf/base/globals.yml"]) == sorted(chosen)


def test_dvc_reports_nothing_to_anyone() -> None:
    said = call("dvc", "config", "core.analytics", cwd=PROJECT)
    assert said.stdout.strip() == "false"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with the project in it, small by its base configuration: DVC reads no other."""
    folder = copy_project(tmp_path / "project", local={})
    for file, values in TINY.items():
        for group, options in values.items():
            _shrink(folder, file, group, options)
    (folder / ".gitignore").write_text((PROJECT / ".gitignore").read_text(encoding="utf-8"), encoding="utf-8")
    for command in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "-qm", "all"),
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def _shrink(folder: Path, file: str, group: str, options: Any) -> None:
    name = file if file == "globals.yml" else f"parameters_{group}.yml"
    path = folder / "conf/base" / name
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if isinstance(options, dict):
        for part, changed in options.items():
            values[group][part] |= changed
    else:
        values[group] = options
    path.write_text(yaml.safe_dump(values), encoding="utf-8")


@pytest.mark.slow
def test_repro_runs_everything_once_and_then_only_what_changed(repository: Path) -> None:
    def repro() -> str:
        done = call("dvc", "repro", cwd=repository)
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def ran(said: str) -> list[str]:
        return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]

    assert ran(repro()) == list(STAGES)
    changed = call("git", "status", "--short", cwd=repository).stdout.split()
    assert changed == ["??", "dvc.lock"], "a run must leave nothing behind but the lock"

    again = repro()
    assert ran(again) == []
    assert "up to date" in again

    _shrink(repository, "parameters.yml", "training", {"head": {"epochs": 4}})
    # The search begins with the configuration that training has, so it begins anew too.
    assert ran(repro()) == ["training", "serving", "cross_validation", "evaluation", "tuning"]
    assert list((repository / "data").rglob(".gitignore")) == [], "/data/ is for git to ignore as a whole"

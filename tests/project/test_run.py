"""`kedro run` for real, in a copy of the project: what it leaves, what it tracks, and that it always leaves the same."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from lung_tumor.pipeline_registry import register_pipelines
from lung_tumor.predictor import Predictor
from lung_tumor.settings import PROJECT
from tests.project.copies import NO_NETWORK, TINY, copy_project, environment, kedro_run, python, written
from tests.project.test_dvc import CATALOG, PIPELINES, files_of


def duplicate(folder: Path, target: Path) -> Path:
    """The same project with what it has written, to go on from."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("mlruns", "mlflow.db", "blocked"))
    return target


def results(folder: Path) -> dict[str, Any]:
    """What two runs of the same configuration must agree on."""
    data = folder / "data"
    return {
        "manifest": (data / "02_intermediate/manifest.csv").read_text(encoding="utf-8"),
        "provenance": json.loads((data / "03_primary/provenance.json").read_text(encoding="utf-8")),
        "slices": {path.name: path.read_bytes() for path in (data / "03_primary/slices").iterdir()},
        "metrics": _without_verdict(json.loads((data / "08_reporting/metrics.json").read_text(encoding="utf-8"))),
        "history": json.loads((data / "08_reporting/history.json").read_text(encoding="utf-8")),
        "predictions": pd.read_csv(data / "07_model_output/predictions.csv"),
    }


def _without_verdict(metrics: dict[str, Any]) -> dict[str, Any]:
    """A second run is compared with the model of the first, which was compared with none."""
    return {name: value for name, value in metrics.items() if name != "promotion"}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name in ("manifest", "provenance", "slices"):
        assert one[name] == other[name], name
    pd.testing.assert_frame_equal(one["predictions"], other["predictions"], check_exact=False, rtol=0, atol=1e-6)
    numbers = [dict(_numbers({"metrics": part["metrics"], "history": part["history"]})) for part in (one, other)]
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-6)


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(part, f"{name}/{key}")
    elif isinstance(value, int | float):
        yield name, float(value)


def tracked(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return database.execute(query).fetchall()


# --- One whole run -----------------------------------------------------------------------------------------------------


def test_every_file_of_its_pipelines_is_in_place_and_no_other(finished: Path) -> None:
    left = {f"data/{name}" for name in written(finished)}
    used = register_pipelines()["__default__"].datasets()
    expected = files_of(used & set(CATALOG))
    assert [path for path in expected if not (finished / path).exists()] == []
    assert [name for name in left if not any(name == path or name.startswith(f"{path}/") for path in expected)] == []
    assert [name for name in left if (finished / name).stat().st_size == 0] == []


def test_a_run_asks_nothing_of_the_network(finished: Path) -> None:
    assert not (finished / "blocked/asked").exists(), (finished / "blocked/asked").read_text()


def test_the_refusal_of_the_network_is_real(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        code = """
            import socket
            try:
                socket.create_connection(("example.invalid", 80))
            except OSError as error:
                print(error)
        """
        assert "no network in this test: example.invalid" in python(code, cwd=tmp_path)
    assert (tmp_path / "asked").read_text() == "example.invalid\n"


def test_metrics_are_well_formed_and_say_that_the_slices_are_synthetic(finished: Path) -> None:
    metrics = results(finished)["metrics"]
    assert metrics["synthetic"] is True
    assert metrics["source"].startswith("phantom")
    assert metrics["classes"] == ["adenocarcinoma", "normal"]
    test = metrics["test"]["network"]
    assert (
        metrics["test"]["slices"]
        == np.sum(test["confusion_matrix"])
        == sum(row["slices"] for row in test["per_class"].values())
    )
    assert test["accuracy"] == pytest.approx(np.trace(test["confusion_matrix"]) / metrics["test"]["slices"])
    assert all(0.0 <= test["macro"][name] <= 1.0 for name in ("precision", "recall", "f1"))
    assert "synthetic" in (finished / "data/08_reporting/summary.txt").read_text(encoding="utf-8").lower()
    assert "synthetic" in (finished / "data/08_reporting/report.html").read_text(encoding="utf-8").lower()


def test_the_served_model_answers_as_the_evaluation_did(finished: Path) -> None:
    predictor = Predictor(finished / "data/06_models/classifier.onnx")
    predictions = results(finished)["predictions"]
    slices = finished / "data/03_primary/slices"
    pixels = np.stack([cv2.imread(str(slices / f"{name}.png"), cv2.IMREAD_GRAYSCALE) for name in predictions["pixels"]])
    columns = [f"p_{name}" for name in predictor.metadata.classes]
    np.testing.assert_allclose(predictor.predict(pixels), predictions[columns].to_numpy(), atol=1e-4)
    assert predictor.metadata.synthetic is True


def test_nothing_that_is_handed_on_names_a_folder_of_this_machine(finished: Path) -> None:
    handed_on = [path for name, path in written(finished).items() if not name.startswith("01_raw/")]
    assert [path.name for path in handed_on if str(finished).encode() in path.read_bytes()] == []


def test_no_test_slice_was_trained_on(finished: Path) -> None:
    manifest = pd.read_csv(finished / "data/02_intermediate/manifest.csv")
    for column in ("group", "digest", "pixels"):
        assert manifest.groupby(column)["split"].nunique().max() == 1
    assert set(results(finished)["predictions"]["pixels"]) == set(manifest.loc[manifest["split"] == "test", "pixels"])


def test_mlflow_holds_one_finished_run_tagged_synthetic(finished: Path) -> None:
    assert tracked(finished, "select status from runs") == [("FINISHED",)]
    tags = dict(tracked(finished, "select key, value from tags"))
    assert tags["synthetic"] == "true"
    assert tags["slices_from"].startswith("phantom")


def test_mlflow_holds_every_option_in_a_column_of_its_own(finished: Path) -> None:
    columns = dict(tracked(finished, "select key, value from params"))
    read = register_pipelines()["__default__"].inputs()
    for file in (PROJECT / "conf/base").glob("parameters_*.yml"):
        for group, parts in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            for part, options in parts.items():
                if f"params:{group}.{part}" in read:
                    assert {f"{group}.{part}.{option}" for option in options} <= set(columns)
    assert columns["training.head.epochs"] == "3"
    assert columns["data_ingestion.preparation.size"] == "64"
    assert int(columns["seed"]) == yaml.safe_load((PROJECT / "conf/base/globals.yml").read_text("utf-8"))["seed"]


def test_mlflow_holds_the_history_epoch_by_epoch(finished: Path) -> None:
    history = results(finished)["history"]
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        points = tracked(finished, f"select step, value from metrics where key = 'history.{name}' order by step")
        assert [step for step, _ in points] == [row["epoch"] for row in history]
        assert [value for _, value in points] == pytest.approx([row[name] for row in history])


def test_mlflow_holds_the_figures_of_the_test_split(finished: Path) -> None:
    logged = dict(tracked(finished, "select key, value from metrics where key like 'test%'"))
    assert logged["test.accuracy"] == pytest.approx(results(finished)["metrics"]["test"]["network"]["accuracy"])


def test_mlflow_holds_the_artifacts(finished: Path) -> None:
    (root,) = (finished / "mlruns").glob("*/artifacts")
    kept = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert {
        "data/manifest.csv",
        "model/classifier.keras",
        "model/architecture.txt",
        "training/history.json",
        "evaluation/metrics.json",
        "evaluation/predictions.csv",
        "evaluation/report.html",
        "evaluation/model_card.md",
        "evaluation/promotion.json",
        "figures/evaluation/Confusion matrix.png",
        "figures/evaluation/ROC.png",
        "model/classifier.onnx",
        "figures/history.png",
        "figures/contact_sheets/normal.png",
    } <= kept


def test_a_run_shows_no_warning(finished: Path) -> None:
    said = (finished / "said").read_text(encoding="utf-8")
    assert "Pipeline execution completed successfully" in said
    warnings = re.findall(r"(?:WARNING|ERROR) .*", said)
    # MLflow, on import, advises authors of MLflow models; the Makefile silences it.
    assert [warning for warning in warnings if "mlflow/pyfunc/utils/data_validation" not in warning] == []


def test_evaluation_alone_from_a_folder_below_gives_the_same_figures(finished: Path, tmp_path: Path) -> None:
    folder = duplicate(finished, tmp_path / "copy")
    before = results(folder)
    for name in ("metrics.json", "evaluation/ROC.png", "report.html"):
        (folder / "data/08_reporting" / name).unlink()
    below = folder / "notebooks"
    below.mkdir()
    kedro_run("--pipeline=evaluation", cwd=below)
    assert_same(before, results(folder))
    assert list(below.iterdir()) == [], "a run writes into the project, wherever it is called"
    assert tracked(folder, "select status from runs") == [("FINISHED",)]


# --- Several runs ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_pipeline_runs_alone_on_what_the_one_before_left(finished: Path, tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "alone", origin=finished)
    ways = [name for name in PIPELINES if name != "tuning"]
    for name in ways:
        kedro_run(f"--pipeline={name}", cwd=folder)
    assert_same(results(finished), results(folder))
    assert len(tracked(folder, "select status from runs")) == len(ways)


@pytest.mark.slow
def test_the_project_runs_from_a_folder_elsewhere(finished: Path, tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project", origin=finished)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = f"""
        from pathlib import Path
        from kedro.framework.session import KedroSession
        from kedro.framework.startup import bootstrap_project
        bootstrap_project(Path({str(folder)!r}))
        with KedroSession.create(Path({str(folder)!r})) as session:
            session.run()
    """
    python(code, cwd=elsewhere)
    assert list(elsewhere.iterdir()) == []
    assert_same(results(finished), results(folder))


@pytest.mark.slow
def test_another_seed_draws_and_splits_other_slices(finished: Path, tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project", origin=finished)
    kedro_run("--pipeline=data_ingestion", "--params=seed=7", cwd=folder)
    manifest = (folder / "data/02_intermediate/manifest.csv").read_text(encoding="utf-8")
    assert manifest != results(finished)["manifest"]
    assert "seed 7" in (folder / "data/03_primary/provenance.json").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_folder_with_three_classes_runs_to_its_end(finished: Path, tmp_path: Path) -> None:
    (drawn,) = (finished / "data/01_raw").glob("phantom-*/slices")
    slices = tmp_path / "scans of 2026"
    shutil.copytree(drawn, slices)
    for number, picture in enumerate(sorted((slices / "normal").iterdir())[:8]):
        pixels = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
        # Left under its old label too, it would be a conflict.
        picture.unlink()
        cv2.circle(pixels, (180 + 10 * number, 256), 40, 255, 12)
        (slices / "ring sign").mkdir(exist_ok=True)
        assert cv2.imwrite(str(slices / "ring sign" / f"{number} - Copy (1).png"), pixels)
    folder = copy_project(tmp_path / "project", origin=finished)
    kedro_run("--params", f"source='{slices}'", cwd=folder)
    found = results(folder)
    assert found["metrics"]["classes"] == ["adenocarcinoma", "normal", "ring sign"]
    assert found["metrics"]["synthetic"] is True, "every picture of the phantom says so itself, wherever it is copied"
    assert np.shape(found["metrics"]["test"]["network"]["confusion_matrix"]) == (3, 3)
    assert Predictor(folder / "data/06_models/classifier.onnx").metadata.classes == (
        "adenocarcinoma",
        "normal",
        "ring sign",
    )
    assert str(tmp_path) not in json.dumps(found["metrics"] | found["provenance"])


@pytest.mark.slow
def test_each_run_after_one_that_was_killed_ends_in_the_same_result(tmp_path: Path) -> None:
    """Twenty times, at random moments of the whole run, fine-tuning and views among what is interrupted."""
    local = TINY | {
        "parameters.yml": {
            "data_ingestion": {"preparation": {"size": 64}},
            "model_prep": {"network": {"frozen_blocks": 4}},
            "features": {"augmentation": {"views": 1}},
            "training": {"head": {"epochs": 3}, "fine_tuning": {"epochs": 3}},
        }
    }
    reference = copy_project(tmp_path / "reference", local)
    started = time.monotonic()
    kedro_run(cwd=reference)
    whole = time.monotonic() - started
    expected = results(reference)
    assert {row["phase"] for row in expected["history"]} == {0.0, 1.0}
    folder, moments, killed = copy_project(tmp_path / "project", local), random.Random(20261123), 0
    for _ in range(20):
        run = subprocess.Popen(
            ["kedro", "run"],
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(0.1, 0.8) * whole)
        killed += run.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        kedro_run(cwd=folder)
        assert_same(expected, results(folder))
        with closing(sqlite3.connect(folder / "data/01_raw/features.sqlite")) as store:
            assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not list((folder / "data/01_raw").glob("*.damaged"))
        assert set(written(folder)) == set(written(reference))
        if moments.random() < 0.5:  # what is left lets the next one begin where this ended, or all over again
            for path in folder.glob("data/*"):
                shutil.rmtree(path)
    assert killed >= 18, f"only {killed} of 20 runs were still running when they were to be killed"


@pytest.mark.slow
def test_fine_tuning_that_ctrl_c_stops_goes_on_in_the_next_run(tmp_path: Path) -> None:
    local = TINY | {
        "parameters.yml": {
            "data_ingestion": {"preparation": {"size": 64}},
            "model_prep": {"network": {"frozen_blocks": 4}},
            "training": {"head": {"epochs": 3}, "fine_tuning": {"epochs": 12, "patience": 12}},
        }
    }
    reference = copy_project(tmp_path / "reference", local)
    kedro_run("--pipelines=data_ingestion,model_prep,features,training,serving,evaluation", cwd=reference)
    folder = duplicate(reference, tmp_path / "project")
    for name in ("06_models/training_facts.json", "08_reporting/history.json", "08_reporting/metrics.json"):
        (folder / "data" / name).unlink()
    checkpoint = folder / "data/01_raw/fine_tuning.npz"
    run = subprocess.Popen(
        # What runs in the background of a script, as a build does, has SIGINT ignored, and so would this.
        ["env", "--default-signal=INT", "kedro", "run", "--pipeline=training"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not checkpoint.exists():
        assert run.poll() is None, "the run ended before it was interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) != 0
    assert checkpoint.exists()
    assert not (folder / "data/08_reporting/history.json").exists()
    said = kedro_run("--pipelines=training,serving,evaluation", cwd=folder).stdout
    done, of = map(int, re.findall(r"Fine-tuning:[^|]*\|[^|]*\| (\d+)/(\d+)", said)[0])
    assert 0 < done < of, "the first epochs were not fitted again"
    assert_same(results(reference), results(folder))
    assert not checkpoint.exists()

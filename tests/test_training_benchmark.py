"""The benchmark of training: that it runs, and that its arithmetic is right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lung_tumor.settings import PROJECT


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks import their neighbours, as scripts do."""
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")


def test_operations_of_vgg16_are_those_known_from_the_literature() -> None:
    from training_pass import flops

    # 15.35 billion multiplications and additions in the convolutions at 224 pixels.
    assert flops(224, 5) / 1e9 == pytest.approx(30.69, abs=0.01)
    assert flops(224, 4) / 1e9 == pytest.approx(27.92, abs=0.01)
    # One block by hand: 32 x 32 x 9 x (3 x 64 + 64 x 64) multiplications.
    assert flops(32, 1) == 2 * 32 * 32 * 9 * (3 * 64 + 64 * 64)


def test_epochs_beyond_those_measured_last_as_long_as_their_median() -> None:
    from training_sides import compare

    conventional = {"seconds_at_epoch": [12.0, 22.0], "seconds_an_epoch": 10.0}
    ours = [
        {"epochs": epochs, "cold": {"seconds": 4.0, "test_auc": 0.9}, "warm": {"seconds": 0.5, "test_auc": 0.9}}
        for epochs in (1, 2, 10)
    ]
    rows = compare(conventional, ours)
    assert [row["conventional_s"] for row in rows] == [12.0, 22.0, 102.0]
    assert [row["extrapolated"] for row in rows] == [False, False, True]
    assert (rows[2]["faster_cold"], rows[2]["faster_warm"]) == (25.5, 204.0)


@pytest.mark.slow
def test_the_quick_benchmark_runs_and_writes_its_three_results(tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT / "benchmarks/training.py"), "--quick", "--out", str(tmp_path / "result")]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert (tmp_path / "result.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((tmp_path / "result.json").read_text())
    assert {"data", "training", "frozen_pass", "growth", "start", "targets"} <= result.keys()
    assert [run["augmented"] for run in result["training"]["runs"]] == [False, True]
    for run in result["training"]["runs"]:
        for row in run["ours"]:
            # Warm knows everything; cold computes each slice, and with augmentation each of its views, once.
            assert row["cold"]["computed"] == sum(row["cold"]["slices"])
            assert row["warm"]["computed"] == 0
            assert row["warm"]["test_auc"] == row["cold"]["test_auc"]
    assert str(tmp_path) not in json.dumps(result)
    assert "| " + result["targets"][0]["what"] in (tmp_path / "result.md").read_text()

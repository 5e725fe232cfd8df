"""The benchmark of the app: what it is measured by."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lung_tumor.settings import PROJECT
from tests.support.served_models import brightness_model


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """By its path: its name is also that of the app's package. It imports its neighbours, as scripts do."""
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    spec = importlib.util.spec_from_file_location("benchmark_of_the_app", PROJECT / "benchmarks" / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


OURS = {
    "ready_s": 1.0,
    "bare_median_ms": 50.0,
    "http_median_ms": 60.0,
    "latency_ratio": 1.2,
    "bare_per_second": 20.0,
    "bare_side_by_side_per_second": 25.0,
    "http_16_clients_per_second": 20.0,
    "throughput_share": 1.0,
    "throughput_share_of_side_by_side": 0.8,
    "memory_mb": {"100": 200.0, "5000": 201.0},
}
USUAL = {"ready_s": 4.0, "http_median_ms": 300.0, "http_16_clients_per_second": 3.0, "memory_mb": 900.0}


def test_throughput_is_measured_against_both_ways_of_asking_the_bare_model(benchmark: ModuleType) -> None:
    found = benchmark.rates_of(
        {"bare": [20.0, 21.0, 19.0], "side by side": [25.0, 24.0, 26.0], "http": [20.0, 20.0, 20.0]}
    )
    assert found == {
        "bare_per_second": 20.0,
        "bare_side_by_side_per_second": 25.0,
        "http_16_clients_per_second": 20.0,
        "throughput_share": 1.0,
        "throughput_share_of_side_by_side": 0.8,
    }
    verdict = benchmark.verdict(OURS, USUAL)
    assert verdict["16 clients at least 85 % of bare, one after the other"]
    assert not verdict["16 clients at least 85 % of bare, side by side"]


def test_a_run_beside_other_work_is_marked(benchmark: ModuleType) -> None:
    result = {"date": "2026-11-28", "model": "y", "app": OURS, "conventional": USUAL}
    for load, marked in ((0.5, False), (0.51, True)):
        machine = {"processor": "x", "load_before": load}
        text = benchmark.table({**result, "machine": machine, "targets": {}})
        assert f"load before the run {load}" in text
        assert ("other work" in text) is marked


def test_the_bare_model_runs_one_after_the_other_and_side_by_side(benchmark: ModuleType, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(brightness_model())
    with benchmark.bare(model) as run:
        seconds, taken = run(6)
        assert len(seconds) == 6
        assert sum(seconds) <= taken
        seconds, taken = run(6, side_by_side=True)
        assert len(seconds) == 6
        assert max(seconds) <= taken

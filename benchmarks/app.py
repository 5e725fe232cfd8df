"""The served app against bare ONNX Runtime inference, and against the conventional Flask + TensorFlow way.

* ``bare``: `InferenceSession.run` of the served model on a prepared slice, all outputs, in a process of its own: one run of a
  thread a core after the other, and two runs of one thread side by side, as the app does under load; throughput is set
  against both;
* ``app``: gunicorn as `make serve` runs it; PNG slices of 512 × 512 pixels over HTTP, by 1 and by 16 clients, in turns with
  ``bare``; resident memory of gunicorn and its worker during 5,000 predictions; time from start to ready;
* ``conventional``: Flask behind gunicorn, a Keras VGG16 loaded once, `model.predict` on each request; the same clients.

    python benchmarks/app.py                       # data/06_models/classifier.onnx, or an untrained VGG16 in its place
    python benchmarks/app.py --untrained int8      # such a one in int8
    python benchmarks/app.py --quick               # does it still run? its figures mean nothing
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import app_model
import cv2
import psutil
from machine import describe

from lung_tumor.phantom import PhantomOptions, draw_slice
from lung_tumor.predictor import Predictor

PROJECT = Path(__file__).resolve().parents[1]
CLIENTS = 16
BOUNDARY = "0f8c2f6f7c"
OURS = "app:create_app()"
CONVENTIONAL = "app_conventional:create_app()"

SIDE_BY_SIDE = 2
"""Bare runs at a time: as many as the app's ``RUNS``."""

BUSY = 0.5
"""Load average of the minute before, above which other work shared the processor."""

# Reads a count and how many at a time from each line, answers with the seconds of each run and of all.
BARE = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import onnxruntime as ort

def session(threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])

alone, crowded = session(0), session(1)
size = alone.get_inputs()[0].shape[1]
pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3)).astype(np.float32)

def run(model):
    began = time.perf_counter()
    model.run(None, {"pixels": pixels})
    return time.perf_counter() - began

for line in sys.stdin:
    count, at_once = map(int, line.split())
    began = time.perf_counter()
    if at_once == 1:
        seconds = [run(alone) for _ in range(count)]
    else:
        with ThreadPoolExecutor(at_once) as pool:
            seconds = list(pool.map(run, [crowded] * count))
    print(json.dumps([seconds, time.perf_counter() - began]), flush=True)
"""


@dataclass(frozen=True)
class Server:
    """A running gunicorn."""

    port: int
    process: subprocess.Popen[bytes]
    ready_s: float

    def memory_mb(self) -> float:
        """Resident memory of gunicorn and its worker."""
        parent = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (parent, *parent.children(recursive=True))) / 2**20


@contextmanager
def serving(app: str, environment: dict[str, str], path: str) -> Iterator[Server]:
    """Start gunicorn and wait until ``path`` answers 200."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--config", "app/gunicorn_conf.py", app]
    variables = {**os.environ, **environment, "GUNICORN_BIND": f"127.0.0.1:{port}"}
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=PROJECT, env=variables, stderr=subprocess.DEVNULL)
    try:
        while not _answers(port, path):
            if process.poll() is not None or time.perf_counter() - began > 120:
                raise RuntimeError(f"{app} does not start")
            time.sleep(0.01)
        yield Server(port, process, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def bodies(count: int) -> list[bytes]:
    """Multipart forms, each with one phantom slice as PNG."""
    options = PhantomOptions(slices=count, seed=4711)
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="slice.png"\r\n\r\n'.encode()
    pictures = [cv2.imencode(".png", draw_slice(index, options).pixels)[1].tobytes() for index in range(count)]
    return [head + picture + f"\r\n--{BOUNDARY}--\r\n".encode() for picture in pictures]


def ask(port: int, forms: Sequence[bytes], count: int, first: int = 0) -> list[float]:
    """Seconds of ``count`` predictions over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    seconds = []
    for index in range(count):
        began = time.perf_counter()
        connection.request("POST", "/api/v1/predictions", forms[(first + index) % len(forms)], headers)
        response = connection.getresponse()
        response.read()
        seconds.append(time.perf_counter() - began)
        if response.status != 200:
            raise RuntimeError(f"a prediction was answered with {response.status}")
    connection.close()
    return seconds


def together(port: int, forms: Sequence[bytes], each: int) -> float:
    """Predictions a second of ``CLIENTS`` clients."""
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda client: ask(port, forms, each, client), range(CLIENTS)))
    return CLIENTS * each / (time.perf_counter() - began)


@contextmanager
def bare(model: Path) -> Iterator[Any]:
    """A function that gives the seconds of each of so many bare runs, and of all together."""
    command = [sys.executable, "-c", BARE, str(model)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(count: int, *, side_by_side: bool = False) -> tuple[list[float], float]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{count} {SIDE_BY_SIDE if side_by_side else 1}\n")
        process.stdin.flush()
        seconds, taken = json.loads(process.stdout.readline())
        return seconds, taken

    try:
        yield run
    finally:
        process.terminate()
        process.communicate(timeout=30)


def measure_ours(model: Path, forms: Sequence[bytes], rounds: int, predictions: int) -> dict[str, Any]:
    """The app and the bare model in turns; then its memory."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(PROJECT / "conf/base", Path(folder) / "conf/base")
        target = Path(folder) / "data/06_models/classifier.onnx"
        target.parent.mkdir(parents=True)
        shutil.copy(model, target)
        starts = []
        for _ in range(3):
            with serving(OURS, {"LUNG_TUMOR_PROJECT": folder}, "/readyz") as server:
                starts.append(server.ready_s)
        with serving(OURS, {"LUNG_TUMOR_PROJECT": folder}, "/readyz") as server, bare(target) as run:
            run(10), run(10, side_by_side=True), ask(server.port, forms, 10)
            alone: dict[str, list[float]] = {"bare": [], "http": []}
            rates: dict[str, list[float]] = {"bare": [], "side by side": [], "http": []}
            for _ in range(rounds):
                alone["bare"] += run(20)[0]
                alone["http"] += ask(server.port, forms, 20)
                rates["bare"].append(40 / run(40)[1])
                rates["side by side"].append(40 / run(40, side_by_side=True)[1])
                rates["http"].append(together(server.port, forms, 4))
            memory = _memory(server, forms, predictions, done=10 + rounds * (20 + 4 * CLIENTS))
    bare_ms, http_ms = (1000 * statistics.median(alone[side]) for side in ("bare", "http"))
    return {
        "ready_s": round(statistics.median(starts), 2),
        "bare_median_ms": round(bare_ms, 1),
        "http_median_ms": round(http_ms, 1),
        "latency_ratio": round(http_ms / bare_ms, 3),
        **rates_of(rates),
        "memory_mb": memory,
    }


def rates_of(rates: dict[str, list[float]]) -> dict[str, float]:
    """Medians of predictions a second, and the app's share of both bare ways."""
    bare_rate, beside, http_rate = (statistics.median(rates[side]) for side in ("bare", "side by side", "http"))
    return {
        "bare_per_second": round(bare_rate, 2),
        "bare_side_by_side_per_second": round(beside, 2),
        "http_16_clients_per_second": round(http_rate, 2),
        "throughput_share": round(http_rate / bare_rate, 3),
        "throughput_share_of_side_by_side": round(http_rate / beside, 3),
    }


def _memory(server: Server, forms: Sequence[bytes], predictions: int, done: int) -> dict[str, float]:
    found = {str(done): round(server.memory_mb(), 1)}
    step = max(CLIENTS, predictions // 10 // CLIENTS * CLIENTS)
    while done < predictions:
        together(server.port, forms, step // CLIENTS)
        done += step
        found[str(done)] = round(server.memory_mb(), 1)
    return found


def measure_conventional(forms: Sequence[bytes], rounds: int) -> dict[str, Any]:
    """The usual way, by the same clients."""
    environment = {
        "PYTHONPATH": f"{PROJECT / 'benchmarks'}:{os.environ.get('PYTHONPATH', '')}",
        "GUNICORN_THREADS": "16",
    }
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with serving(CONVENTIONAL, environment, "/healthz") as server:
        ask(server.port, forms, 3)
        alone = ask(server.port, forms, 5 * rounds)
        rate = statistics.median(together(server.port, forms, 2) for _ in range(max(1, rounds // 2)))
        return {
            "ready_s": round(server.ready_s, 2),
            "http_median_ms": round(1000 * statistics.median(alone), 1),
            "http_16_clients_per_second": round(rate, 2),
            "memory_mb": round(server.memory_mb(), 1),
        }


def verdict(ours: dict[str, Any], usual: dict[str, Any]) -> dict[str, bool]:
    """The targets, and whether they were met."""
    memory = list(ours["memory_mb"].values())
    return {
        "one slice at most 1.5 times bare": ours["latency_ratio"] <= 1.5,
        "16 clients at least 85 % of bare, one after the other": ours["throughput_share"] >= 0.85,
        "16 clients at least 85 % of bare, side by side": ours["throughput_share_of_side_by_side"] >= 0.85,
        "ready within 2 s": ours["ready_s"] <= 2.0,
        "at most 350 MB": max(memory) <= 350,
        "memory flat (last half within 5 %)": memory[-1] <= 1.05 * memory[len(memory) // 2],
        "4 times the conventional throughput": ours["http_16_clients_per_second"]
        >= 4 * usual["http_16_clients_per_second"],
        "a quarter of the conventional memory": 4 * memory[-1] <= usual["memory_mb"],
    }


def table(result: dict[str, Any]) -> str:
    """The result to be read."""
    ours, usual = result["app"], result["conventional"]
    memory = ours["memory_mb"]
    predictions = list(memory)[-1]
    rows = [
        (
            "one slice, median",
            f"{ours['bare_median_ms']} ms",
            f"{ours['http_median_ms']} ms",
            f"{usual['http_median_ms']} ms",
        ),
        (
            f"predictions a second, {CLIENTS} clients",
            f"{ours['bare_per_second']} one after the other, {ours['bare_side_by_side_per_second']} side by side",
            f"{ours['http_16_clients_per_second']}",
            f"{usual['http_16_clients_per_second']}",
        ),
        ("start to ready", "–", f"{ours['ready_s']} s", f"{usual['ready_s']} s"),
        (
            f"memory (app: after {predictions} predictions)",
            "–",
            f"{memory[predictions]} MB",
            f"{usual['memory_mb']} MB",
        ),
    ]
    load = result["machine"]["load_before"]
    ran_on = f"{result['machine']['processor']}; model: {result['model']}; load before the run {load}"
    lines = [f"# The app, {result['date']}", "", ran_on, ""]
    if load > BUSY:
        lines += ["**It ran beside other work: read the ratios, and those with care.**", ""]
    lines += ["| | bare ONNX Runtime | app | Flask + TensorFlow |", "| --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", "| target | met |", "| --- | --- |"]
    lines += [f"| {words} | {'yes' if met else 'NO'} |" for words, met in result["targets"].items()]
    return "\n".join(lines) + "\n"


def chosen_model(folder: Path, untrained: str | None) -> tuple[Path, str]:
    """The project's served model, or an untrained one of its architecture."""
    served = PROJECT / "data/06_models/classifier.onnx"
    if untrained is None and served.is_file():
        metadata = Predictor(served).metadata
        if metadata.operating_point is not None and metadata.novelty is not None:
            return served, f"served, {metadata.precision}"
    precision = untrained or "int8"
    return app_model.write(folder / "untrained.onnx", precision), f"untrained VGG16 to block4, {precision}"


def main() -> None:
    """Measure, print and store the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--untrained", choices=("float32", "int8"), help="an untrained model instead of the served one")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--predictions", type=int, default=5000)
    parser.add_argument("--quick", action="store_true", help="two rounds, 200 predictions, nothing stored")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/DATE-app.json")
    arguments = parser.parse_args()
    rounds, predictions = (2, 200) if arguments.quick else (arguments.rounds, arguments.predictions)
    machine = describe()
    forms = bodies(16)
    with tempfile.TemporaryDirectory() as folder:
        model, words = chosen_model(Path(folder), arguments.untrained)
        ours = measure_ours(model, forms, rounds, predictions)
    usual = measure_conventional(forms, rounds)
    result = {
        "date": date.today().isoformat(),
        "machine": machine,
        "model": words,
        "app": ours,
        "conventional": usual,
        "targets": verdict(ours, usual),
    }
    print(table(result))
    if not arguments.quick:
        target = arguments.out or PROJECT / "benchmarks/results" / f"{result['date']}-app.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(result, indent=2) + "\n")
        target.with_suffix(".md").write_text(table(result))


if __name__ == "__main__":
    main()

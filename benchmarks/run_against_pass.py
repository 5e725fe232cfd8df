"""The whole `kedro run` on the default phantom against one bare frozen VGG16 pass over the same prepared slices.

Both are timed in one call, the pass right after the run, in a process of its own; nothing of an earlier run is reused.
Target: the run takes at most 4 times the pass plus 20 s, stays under 3 GB and reaches a test AUC of 0.95.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from machine import processor

PROJECT = Path(__file__).resolve().parents[1]
COPIED = ("conf", "src", "pyproject.toml", ".telemetry")

# The usual way: VGG16 as Keras builds it, float32, batches of 8, nothing else in the process.
BARE_PASS = """
import sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from lung_tumor import network, weights
from lung_tumor.imaging import to_network_input
slices = np.stack([np.asarray(Image.open(path)) for path in sorted(Path(sys.argv[1]).glob("*.png"))])
tensors, _ = weights.resolve(Path(sys.argv[2]))
options = network.NetworkOptions(feature_blocks=(5,))
prefix = network.frozen_prefix(network.load_base(network.build(2, options), tensors))
prefix.predict(to_network_input(slices[:8]), batch_size=8, verbose=0)
started = time.perf_counter()
prefix.predict(to_network_input(slices), batch_size=8, verbose=0)
print(len(slices), time.perf_counter() - started)
"""


def main() -> None:
    """Measure, print and store the result."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_project(Path(folder))
        environment = {"PYTHONPATH": str(copy / "src"), "PATH": "/usr/bin:/bin", "HOME": folder}
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "kedro", "run"], cwd=copy, env=environment, check=True)
        run_s = time.perf_counter() - started
        peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        arguments = [str(copy / "data/03_primary/slices"), str(copy / "data/01_raw/vgg16_imagenet.npz")]
        command = [sys.executable, "-c", BARE_PASS, *arguments]
        answer = subprocess.run(command, cwd=copy, env=environment, check=True, capture_output=True, text=True)
        slices, pass_s = (float(value) for value in answer.stdout.split())
        metrics = json.loads((copy / "data/08_reporting/metrics.json").read_text())
    result = {"date": date.today().isoformat(), "processor": processor(), "slices": int(slices)}
    result |= verdict(run_s, pass_s, peak_gb, metrics)
    target = PROJECT / "benchmarks/results" / f"{result['date']}-run-against-pass.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def copy_project(folder: Path) -> Path:
    """Copy what `kedro run` needs to ``folder/project``, with no data, and return that."""
    copy = folder / "project"
    copy.mkdir()
    for name in COPIED:
        source = PROJECT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    (copy / "data").mkdir()
    return copy


def verdict(run_s: float, pass_s: float, peak_gb: float, metrics: dict[str, Any]) -> dict[str, Any]:
    """What was measured beside what was allowed; ``metrics`` is ``metrics.json`` of the run."""
    reached = metrics["test"]["network"]
    return {
        "run_s": round(run_s, 1),
        "bare_pass_s": round(pass_s, 1),
        "allowed_s": round(4 * pass_s + 20, 1),
        "peak_memory_gb": round(peak_gb, 2),
        "test_roc_auc": round(reached["roc_auc"], 4),
        "test_accuracy": round(reached["accuracy"], 4),
        "met": run_s <= 4 * pass_s + 20 and peak_gb < 3 and reached["roc_auc"] >= 0.95,
    }


if __name__ == "__main__":
    main()

"""What a benchmark ran on."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any


def processor() -> str:
    """Number and name of the processors, such as ``2 x Intel(R) Xeon(R) Processor @ 2.80GHz``."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def peak_memory_mb() -> int:
    """Largest memory of this process so far, mebibytes."""
    # Kibibytes on Linux, bytes on macOS.
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


def gpus() -> list[str]:
    """Names of NVIDIA GPUs, as their driver tells them; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    answer = subprocess.run(
        [program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return answer.stdout.split("\n")[:-1] if answer.returncode == 0 else []


def describe() -> dict[str, Any]:
    """Processor, what it computes in, and the versions of what computes."""
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    flags = set(text.split())
    versions = {"python": platform.python_version()}
    packages = ("numpy", "tensorflow", "tensorflow-cpu", "jax", "torch", "keras", "mnn", "onnxruntime")
    for package in (*packages, "opencv-python-headless", "kedro"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": processor(),
        "usable": usable,
        "gpus": gpus(),
        "computes": [name for name in known if name in flags],
        "versions": versions,
        "load_before": round(os.getloadavg()[0], 2),
    }

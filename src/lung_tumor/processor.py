"""What the processor of this machine computes, as Linux tells it, and how much of it this process may use."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Of x86 (avx512_bf16, amx_bf16) and of ARM (bf16)."""

INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni"})
"""Of x86 (VNNI): products of 8-bit integers are added up in 32 bits. Without them ONNX Runtime adds in 16, which overflow:
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, on U8S8 and saturation."""


def multiplies_bfloat16() -> bool:
    """Whether every processor here has instructions that multiply bfloat16."""
    return reads_bfloat16(_cpuinfo())


def multiplies_int8() -> bool:
    """Whether every processor here multiplies 8-bit integers and adds them up in 32 bits."""
    return reads_int8(_cpuinfo())


def reads_bfloat16(cpuinfo: str) -> bool:
    """Whether Linux's ``/proc/cpuinfo`` names instructions that multiply bfloat16."""
    return _every_processor_has(cpuinfo, BFLOAT16_FLAGS)


def reads_int8(cpuinfo: str) -> bool:
    """Whether Linux's ``/proc/cpuinfo`` names x86 instructions that multiply 8-bit integers into 32 bits."""
    return _every_processor_has(cpuinfo, INT8_FLAGS)


def _cpuinfo() -> str:
    return _CPUINFO.read_text() if _CPUINFO.is_file() else ""


def _every_processor_has(cpuinfo: str, one_of: Set[str]) -> bool:
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    flags = [set(value.split()) for name, _, value in lines if name.strip() in ("flags", "Features")]
    return bool(flags) and all(entry & one_of for entry in flags)


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

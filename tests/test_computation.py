"""Which arithmetic and which engine a machine gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lung_tumor import computation
from lung_tumor.computation import Computation, ComputationOptions, choose, processors, reads_ampere, reads_bfloat16
from lung_tumor.errors import StaleError

X86 = """processor\t: {number}
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu avx512f avx512_vnni{more}
bugs\t\t: spectre_v1
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd{more}\n"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (X86.format(number=0, more=""), False),
        (X86.format(number=0, more=" avx512_bf16"), True),
        (X86.format(number=0, more=" amx_bf16 amx_tile"), True),
        (X86.format(number=0, more=" avx512_bf16") + "\n" + X86.format(number=1, more=""), False),
        (X86.format(number=0, more="") + "model name : avx512_bf16\n", False),
        (X86.format(number=0, more=" avx512_bf16x"), False),
        (ARM.format(more=" bf16 i8mm"), True),
        (ARM.format(more=""), False),
        ("", False),
    ],
)
def test_bfloat16_is_read_from_the_flags_of_every_processor(cpuinfo: str, expected: bool) -> None:
    assert reads_bfloat16(cpuinfo) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9.0\n", True),
        ("8.0\n", True),
        ("7.5\n", False),
        ("9.0\n7.5\n", False),
        ("10.0\n", True),
        ("", False),
        ("N/A", False),
    ],
)
def test_bfloat16_on_a_gpu_begins_with_ampere(text: str, expected: bool) -> None:
    assert reads_ampere(text) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "computation.precision must be one of .* received 'int8'"),
        ({"engine": "torch"}, "computation.engine must be one of .* received 'torch'"),
        ({"engine": "mnn", "precision": "bfloat16"}, "mnn computes in float32 alone, received .*precision=bfloat16"),
        ({"engine": "mnn", "precision": "float16"}, "set the precision to float32 or the engine to keras"),
    ],
)
def test_an_impossible_option_is_named_with_its_value(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ComputationOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_what_is_asked_for_is_what_is_chosen(precision: str) -> None:
    assert choose(ComputationOptions(precision, "keras")) == Computation("keras", precision)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_16_bits_are_computed_by_keras(precision: str) -> None:
    assert choose(ComputationOptions(precision=precision)) == Computation("keras", precision)  # type: ignore[arg-type]


Machine = tuple[bool, bool, bool, bool]
"""Has a GPU, which computes bfloat16; its processor computes bfloat16; MNN is installed."""


@pytest.mark.parametrize(
    ("machine", "precision", "engine", "expected"),
    [
        ((True, True, True, True), "auto", "auto", "keras bfloat16"),
        ((True, False, True, True), "auto", "auto", "keras float16"),
        ((True, True, True, True), "float32", "auto", "keras float32"),
        ((False, False, True, True), "auto", "auto", "keras bfloat16"),
        ((False, False, True, True), "auto", "mnn", "mnn float32"),
        ((False, False, True, True), "float32", "auto", "mnn float32"),
        ((False, False, False, True), "auto", "auto", "mnn float32"),
        ((False, False, False, True), "auto", "keras", "keras float32"),
        ((False, False, False, False), "auto", "auto", "keras float32"),
        ((False, False, False, False), "float32", "auto", "keras float32"),
    ],
)
def test_auto_takes_what_the_machine_does_best(
    machine: Machine, precision: str, engine: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("has_gpu", "gpu_computes_bfloat16", "processor_computes_bfloat16", "has_mnn")
    for name, value in zip(names, machine, strict=True):
        monkeypatch.setattr(computation, name, lambda value=value: value)
    assert str(choose(ComputationOptions(precision, engine))) == expected  # type: ignore[arg-type]


def test_mnn_that_is_asked_for_and_missing_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # None in sys.modules is how Python marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "MNN", None)
    with pytest.raises(ValueError, match="MNN is not installed: `pip install mnn`"):
        choose(ComputationOptions(engine="mnn"))
    assert choose(ComputationOptions(precision="float32")) == Computation("keras", "float32")


def test_this_machine_gets_something_that_runs() -> None:
    chosen = choose(ComputationOptions())
    assert chosen in (
        *(Computation("keras", precision) for precision in ("float32", "bfloat16", "float16")),  # type: ignore[arg-type]
        Computation("mnn", "float32"),
    )
    assert 1 <= processors() <= (os.cpu_count() or 1)


def test_choosing_mnn_loads_no_network_library() -> None:
    pytest.importorskip("_mnncengine")
    code = (
        "import sys; from lung_tumor.computation import *; print(choose(ComputationOptions(engine='mnn')));"
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(computation.__file__).parents[1])}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout == "mnn float32\n[]\n"
    assert answer.stderr == ""


def test_what_another_machine_chose_is_refused_where_it_cannot_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen in (Computation("keras", "float32"), Computation("mnn", "float32")):
        assert computation.require_here(chosen) is chosen
    monkeypatch.setattr(computation, "has_mnn", lambda: False)
    assert computation.require_here(Computation("keras", "bfloat16")) == Computation("keras", "bfloat16")
    with pytest.raises(StaleError, match="run `kedro run --pipeline=features` on this machine"):
        computation.require_here(Computation("mnn", "float32"))

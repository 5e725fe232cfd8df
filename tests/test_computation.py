"""Which arithmetic and which engine a machine gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lung_tumor import computation, processor
from lung_tumor.computation import Computation, ComputationOptions, choose, choose_for_views, reads_ampere
from lung_tumor.errors import StaleError


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
        ({"precision": "int4"}, "computation.precision must be one of .* received 'int4'"),
        ({"engine": "torch"}, "computation.engine must be one of .* received 'torch'"),
        ({"engine": "mnn", "precision": "bfloat16"}, "mnn computes in float32 alone, received .*precision=bfloat16"),
        ({"engine": "mnn", "precision": "float16"}, "set one of them to auto"),
        ({"engine": "onnxruntime", "precision": "float32"}, "onnxruntime computes in int8 alone, received .*=float32"),
        ({"views": "int8"}, "computation.views must be one of .* received 'int8'"),
        ({"engine": "keras", "precision": "int8"}, "computes in float32, bfloat16 and float16 alone, received .*=int8"),
    ],
)
def test_an_impossible_option_is_named_with_its_value(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ComputationOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_what_is_asked_for_is_what_is_chosen(precision: str) -> None:
    assert choose(ComputationOptions(precision, "keras"), int8_ranges=True) == Computation("keras", precision)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_16_bits_are_computed_by_keras(precision: str) -> None:
    assert choose(ComputationOptions(precision=precision), int8_ranges=True) == Computation("keras", precision)  # type: ignore[arg-type]


@pytest.mark.parametrize("available", [True, False])
def test_a_gpu_of_pytorch_is_seen(available: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    torch = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: available))
    monkeypatch.setitem(sys.modules, "torch", torch)  # type: ignore[arg-type]
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert computation.has_gpu() == available


Machine = str
"""What it has: a ``gpu``, which computes ``gpu16`` bfloat16; a processor that computes ``bfloat16`` or ``int8``; a ``backend``
of Keras that uses the former; and ``mnn``."""
NAMES = {
    "gpu": "has_gpu",
    "gpu16": "gpu_computes_bfloat16",
    "backend": "backend_uses_bfloat16",
    "mnn": "has_mnn",
}


@pytest.mark.parametrize(
    ("machine", "precision", "engine", "expected"),
    [
        ("gpu gpu16 bfloat16 int8 mnn", "auto", "auto", "keras bfloat16"),
        ("gpu bfloat16 int8 mnn", "auto", "auto", "keras float16"),
        ("gpu gpu16 bfloat16 int8 mnn", "float32", "auto", "keras float32"),
        ("gpu gpu16 int8", "int8", "auto", "onnxruntime int8"),
        ("gpu gpu16 bfloat16", "bfloat16", "auto", "keras bfloat16"),
        ("bfloat16 backend int8 mnn", "auto", "auto", "keras bfloat16"),
        ("bfloat16 backend int8 mnn", "auto", "keras", "keras bfloat16"),
        ("bfloat16 backend int8 mnn", "bfloat16", "keras", "keras bfloat16"),
        ("bfloat16 backend int8 mnn", "float32", "auto", "mnn float32"),
        ("bfloat16 int8 mnn", "auto", "auto", "mnn float32"),
        ("bfloat16 int8 mnn", "auto", "keras", "keras float32"),
        ("bfloat16 int8 mnn", "bfloat16", "auto", "keras bfloat16"),
        ("bfloat16", "auto", "auto", "keras float32"),
        ("bfloat16 int8 mnn", "auto", "mnn", "mnn float32"),
        ("bfloat16 int8 mnn", "float32", "auto", "mnn float32"),
        ("bfloat16 int8 mnn", "auto", "onnxruntime", "onnxruntime int8"),
        ("int8 mnn", "auto", "auto", "mnn float32"),
        ("int8", "int8", "auto", "onnxruntime int8"),
        ("int8 mnn", "auto", "keras", "keras float32"),
        ("int8", "float32", "auto", "keras float32"),
        ("mnn", "auto", "auto", "mnn float32"),
        ("mnn", "auto", "keras", "keras float32"),
        ("mnn", "bfloat16", "auto", "keras bfloat16"),
        ("", "auto", "auto", "keras float32"),
        ("", "float32", "auto", "keras float32"),
    ],
)
def test_auto_takes_what_the_machine_does_best(
    machine: Machine, precision: str, engine: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(machine, monkeypatch)
    assert str(choose(ComputationOptions(precision, engine), int8_ranges=True)) == expected  # type: ignore[arg-type]


def be(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    has = machine.split()
    for name, function in NAMES.items():
        monkeypatch.setattr(computation, function, lambda name=name: name in has)
    monkeypatch.setattr(processor, "multiplies_int8", lambda: "int8" in has)
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: "bfloat16" in has)


@pytest.mark.parametrize(
    ("machine", "asked", "int8_ranges", "expected"),
    [
        ("int8 mnn", {}, True, "onnxruntime int8"),
        ("bfloat16 backend int8", {}, True, "onnxruntime int8"),
        ("int8 mnn", {}, False, "mnn float32"),
        ("mnn", {}, True, "mnn float32"),
        ("gpu gpu16 int8", {}, True, "keras bfloat16"),
        ("int8 mnn", {"views": "same"}, True, "mnn float32"),
        ("int8 mnn", {"precision": "float32"}, True, "mnn float32"),
        ("int8 mnn", {"engine": "mnn"}, True, "mnn float32"),
        ("int8 mnn", {"precision": "int8"}, True, "onnxruntime int8"),
    ],
)
def test_changed_views_are_computed_in_int8_where_nothing_else_is_asked_for(
    machine: Machine, asked: dict[str, str], int8_ranges: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(machine, monkeypatch)
    options = ComputationOptions(**asked)  # type: ignore[arg-type]
    chosen = choose(options, int8_ranges=True)
    assert str(choose_for_views(options, chosen, int8_ranges=int8_ranges)) == expected


def test_int8_is_for_weights_whose_ranges_are_known_and_processors_that_add_in_32_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    be("int8 mnn", monkeypatch)
    with pytest.raises(ValueError, match="known for the ImageNet weights alone; set it to float32"):
        choose(ComputationOptions(precision="int8"), int8_ranges=False)
    be("mnn", monkeypatch)
    with pytest.raises(ValueError, match="needs a processor with avx512_vnni or avx_vnni; set it to auto"):
        choose(ComputationOptions(engine="onnxruntime"), int8_ranges=True)
    with pytest.raises(StaleError, match=r"a processor with VNNI.*run `kedro run --pipeline=features` on this machine"):
        computation.require_here(Computation("onnxruntime", "int8"))


def test_mnn_that_is_asked_for_and_missing_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # None in sys.modules is how Python marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "MNN", None)
    with pytest.raises(ValueError, match="MNN is not installed: `pip install mnn`"):
        choose(ComputationOptions(engine="mnn"), int8_ranges=True)
    assert choose(ComputationOptions(precision="float32"), int8_ranges=True) == Computation("keras", "float32")


def test_this_machine_gets_something_that_runs() -> None:
    chosen = choose(ComputationOptions(), int8_ranges=True)
    assert chosen in (
        *(Computation("keras", precision) for precision in ("float32", "bfloat16", "float16")),  # type: ignore[arg-type]
        Computation("mnn", "float32"),
    )


def test_choosing_mnn_loads_no_network_library() -> None:
    pytest.importorskip("_mnncengine")
    code = (
        "import sys; from lung_tumor.computation import *; print(choose(ComputationOptions(engine='mnn'), int8_ranges=True));"
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(computation.__file__).parents[1])}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout == "mnn float32\n[]\n"
    assert answer.stderr == ""


def test_what_another_machine_chose_is_refused_where_it_cannot_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    be("int8 mnn", monkeypatch)
    for chosen in (Computation("keras", "float32"), Computation("mnn", "float32"), Computation("onnxruntime", "int8")):
        assert computation.require_here(chosen) is chosen
    monkeypatch.setattr(computation, "has_mnn", lambda: False)
    assert computation.require_here(Computation("keras", "bfloat16")) == Computation("keras", "bfloat16")
    with pytest.raises(StaleError, match="run `kedro run --pipeline=features` on this machine"):
        computation.require_here(Computation("mnn", "float32"))
    with pytest.raises(StaleError, match=r"computed by ncnn, which this version does not use; run `kedro run"):
        computation.require_here(Computation("ncnn", "float32"))  # type: ignore[arg-type]

"""The arithmetic and the engine of the frozen pass: what this machine does best, unless the configuration says otherwise."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import Literal, get_args

from lung_tumor import processor
from lung_tumor.errors import StaleError
from lung_tumor.mnn_network import has_mnn
from lung_tumor.options import require_types
from lung_tumor.wording import listed

Precision = Literal["float32", "bfloat16", "float16", "int8"]
Engine = Literal["keras", "mnn", "onnxruntime"]
Views = Literal["auto", "same"]

_COMPUTES: dict[str, tuple[str, ...]] = {
    "keras": ("float32", "bfloat16", "float16"),
    "mnn": ("float32",),
    "onnxruntime": ("int8",),
}

_AMPERE = (8, 0)
"""NVIDIA compute capability from which bfloat16 is computed and not imitated."""


@dataclass(frozen=True)
class ComputationOptions:
    """``params:features.computation``: how the frozen part of the network is computed.

    Attributes:
        precision: ``auto``, ``float32``, ``bfloat16``, ``float16`` or ``int8``; with all but the first, convolutions
            multiply in so many bits and add up in 32. ``auto`` is bfloat16 on a GPU that computes in it (float16 on one
            that does not) and on a processor that does, if Keras's backend uses that; float32 elsewhere; never int8, which
            needs a processor with VNNI and weights whose ranges are known, and decides otherwise on one slice in a hundred
            (docs/adr/0006).
        engine: ``auto``, ``keras``, ``mnn`` or ``onnxruntime``. On processors MNN computes in float32, ONNX Runtime in int8;
            Keras computes everywhere, in all but int8. ``auto`` takes MNN for float32 on a processor, where it is installed.
        views: what changed views are computed by: ``same`` as the slices themselves, or ``auto``. That is int8 on a processor
            that can, where ``precision`` is ``auto`` too: what int8 changes is a tenth of what the view itself does.
    """

    precision: Precision | Literal["auto"] = "auto"
    engine: Engine | Literal["auto"] = "auto"
    views: Views = "auto"

    def __post_init__(self) -> None:
        require_types(self, "computation")
        choices = {
            "precision": ("auto", *get_args(Precision)),
            "engine": ("auto", *get_args(Engine)),
            "views": get_args(Views),
        }
        for name, kinds in choices.items():
            if getattr(self, name) not in kinds:
                raise ValueError(f"computation.{name} must be one of {kinds}, received {getattr(self, name)!r}")
        if "auto" not in (self.engine, self.precision) and self.precision not in _COMPUTES[self.engine]:
            raise ValueError(
                f"computation.engine={self.engine} computes in {listed(list(_COMPUTES[self.engine]))} alone, received "
                f"computation.precision={self.precision}; set one of them to auto"
            )


@dataclass(frozen=True)
class Computation:
    """What was chosen; ``str`` gives ``mnn float32``."""

    engine: Engine
    precision: Precision

    @property
    def trains_in(self) -> Literal["float32", "bfloat16", "float16"]:
        """What blocks that train compute in: integers have no gradient."""
        return "float32" if self.precision == "int8" else self.precision

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


def choose(options: ComputationOptions, *, int8_ranges: bool) -> Computation:
    """Resolve ``auto`` for this machine; Keras is imported only where it must be asked for a GPU.

    Args:
        options: what is asked for.
        int8_ranges: whether the ranges of the network's activations are known, which int8 needs.

    Raises:
        ValueError: MNN is asked for and not installed, or int8 and the processor or the weights are not made for it.
    """
    if options.engine == "mnn":
        if not has_mnn():
            raise ValueError("computation.engine=mnn, but MNN is not installed: `pip install mnn`, or set it to auto")
        return Computation("mnn", "float32")
    if options.engine == "onnxruntime" or options.precision == "int8":
        return _int8(int8_ranges)
    if options.precision in ("bfloat16", "float16"):
        return Computation("keras", options.precision)
    return _best(options, on_gpu=has_gpu())


def choose_for_views(options: ComputationOptions, chosen: Computation, *, int8_ranges: bool) -> Computation:
    """What changed views are computed by, where the slices themselves are computed by ``chosen``.

    Args:
        options: what is asked for.
        chosen: by :func:`choose`, from the same options.
        int8_ranges: as there.
    """
    free = options.views == "auto" and options.precision == "auto" and options.engine == "auto"
    if free and int8_ranges and processor.multiplies_int8() and not has_gpu():
        return Computation("onnxruntime", "int8")
    return chosen


def require_here(computation: Computation) -> Computation:
    """Pass on what another run chose, if this machine can compute it.

    Raises:
        StaleError: it was chosen where MNN is installed, or for a processor with VNNI, and here is none; or by a version of
            this project that had another engine.
    """
    missing = None
    if computation.engine not in _COMPUTES:
        missing = f"{computation.engine}, which this version does not use"
    if computation.engine == "mnn" and not has_mnn():
        missing = "MNN, which is not installed here"
    if computation.precision == "int8" and not processor.multiplies_int8():
        missing = "a processor with VNNI, which this one lacks"
    if missing:
        raise StaleError(
            f"features.json says that activations are computed by {missing}; "
            "run `kedro run --pipeline=features` on this machine"
        )
    return computation


def _int8(int8_ranges: bool) -> Computation:
    if not int8_ranges:
        raise ValueError(
            "computation.precision=int8 needs the ranges of activations, which are known for the ImageNet weights alone; "
            "set it to float32"
        )
    if not processor.multiplies_int8():
        raise ValueError(
            f"computation.precision=int8 needs a processor with {' or '.join(sorted(processor.INT8_FLAGS))}; set it to auto"
        )
    return Computation("onnxruntime", "int8")


def _best(options: ComputationOptions, *, on_gpu: bool) -> Computation:
    if options.precision == "auto":
        if on_gpu:
            return Computation("keras", "bfloat16" if gpu_computes_bfloat16() else "float16")
        if processor.multiplies_bfloat16() and backend_uses_bfloat16():
            return Computation("keras", "bfloat16")
    faster = options.engine == "auto" and not on_gpu and has_mnn()
    return Computation("mnn" if faster else "keras", "float32")


def has_gpu() -> bool:
    """Whether Keras's backend sees a GPU."""
    import keras

    if keras.backend.backend() == "torch":  # Keras lists no devices of it
        import torch

        return bool(torch.cuda.is_available())
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except (AttributeError, NotImplementedError, RuntimeError):  # the backend has none, or cannot tell
        return False


def gpu_computes_bfloat16() -> bool:
    """Whether every NVIDIA GPU here is of Ampere or later; not known is no, for every GPU computes float16."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    command = [program, "--query-gpu=compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return reads_ampere(answer.stdout)


def reads_ampere(compute_capabilities: str) -> bool:
    """Whether what ``nvidia-smi --query-gpu=compute_cap`` prints, ``8.6`` a line, is 8.0 or more throughout."""
    found = [tuple(map(int, line.split("."))) for line in compute_capabilities.split() if line[0].isdigit()]
    return bool(found) and min(found) >= _AMPERE


def backend_uses_bfloat16() -> bool:
    """Whether Keras's backend uses a processor's bfloat16 instructions: TensorFlow and PyTorch do, JAX does not."""
    import keras

    return keras.backend.backend() in ("tensorflow", "torch")

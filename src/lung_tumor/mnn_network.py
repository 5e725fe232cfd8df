"""The blocks of VGG16 in MNN, an inference engine for processors (Jiang et al., MLSys 2020; https://github.com/alibaba/MNN).

MNN multiplies by Winograd's algorithm (Lavin and Gray, CVPR 2016), which a convolution of 3 by 3 needs less than half as many
multiplications for, and takes ReLU into it. It does so for networks that it reads from a file of its own format alone: a
network built through its Python functions runs 2.7 times slower. So the file is written here, with FlatBuffers, after the
schema in MNN's repository (schema/default/MNN.fbs, CaffeOp.fbs); MNN's converter is not needed.

This module alone imports MNN, which prints to standard output whatever one wishes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

Convolution = Sequence[Floats]
"""Kernel, (3, 3, in, out), and bias, (out,)."""

# Of enum OpType, of union OpParameter, and of enum MNN_DATA_FORMAT.
_INPUT, _CONVOLUTION, _POOLING, _CONVERT = 34, 12, 47, 129
_INPUT_MAIN, _CONVOLUTION_MAIN, _POOL_MAIN, _CONVERT_MAIN = 21, 9, 31, 66
_NCHW, _NHWC, _NC4HW4 = 0, 1, 2
_FLOAT = 1


def has_mnn() -> bool:
    """Whether MNN can be imported."""
    try:
        with silence():
            import MNN  # noqa: F401
    except ImportError:
        return False
    return True


def version() -> str:
    """Version of MNN."""
    with silence():
        import MNN
    return str(MNN.version())


def load(
    blocks: Sequence[Sequence[Convolution]], wanted: Sequence[int], size: int, batch: int, threads: int
) -> Callable[[Floats], dict[int, Floats]]:
    """Make a network of blocks, each its convolutions with ReLU and then the maximum of 2 by 2.

    Args:
        blocks: their convolutions in order.
        wanted: blocks, counted from 1, whose outputs are wanted.
        size: side of the input.
        batch: slices that it takes at once.
        threads: how many it computes with.

    Returns:
        From mean-centred pixels, (batch, 3, size, size) float32, to the activations of the wanted blocks, each
        (batch, height, width, channels) float32.
    """
    names = [_output(block) for block in wanted]
    with silence(), tempfile.TemporaryDirectory() as folder:
        import MNN

        path = Path(folder) / "blocks.mnn"
        path.write_bytes(_to_bytes(blocks, wanted, size, batch))
        # "high" is float32; "normal" may be 16 bits on processors that have them.
        runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": threads},))
        module = MNN.nn.load_module_from_file(str(path), ["pixels"], names, runtime_manager=runtime)

    def run(pixels: Floats) -> dict[int, Floats]:
        given = MNN.expr.const(np.ascontiguousarray(pixels), list(pixels.shape), MNN.expr.NCHW)
        # Copied: MNN takes its memory back.
        return {block: np.array(found.read()) for block, found in zip(wanted, module.forward([given]), strict=True)}

    return run


def _output(block: int) -> str:
    return f"block{block}"


def _to_bytes(blocks: Sequence[Sequence[Convolution]], wanted: Sequence[int], size: int, batch: int) -> bytes:
    """The network in MNN's format: pixels → channels in packs of four → convolutions and poolings → channels last."""
    file = _File()
    tensor = file.add("pixels", [], _INPUT, _INPUT_MAIN, file.input([batch, 3, size, size]))
    tensor = file.add("packed", [tensor], _CONVERT, _CONVERT_MAIN, file.convert(_NCHW, _NC4HW4))
    for block, convolutions in enumerate(blocks, start=1):
        for number, (kernel, bias) in enumerate(convolutions, start=1):
            name = f"block{block}_conv{number}"
            tensor = file.add(name, [tensor], _CONVOLUTION, _CONVOLUTION_MAIN, file.convolution(kernel, bias))
        tensor = file.add(f"block{block}_pool", [tensor], _POOLING, _POOL_MAIN, file.pool())
        if block in wanted:
            file.add(_output(block), [tensor], _CONVERT, _CONVERT_MAIN, file.convert(_NC4HW4, _NHWC))
    return file.finish([_output(block) for block in wanted])


class _File:
    """One MNN file in the making. A field is given by its position in its table of the schema."""

    def __init__(self) -> None:
        import flatbuffers

        self._builder = flatbuffers.Builder(1 << 20)
        self._operations: list[int] = []
        self._tensors: list[str] = []

    def add(self, name: str, inputs: list[int], kind: int, main_kind: int, main: int) -> int:
        """Add an operation with one output; gives the number of its tensor."""
        self._tensors.append(name)
        number = len(self._tensors) - 1
        references = {0: self._integers(inputs), 2: main, 3: self._text(name), 4: self._integers([number])}
        operation = self._table(7, references, bytes_={1: main_kind, 6: _NHWC}, integers={5: kind})
        self._operations.append(operation)
        return number

    def input(self, shape: list[int]) -> int:
        return self._table(3, {0: self._integers(shape)}, integers={1: _FLOAT}, bytes_={2: _NCHW})

    def convert(self, source: int, target: int) -> int:
        return self._table(2, bytes_={0: source, 1: target})

    def convolution(self, kernel: Floats, bias: Floats) -> int:
        height, width, channels, filters = kernel.shape
        sides = {2: width, 3: height, 4: 1, 5: 1, 6: 1, 7: 1, 9: 1, 10: filters, 11: channels}
        padding = self._integers([height // 2, width // 2] * 2)
        common = self._table(17, {14: padding}, integers={0: width // 2, 1: height // 2, **sides}, bytes_={12: True})
        weights = self._floats(kernel.transpose(3, 2, 0, 1))
        return self._table(6, {0: common, 1: weights, 2: self._floats(bias)})

    def pool(self) -> int:
        integers = {3: 2, 4: 2, 5: 2, 6: 2, 9: _FLOAT}  # kernel and stride
        return self._table(13, integers=integers, bytes_={7: 0, 8: 0, 10: False})  # the maximum, rounded down

    def finish(self, outputs: list[str]) -> bytes:
        names, tensors = (self._texts(texts) for texts in (outputs, self._tensors))
        operations = self._references(self._operations)
        net = self._table(12, {3: operations, 4: names, 7: tensors}, integers={8: len(self._tensors)})
        self._builder.Finish(net)
        return bytes(self._builder.Output())

    def _table(
        self,
        fields: int,
        references: Mapping[int, int] | None = None,
        *,
        integers: Mapping[int, int] | None = None,
        bytes_: Mapping[int, int] | None = None,
    ) -> int:
        self._builder.StartObject(fields)
        # No value passes for the default: what is written is what is read.
        for field, reference in (references or {}).items():
            self._builder.PrependUOffsetTRelativeSlot(field, reference, 0)
        for field, value in (integers or {}).items():
            self._builder.PrependInt32Slot(field, value, None)
        for field, value in (bytes_ or {}).items():
            self._builder.PrependInt8Slot(field, value, None)
        return int(self._builder.EndObject())

    def _text(self, text: str) -> int:
        return int(self._builder.CreateString(text))

    def _texts(self, texts: list[str]) -> int:
        return self._references([self._text(text) for text in texts])

    def _integers(self, values: list[int]) -> int:
        return int(self._builder.CreateNumpyVector(np.asarray(values, dtype="<i4")))

    def _floats(self, values: npt.NDArray[Any]) -> int:
        return int(self._builder.CreateNumpyVector(np.ascontiguousarray(values, dtype="<f4").ravel()))

    def _references(self, references: list[int]) -> int:
        self._builder.StartVector(4, len(references), 4)
        for reference in reversed(references):
            self._builder.PrependUOffsetTRelative(reference)
        return int(self._builder.EndVector())


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Send to nowhere what a library written in C prints, while it is imported or set up."""
    library = ctypes.CDLL(None)
    library.fflush(None)
    kept = [os.dup(number) for number in (1, 2)]
    with Path(os.devnull).open("w") as nowhere:
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
        try:
            yield
        finally:
            library.fflush(None)
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)

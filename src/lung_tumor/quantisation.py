"""The served network in 8-bit integers, and whether it may be served so.

Static quantisation after Jacob et al. (CVPR 2018): the ranges of activations are measured on training slices, weights have a
scale for each filter. Only convolutions and what stands between them are quantised; head, evidence and distance stay float32,
and so does the first convolution, which costs little and passes its error on to all others.

Before, the channels of each activation are made more alike (:mod:`lung_tumor.equalisation`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from lung_tumor.equalisation import channel_factors
from lung_tumor.imaging import Pixels, to_network_input
from lung_tumor.onnx_graph import value
from lung_tumor.onnx_metadata import read_metadata, with_metadata
from lung_tumor.predictor import open_session
from lung_tumor.roc import macro_area

AGREEMENT = 0.99
"""Smallest share of validation slices on which int8 must name the class that float32 names."""

CHANGE = 0.05
"""Largest 99th percentile of the change of a probability."""

AUC_LOSS = 0.005
"""Largest fall of the area under the ROC curve."""

_QUANTISED = ("Conv", "Relu", "MaxPool")


@dataclass(frozen=True)
class PrecisionFacts:
    """How int8 compares with float32 on validation slices.

    Attributes:
        precision: ``int8`` or ``float32``, which is to be served.
        reason: why, in a sentence.
        agreement: share of slices of which both name the same class.
        change: 99th percentile of the largest change of a probability of a slice.
        auc_loss: by how much the area under the ROC curve falls, negative where it rises; of more than two classes the
            mean over classes, each against the others. None where a class is missing.
        slices: number of slices compared.
    """

    precision: str
    reason: str
    agreement: float
    change: float
    auc_loss: float | None
    slices: int


def quantise(draft: bytes, slices: Iterable[Pixels]) -> bytes:
    """The draft in int8, static, a scale for each filter, written as QuantizeLinear and DequantizeLinear pairs.

    Args:
        draft: from :func:`lung_tumor.export.draft`.
        slices: prepared training slices, each (size, size) uint8, from which the ranges of activations are taken.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    pictures = list(slices)
    model = _equalised(onnx.load_from_string(draft), pictures)
    metadata = read_metadata(model)
    first, *_ = (node.name for node in model.graph.node if node.op_type == "Conv")
    nodes = [node.name for node in _base(model) if node.name not in (first, first.removesuffix("/linear"))]
    # Shapes and constants are as its preprocessing would leave them; without this mark it warns.
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            _reader(pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=nodes,
        )
        made = onnx.load(path)
    return with_metadata(made, replace(metadata, precision="int8"))


def _base(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Operations of the blocks."""
    return [node for node in model.graph.node if node.op_type in _QUANTISED and node.name.startswith("block")]


def _equalised(model: onnx.ModelProto, slices: Sequence[Pixels]) -> onnx.ModelProto:
    """The same function in float32, its channels' ranges more alike.

    What head, evidence or novelty read keeps its scale.
    """
    base = _base(model)
    names = {node.name for node in base}
    read = {name for node in model.graph.node if node.name not in names for name in node.input}
    convolutions = [node.name.removesuffix("/linear") for node in base if node.op_type == "Conv"]
    largest = _largest(model, convolutions, slices)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    arrays = {
        name: onnx.numpy_helper.to_array(constants[name]).copy()
        for convolution in convolutions
        for name in (f"{convolution}/kernel", f"{convolution}/bias")
    }
    for before, after in pairwise(convolutions):
        if {before, f"{before.split('_')[0]}_pool"} & read and before[:6] != after[:6]:
            continue
        reach = np.abs(arrays[f"{after}/kernel"]).max(axis=(0, 2, 3))
        factors = channel_factors(largest[before], reach)
        arrays[f"{before}/kernel"] /= factors[:, np.newaxis, np.newaxis, np.newaxis]
        arrays[f"{before}/bias"] /= factors
        arrays[f"{after}/kernel"] *= factors[:, np.newaxis, np.newaxis]
    for name, values in arrays.items():
        constants[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    return model


def _largest(
    model: onnx.ModelProto, convolutions: Sequence[str], slices: Sequence[Pixels]
) -> dict[str, npt.NDArray[np.float32]]:
    """Largest value of each channel of each convolution, after its ReLU, over all slices."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    for name in convolutions:
        node = onnx.helper.make_node("ReduceMax", [name], [f"{name}/largest"], axes=[0, 2, 3], keepdims=0)
        probe.graph.node.append(node)
        probe.graph.output.append(value(f"{name}/largest", ["channels"]))
    session = open_session(probe.SerializeToString())
    outputs = [f"{name}/largest" for name in convolutions]
    found = [session.run(outputs, {"pixels": to_network_input(picture[np.newaxis])}) for picture in slices]
    return {name: np.max(column, axis=0) for name, column in zip(convolutions, zip(*found, strict=True), strict=True)}


def _reader(slices: Iterable[Pixels]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._slices = iter(slices)

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            picture = next(self._slices, None)
            return None if picture is None else {"pixels": to_network_input(picture[np.newaxis])}

    return Reader()


def compare_precisions(
    float32: npt.NDArray[np.floating[Any]], int8: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int64]
) -> PrecisionFacts:
    """Whether int8 is as good as float32: all of :data:`AGREEMENT`, :data:`CHANGE` and :data:`AUC_LOSS` must hold.

    Args:
        float32: (n, classes), probabilities of validation slices.
        int8: the same slices'.
        labels: (n,) index of each one's class.
    """
    agreement = float((float32.argmax(axis=1) == int8.argmax(axis=1)).mean())
    change = float(np.percentile(np.abs(float32 - int8).max(axis=1), 99))
    before, after = macro_area(labels, float32), macro_area(labels, int8)
    loss = None if before is None or after is None else before - after
    faults = []
    if not agreement >= AGREEMENT:
        faults.append(f"it names the same class on {agreement:.1%} of them, {AGREEMENT:.0%} are asked for")
    if not change <= CHANGE:
        faults.append(f"99 % of its probabilities lie within {change:.3f}, {CHANGE:g} is allowed")
    if loss is None:
        faults.append("the area under the ROC curve is undefined, for a class is missing among them")
    elif not loss <= AUC_LOSS:
        faults.append(f"the area under the ROC curve falls by {loss:.4f}, {AUC_LOSS:g} is allowed")
    slices, precision = len(labels), "float32" if faults else "int8"
    if faults or loss is None:  # undefined, which is a fault: said for mypy
        reason = f"int8 is not as good on {slices} validation slices: {'; '.join(faults)}"
    else:
        reason = (
            f"int8 is as good on {slices} validation slices: it names the same class on {agreement:.1%} of them, 99 % of "
            f"its probabilities lie within {change:.3f}, and the area under the ROC curve {_changed(loss)}"
        )
    return PrecisionFacts(precision, reason, agreement, change, loss, slices)


def _changed(loss: float) -> str:
    return f"rises by {-loss:.4f}" if loss < 0 else f"falls by {loss:.4f}"

"""The blocks of VGG16 in OpenVINO, an inference engine for processors (https://docs.openvino.ai), in bfloat16.

Convolutions multiply in bfloat16 and add up in float32; what a block gives are the 8 significant bits of bfloat16. OpenVINO
reads the graph from memory and is ready in a fraction of the time in which Keras traces one. This module alone imports it,
without its companion that reports to Intel, at import, that it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from lung_tumor.blocks_graph import Blocks, Compute, Floats, in_float32, output_of


def has_openvino() -> bool:
    """Whether OpenVINO can be imported."""
    try:
        _openvino()
    except ImportError:
        return False
    return True


def version() -> str:
    """Version of OpenVINO, without its build."""
    return str(_openvino().__version__).partition("-")[0]


def _openvino() -> Any:
    # None is how Python marks a module that cannot be imported; OpenVINO then goes without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def load(blocks: Blocks, wanted: Sequence[int], size: int, batch: int, threads: int) -> Compute:
    """Make a network of blocks.

    Args:
        blocks: their convolutions in order.
        wanted: blocks, counted from 1, whose outputs are wanted.
        size: side of the input.
        batch: slices that it takes at once.
        threads: how many it computes with.
    """
    core = _openvino().Core()
    graph = core.read_model(in_float32(blocks, wanted))
    graph.reshape([batch, 3, size, size])
    settings = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    names = [output_of(block) for block in wanted]

    def run(pixels: Floats) -> dict[int, Floats]:
        found = request.infer([pixels])
        # Copied: the request takes its memory back.
        return {block: np.array(found[name].transpose(0, 2, 3, 1)) for block, name in zip(wanted, names, strict=True)}

    return run

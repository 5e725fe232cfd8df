"""Measures the ranges of VGG16's activations over slices of the phantom and writes them where int8 takes them from.

To be run when weights or preparation change: ``python benchmarks/int8_ranges.py``. Whatever was computed in int8 before is
then computed anew, for the ranges are part of what activations are known by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm
from training_data import weights

SLICES, SEED = 64, 7
DIGITS = 4
"""Significant digits that are kept."""


def main() -> None:
    """Measure and write."""
    from lung_tumor import int8_network
    from lung_tumor.frozen_pass import digests_up_to_each_block
    from lung_tumor.network import BLOCKS
    from lung_tumor.processor import processors

    tensors = weights()
    blocks = [
        [
            [tensors[f"block{block}_conv{number}/{kind}"] for kind in ("kernel", "bias")]
            for number in range(1, convolutions + 1)
        ]
        for block, (convolutions, _) in enumerate(BLOCKS, start=1)
    ]
    found = int8_network.measure(blocks, _batches(), processors())
    largest = {name: [float(f"{value:.{DIGITS}g}") for value in values] for name, values in found.items()}
    digests = digests_up_to_each_block(blocks)[1:]
    int8_network.RANGES.write_text(json.dumps({"weights": digests, "largest": largest}, separators=(",", ":")) + "\n")
    print(f"{len(largest)} convolutions, {SLICES} slices: {int8_network.RANGES.name}")


def _batches() -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
    """Mean-centred pixels of prepared slices, one slice a batch, (1, 3, size, size) float32."""
    from lung_tumor.frozen_pass import mean_centred
    from lung_tumor.imaging import PreparationOptions, prepare
    from lung_tumor.phantom import PhantomOptions, draw_slice

    options = PhantomOptions(slices=SLICES, seed=SEED)
    for index in tqdm(range(SLICES), desc="Ranges of activations", unit="slice"):
        yield mean_centred(prepare(draw_slice(index, options).pixels, PreparationOptions())[np.newaxis])


if __name__ == "__main__":
    main()

"""Pooled VGG16 features of whole pictures: another way to see which of them might be copies.

An insurance more than a gain. Of 170 distorted copies of real slices, sought among 249, the signature's own descriptions
(:func:`lung_tumor.duplicates.describe`) bring 166 among the nearest five; these features bring 129 to 149, whatever
the block (3, 4, 5), the pooling (average, generalised mean, maximum) and the side (64, 112 pixels), and of the four missed
they bring three at most. A small input and an early block cost least, so they are the default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from lung_tumor import network
from lung_tumor.computation import ComputationOptions, choose
from lung_tumor.duplicates import View
from lung_tumor.frozen_pass import frozen_pass
from lung_tumor.imaging import Pixels, PreparationOptions, prepare
from lung_tumor.network import Cut, NetworkOptions
from lung_tumor.options import require_types
from lung_tumor.weights import Tensors


@dataclass(frozen=True)
class EmbeddingOptions:
    """``params:data_ingestion.embedding``.

    Attributes:
        size: side of the square that the network sees, pixels, in [32, 512]; the cost grows with its square.
        block: block of VGG16 whose last activation is averaged over all positions, 1 to 5.
    """

    size: int = 64
    block: int = 3

    def __post_init__(self) -> None:
        require_types(self, "embedding")
        if not 32 <= self.size <= 512:
            raise ValueError(f"embedding.size must lie in [32, 512], received {self.size}")
        if not 1 <= self.block <= len(network.BLOCKS):
            raise ValueError(f"embedding.block must lie in [1, {len(network.BLOCKS)}], received {self.block}")


def embed(pictures: Sequence[Callable[[], Pixels]], tensors: Tensors, options: EmbeddingOptions) -> View:
    """Describe pictures, as they are and mirrored, for :func:`lung_tumor.duplicates.find_duplicates`.

    Args:
        pictures: a call opens one, (height, width) uint8 at its full size; each is opened once, a batch at a time.
        tensors: ImageNet weights, see :mod:`lung_tumor.weights`.
        options: see :class:`EmbeddingOptions`.

    Returns:
        Two (n, d) float32 arrays, of the pictures and of their mirror images; d is 64, 128, 256, 512 or 512 by the block.
    """
    width = network.BLOCKS[options.block - 1][1]
    if not pictures:
        return np.zeros((0, width), np.float32), np.zeros((0, width), np.float32)
    model = network.load_base(network.build(2, NetworkOptions(feature_blocks=(options.block,)), options.size), tensors)
    # Float32 on every machine: which pictures are proposed as copies must not depend on the processor.
    computation = choose(ComputationOptions(precision="float32"), int8_ranges=False)
    describe = frozen_pass(model, [Cut(options.block, "average")], computation)
    parts = []
    with tqdm(total=len(pictures), desc="VGG16 features of pictures", unit="slice") as bar:
        for start in range(0, len(pictures), describe.batch // 2):
            some = pictures[start : start + describe.batch // 2]
            parts += describe(np.stack([view for picture in some for view in _both_ways(picture(), options)]))
            bar.update(len(some))
    features = np.concatenate(parts)
    return features[0::2], features[1::2]


def _both_ways(picture: Pixels, options: EmbeddingOptions) -> tuple[Pixels, Pixels]:
    # Stretched and padded to a square, but not cropped to the body: a copy's own crop must not decide what is cut further.
    preparation = PreparationOptions(
        size=options.size, suppress_strokes=False, crop_to_body=False, denoise="none", normalise="percentile"
    )
    prepared = prepare(picture, preparation)
    return prepared, prepared[:, ::-1]

"""Novelty by NumPy, step by step as :mod:`lung_tumor.novelty` writes it down: what the served graph must give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lung_tumor.novelty import Floats, Novelty, Pixels, band_weights, cut_off, unit


def describe(blocks: Sequence[Floats], bands: int) -> Floats:
    """Features, (n, d), of activations, one array a block, (n, height, width, channels)."""
    parts = []
    for block in blocks:
        averages = np.einsum("bh,nhc->nbc", band_weights(block.shape[1], bands), block.mean(axis=2))
        parts.append(unit(averages.reshape(len(block), -1)))
    return np.asarray(np.concatenate(parts, axis=1) / np.sqrt(len(blocks)), dtype=np.float32)


def distances(features: Floats, references: Floats, neighbours: int) -> Floats:
    """Cosine distance, (n,), to the so-many-th nearest reference."""
    return np.asarray(1.0 - np.sort(features @ references.T, axis=1)[:, -neighbours], dtype=np.float32)


def judge(fitted: Novelty, features: Floats, slices: Pixels | None = None) -> Floats:
    """The distance, (n,), 1 farther where the slice is more like training slices upside down, and where too much is cut off."""
    found = distances(features, fitted.references, fitted.rule.neighbours) + (features @ fitted.upright < 0.0)
    return found if slices is None else found + (cut_off(slices) > np.float32(fitted.rule.most_cut_off))

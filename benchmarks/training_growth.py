"""Time, memory and store for so many slices of the phantom."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from training_data import SEED, phantom_path, read, weights

if TYPE_CHECKING:
    from lung_tumor.frozen_pass import FrozenPass
    from lung_tumor.imaging import Pixels


EVERY = 40
"""Slices after which the bare network runs once, so that what else the machine does weighs on both alike."""


class Beside:
    """Opens slices, and in between times the network alone on one batch of its own, without store or files.

    Attributes:
        seconds: that the network took for ``slices`` slices.
    """

    def __init__(self, paths: Sequence[Path], engine: FrozenPass) -> None:
        self._paths = paths
        self._engine = engine
        self._batch = np.stack([read(path) for path in (list(paths) * engine.batch)[: engine.batch]])
        self.seconds, self.slices = 0.0, 0
        engine(self._batch)

    def open(self, index: int) -> Pixels:
        """One slice, (size, size) uint8."""
        if index % EVERY == 0:
            started = time.perf_counter()
            self._engine(self._batch)
            self.seconds += time.perf_counter() - started
            self.slices += len(self._batch)
        return read(self._paths[index])


def grow(slices: str, count: int, size: int, store: str, precision: Any) -> dict[str, Any]:
    """Send ``count`` drawn slices through the frozen pass and an empty store, and fit ten epochs of the head on them."""
    from lung_tumor import fitting, network
    from lung_tumor.computation import ComputationOptions, choose
    from lung_tumor.feature_store import FeatureStore
    from lung_tumor.features import Remembered
    from lung_tumor.frozen_pass import frozen_pass
    from lung_tumor.head_learner import HeadLearner

    paths = [phantom_path(Path(slices), index) for index in range(count)]
    labels = np.array([path.stem.endswith("normal") for path in paths], np.int64)
    model = network.load_base(network.build(2, network.NetworkOptions(), size, SEED), weights())
    computation = choose(ComputationOptions(precision=precision), int8_ranges=True)
    engine = frozen_pass(model, network.cuts(model), computation)
    beside = Beside(paths, engine)
    remembered = Remembered(
        [partial(beside.open, index) for index in range(count)], engine, FeatureStore(Path(store), 2**32)
    )
    started = time.perf_counter()
    remembered.compute(f"{count} slices")
    passed = time.perf_counter()
    pass_s, bare_ms = passed - started - beside.seconds, 1000 * beside.seconds / beside.slices
    values = remembered.read(range(count))
    cut = round(0.85 * count)
    training = fitting.LabelledActivations([part[:cut] for part in values], labels[:cut])
    validation = fitting.LabelledActivations([part[cut:] for part in values], labels[cut:])
    network.set_standardisation(model, training.values)
    learner = HeadLearner.from_keras(model, SEED)
    asked = fitting.FittingOptions(epochs=10, patience=10)
    fitting.fit(learner, training, validation, asked, seed=SEED, title="Head")
    ended = time.perf_counter()
    kept = sum(path.stat().st_size for path in Path(store).parent.glob(f"{Path(store).name}*"))
    return {
        "slices": count,
        "computation": str(computation),
        "pass_s": round(pass_s, 2),
        "head_s": round(ended - passed, 3),
        "ms_a_slice": round(1000 * pass_s / count, 2),
        "bare_ms_a_slice": round(bare_ms, 2),
        "times_bare": round(1000 * pass_s / count / bare_ms, 3),
        "store_mb": round(kept / 2**20, 2),
    }

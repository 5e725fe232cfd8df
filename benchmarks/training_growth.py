"""Time, memory and store for so many slices of the phantom."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from training_data import SEED, phantom_path, read, weights


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
    remembered = Remembered([partial(read, path) for path in paths], engine, FeatureStore(Path(store), 2**32))
    started = time.perf_counter()
    remembered.compute(f"{count} slices")
    passed = time.perf_counter()
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
        "pass_s": round(passed - started, 2),
        "head_s": round(ended - passed, 3),
        "ms_a_slice": round(1000 * (passed - started) / count, 2),
        "store_mb": round(kept / 2**20, 2),
    }

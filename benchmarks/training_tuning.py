"""The search for a configuration, as `kedro run --pipeline=tuning` makes it by default, over remembered activations."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from training_data import SEED, classes_of, fold_of, labelled, read, weights
from training_sides import OUR_RATE, import_engines


def searched(folder: str, size: int, store: str, precision: Any, trials: int) -> dict[str, Any]:
    """Seconds of so many trials of the head on training and validation pictures, and of the pass before them.

    The pass computes what any trial may read, of three blocks, averages and maxima. Kedro and MLflow are not in it.
    """
    import keras  # noqa: F401 - imports are not timed

    from lung_tumor import network
    from lung_tumor.cohort import Cohort
    from lung_tumor.computation import ComputationOptions, choose
    from lung_tumor.feature_store import FeatureStore
    from lung_tumor.features import Remembered
    from lung_tumor.fitting import FittingOptions
    from lung_tumor.frozen_pass import frozen_pass
    from lung_tumor.network import NetworkOptions
    from lung_tumor.tuning import search
    from lung_tumor.tuning_evaluation import evaluator, searched_cuts, sets_aside_in_search
    from lung_tumor.tuning_memory import Configuration
    from lung_tumor.tuning_options import TuningOptions

    import_engines()
    root, options = Path(folder) / "pictures", TuningOptions(trials=trials)
    parts = [labelled(root / split) for split in ("training", "validation")]
    paths, labels = [path for found, _ in parts for path in found], np.concatenate([found for _, found in parts])
    started = time.perf_counter()
    present = NetworkOptions()
    cuts = searched_cuts(options, present)
    wide = NetworkOptions(feature_blocks=tuple({cut.block for cut in cuts}))
    model = network.load_base(network.build(len(classes_of(root)), wide, size, SEED), weights())
    engine = frozen_pass(model, cuts, choose(ComputationOptions(precision=precision), int8_ranges=True))
    remembered = Remembered([partial(read, path) for path in paths], engine, FeatureStore(Path(store), 2**32))
    computed = remembered.compute("Frozen pass")
    passed = time.perf_counter()
    every = np.arange(len(paths))
    dealt = np.array([fold_of(path) for path in paths])
    groups = [str(number) for number in every]
    cohort = Cohort(remembered, every, np.zeros(len(paths), np.intp), labels, groups, dealt).in_memory()
    head = FittingOptions(learning_rate=OUR_RATE, patience=None)
    aside = sets_aside_in_search(options, present, head)
    evaluate = evaluator(cohort, len(classes_of(root)), head, _no_fine_tuning, SEED, stopping=aside)
    found = search(evaluate, Configuration(present, OUR_RATE, 0), options, SEED)
    ended = time.perf_counter()
    return {
        "pictures": len(paths),
        "computed": computed,
        "trials": len(found.trials),
        "pass_s": round(passed - started, 2),
        "search_s": round(ended - passed, 2),
    }


def _no_fine_tuning(_: Any) -> Any:
    raise ValueError("by default no trial trains blocks")

"""How well both sides tell the classes apart after as many epochs, by several seeds: on the test split, and on grouped folds.

A test split with a handful of pictures of one class orders a few dozen pairs: one seed of it says little. The frozen part
gives the same numbers in every epoch, so what the conventional recipe trains is its head alone, here on remembered features.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
from training_data import SEED, classes_of, fold_of, labelled, read, weights
from training_sides import BATCH, OUR_RATE, RATE

SEEDS = 5

Values = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Fit = Callable[[Values, Labels, Values, int], Values]
"""Features and classes to learn from, features to judge, a seed; gives probabilities."""


def quality(folder: str, size: int, store: str, epochs: int, precision: Any) -> dict[str, Any]:
    """Macro AUC of both heads over the seeds: pooled over the manifest's grouped folds, and on the test split."""
    from lung_tumor import network
    from lung_tumor.computation import ComputationOptions, choose
    from lung_tumor.feature_store import FeatureStore
    from lung_tumor.features import Remembered
    from lung_tumor.frozen_pass import frozen_pass

    root = Path(folder) / "pictures"
    parts = {split: labelled(root / split) for split in ("training", "validation", "test")}
    paths = [path for found, _ in parts.values() for path in found]
    labels = np.concatenate([found for _, found in parts.values()])
    split = np.repeat(list(parts), [len(found) for found, _ in parts.values()])
    classes = len(classes_of(root))
    both = network.load_base(
        network.build(classes, network.NetworkOptions(feature_blocks=(4, 5)), size, SEED), weights()
    )
    four, five = network.cuts(both)

    def activations(cut: network.Cut, computation: ComputationOptions) -> Values:
        engine = frozen_pass(both, [cut], choose(computation, int8_ranges=True))
        remembered = Remembered([partial(read, path) for path in paths], engine, FeatureStore(Path(store), 2**32))
        remembered.compute("Frozen pass")
        return remembered.read(range(len(paths)))[0]

    # Each side learns from what it would compute itself: the conventional recipe has float32 alone.
    ours, theirs = (
        activations(four, ComputationOptions(precision=precision)),
        activations(five, ComputationOptions(precision="float32")),
    )
    sides = {
        "conventional": (theirs, partial(_conventional_head, classes=classes, epochs=epochs)),
        "ours": (ours, partial(_our_head, classes=classes, epochs=epochs)),
    }
    folds = np.array([fold_of(path) for path in paths])
    found: dict[str, Any] = {"epochs": epochs, "pictures": len(paths), "test_classes": _counts(labels[split == "test"])}
    for name, (values, fit) in sides.items():
        found[name] = {
            "test": _summary([_test(values, labels, split, fit, SEED + seed) for seed in range(SEEDS)]),
            "folds": _summary([_pooled(values, labels, folds, fit, SEED + seed) for seed in range(SEEDS)]),
        }
    return found


def _test(values: Values, labels: Labels, split: Any, fit: Fit, seed: int) -> float | None:
    from lung_tumor.roc import macro_area

    seen, judged = split == "training", split == "test"
    return macro_area(labels[judged], fit(values[seen], labels[seen], values[judged], seed))


def _pooled(values: Values, labels: Labels, folds: Labels, fit: Fit, seed: int) -> float | None:
    from lung_tumor.roc import macro_area

    scores: dict[int, Any] = {}
    for fold in np.unique(folds):
        seen, judged = folds != fold, np.flatnonzero(folds == fold)
        scores |= zip(judged.tolist(), fit(values[seen], labels[seen], values[judged], seed), strict=True)
    return macro_area(labels, np.array([scores[index] for index in range(len(labels))]))


def _our_head(values: Values, labels: Labels, judged: Values, seed: int, *, classes: int, epochs: int) -> Values:
    from lung_tumor import network
    from lung_tumor.fitting import FittingOptions, LabelledActivations, fit
    from lung_tumor.head_learner import HeadLearner

    learner = HeadLearner(network.moments([values]), classes, network.NetworkOptions(), seed)
    asked = FittingOptions(epochs=epochs, batch_size=BATCH, learning_rate=OUR_RATE, patience=None)
    seen = LabelledActivations([values], labels)
    fit(learner, seen, seen, asked, seed=seed, title=None)
    return learner.predict([judged])


def _conventional_head(
    values: Values, labels: Labels, judged: Values, seed: int, *, classes: int, epochs: int
) -> Values:
    """What :func:`training_sides.conventional` puts on the pooled last block, fitted as there."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((values.shape[1],))
    outputs = layers.Dense(classes, activation="softmax")(layers.Dropout(0.2)(inputs))
    head = keras.Model(inputs, outputs)
    head.compile(keras.optimizers.Adam(RATE), loss="sparse_categorical_crossentropy")
    head.fit(values, labels, batch_size=BATCH, epochs=epochs, verbose=0)
    found: Values = head.predict(judged, verbose=0)
    return found


def _summary(areas: list[float | None]) -> dict[str, Any]:
    if None in areas:
        return {"mean": None, "least": None, "most": None}
    known = [area for area in areas if area is not None]
    return {"mean": round(fmean(known), 4), "least": round(min(known), 4), "most": round(max(known), 4)}


def _counts(labels: Labels) -> list[int]:
    return np.bincount(labels).tolist()

"""Both sides of the comparison: from prepared slice files to a fitted network, timed in process, imports excluded."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import peak_memory_mb
from training_data import SEED, classes_of, fold_of, labelled, read, weights

BATCH = 16
"""Slices a step, on both sides."""
RATE = 0.001
"""Learning rate of Adam in the conventional recipe: Keras's default."""
OUR_RATE = 0.003
"""Of ours: that of conf/base/parameters_training.yml."""


def conventional(folder: str, files: str, size: int, augmented: bool, epochs: int) -> dict[str, Any]:
    """Transfer learning as Keras documents it: a frozen base inside ``model.fit``.

    After https://keras.io/guides/transfer_learning and the docstrings of ``image_dataset_from_directory`` and
    ``vgg16.preprocess_input``. Weights are found and checked as ours are.
    """
    import keras
    from keras import layers
    from tqdm.keras import TqdmCallback

    import lung_tumor.datasets.imagenet_weights  # noqa: F401 - an import, and so not timed

    root = Path(folder) / files
    classes = classes_of(root)
    keras.utils.set_random_seed(SEED)
    clock = _Clock()
    training, validation = (
        keras.utils.image_dataset_from_directory(
            root / split, class_names=classes, batch_size=BATCH, image_size=(size, size), seed=SEED, verbose=False
        )
        .cache()
        .prefetch(-1)  # tf.data.AUTOTUNE
        for split in ("training", "validation")
    )
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(size, size, 3))
    for name, values in _by_layer(weights()).items():
        base.get_layer(name).set_weights(values)
    base.trainable = False
    inputs = keras.Input((size, size, 3))
    changed = _augmentation()(inputs) if augmented else inputs
    features = base(keras.applications.vgg16.preprocess_input(changed), training=False)
    features = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, layers.Dense(len(classes), activation="softmax")(features))
    model.compile(keras.optimizers.Adam(RATE), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    bar = TqdmCallback(epochs=epochs, verbose=0, desc="Conventional recipe")
    ends = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: clock.stop())
    model.fit(training, validation_data=validation, epochs=epochs, verbose=0, callbacks=[ends, bar])
    given = [len(labelled(root / split)[0]) for split in ("training", "validation")]
    # Of the first epoch's end, the time before it is spent on building, loading and tracing too.
    later = np.diff(clock.ends).tolist()
    return {
        "epochs": epochs,
        "seconds_at_epoch": [round(end, 2) for end in clock.ends],
        "seconds_an_epoch": round(median(later) if later else clock.ends[0], 2),
        "slices": given,
        "slices_per_s": round(sum(given) / (median(later) if later else clock.ends[0]), 2),
        "peak_memory_mb": peak_memory_mb(),
        "test_auc": _test_auc(model, folder),
    }


def _augmentation() -> Any:
    """Layers that change as much as our views do by default."""
    import keras
    from keras import layers

    from lung_tumor.augmentation import AugmentationOptions

    options = AugmentationOptions()
    fill = {"fill_mode": "constant", "fill_value": 0.0}
    return keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(options.rotation_degrees / 360.0, **fill),
            layers.RandomZoom(options.zoom, **fill),
            layers.RandomTranslation(options.shift, options.shift, **fill),
            layers.RandomContrast(options.contrast, value_range=(0.0, 255.0)),
            layers.RandomBrightness(options.brightness, value_range=(0.0, 255.0)),
            # This layer takes greys from 0 to 1 alone.
            layers.Rescaling(1.0 / 255.0),
            layers.GaussianNoise(options.noise / 255.0),
            layers.Rescaling(255.0),
        ],
        name="augmentation",
    )


def ours(folder: str, files: str, size: int, views: int, epochs: int, store: str, precision: Any) -> dict[str, Any]:
    """Frozen pass through the store, then the head: what training does by default, for so many epochs.

    With views, an epoch goes over every slice and all its views; validation is never changed.
    """
    import keras  # noqa: F401 - imports are not timed

    import lung_tumor.datasets.imagenet_weights  # noqa: F401
    from lung_tumor import augmentation, fitting, network
    from lung_tumor.computation import ComputationOptions, choose, choose_for_views
    from lung_tumor.feature_store import FeatureStore
    from lung_tumor.features import Remembered
    from lung_tumor.frozen_pass import frozen_pass
    from lung_tumor.head_learner import HeadLearner

    import_engines()
    root, options = Path(folder) / files, augmentation.AugmentationOptions(views=views)
    clock = _Clock()
    (seen, labels), (unseen, known) = labelled(root / "training"), labelled(root / "validation")
    tensors = weights()
    clock.stop()
    model = network.load_base(network.build(len(classes_of(root)), network.NetworkOptions(), size, SEED), tensors)
    asked = ComputationOptions(precision=precision)
    computation = choose(asked, int8_ranges=True)
    of_views = choose_for_views(asked, computation, int8_ranges=True)
    own, changed = (frozen_pass(model, network.cuts(model), one) for one in (computation, of_views))
    clock.stop()
    passes = [own] * len(seen) + [changed] * (len(seen) * views) + [own] * len(unseen)
    slices = [partial(_view, path, number, options) for number in range(views + 1) for path in seen]
    slices += [partial(read, path) for path in unseen]
    remembered = Remembered(slices, passes, FeatureStore(Path(store), 2**32))
    computed = remembered.compute("Frozen pass")
    clock.stop()
    last = len(seen) * (views + 1)
    values = remembered.read(range(len(slices)))
    training = fitting.LabelledActivations([part[:last] for part in values], np.tile(labels, views + 1))
    validation = fitting.LabelledActivations([part[last:] for part in values], known)
    network.set_standardisation(model, training.values)
    learner = HeadLearner.from_keras(model, SEED)
    # Neither side stops early, and both keep the last epoch.
    fit = fitting.FittingOptions(epochs=epochs, batch_size=BATCH, learning_rate=OUR_RATE, patience=None)
    fitting.fit(learner, training, validation, fit, seed=SEED, title="Head")
    learner.to_keras(model)
    clock.stop()
    steps = dict(zip(("weights", "network", "pass", "head"), np.diff([0.0, *clock.ends]).tolist(), strict=True))
    kept = sum(path.stat().st_size for path in Path(store).parent.glob(f"{Path(store).name}*"))
    return {
        "computation": str(computation),
        "views_computation": str(of_views) if views else None,
        "epochs": epochs,
        "seconds": round(clock.ends[-1], 3),
        "steps": {name: round(seconds, 3) for name, seconds in steps.items()},
        "slices": [last, len(unseen)],
        "computed": computed,
        "slices_per_s": round(computed / steps["pass"], 2) if computed else None,
        "store_mb": round(kept / 2**20, 2),
        "peak_memory_mb": peak_memory_mb(),
        "test_auc": _test_auc(model, folder),
    }


def folds(folder: str, size: int, store: str, precision: Any) -> dict[str, Any]:
    """Time of cross-validation of the head over one file of each picture, on the manifest's grouped folds."""
    import keras  # noqa: F401 - imports are not timed

    import lung_tumor.datasets.imagenet_weights  # noqa: F401
    from lung_tumor import network
    from lung_tumor.cohort import Cohort
    from lung_tumor.computation import ComputationOptions, choose
    from lung_tumor.cross_validation import cross_validate, out_of_fold
    from lung_tumor.feature_store import FeatureStore
    from lung_tumor.features import Remembered
    from lung_tumor.fitting import FittingOptions
    from lung_tumor.frozen_pass import frozen_pass

    import_engines()
    root = Path(folder) / "pictures"
    parts = [labelled(root / split) for split in ("training", "validation", "test")]
    paths, labels = [path for found, _ in parts for path in found], np.concatenate([found for _, found in parts])
    clock = _Clock()
    model = network.build(len(classes_of(root)), network.NetworkOptions(), size, SEED)
    computation = choose(ComputationOptions(precision=precision), int8_ranges=True)
    engine = frozen_pass(network.load_base(model, weights()), network.cuts(model), computation)
    remembered = Remembered([partial(read, path) for path in paths], engine, FeatureStore(Path(store), 2**32))
    computed = remembered.compute("Frozen pass")
    every = np.arange(len(paths))
    dealt = np.array([fold_of(path) for path in paths])
    groups = [str(number) for number in every]
    cohort = Cohort(remembered, every, np.zeros(len(paths), np.intp), labels, groups, dealt)
    asked = FittingOptions(learning_rate=OUR_RATE, patience=None)
    out_of_fold(list(cross_validate(model, cohort, asked, asked, SEED)), len(paths))
    clock.stop()
    return {"seconds": round(clock.ends[-1], 2), "pictures": len(paths), "computed": computed}


def compare(conventional_run: dict[str, Any], our_runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each number of epochs: seconds of both sides and how many times faster ours is.

    Beyond what was measured, conventional epochs are taken to last as long as the median of those that were.
    """
    ends, rows = conventional_run["seconds_at_epoch"], []
    for run in our_runs:
        epochs, cold, warm = run["epochs"], run["cold"], run["warm"]
        measured = epochs <= len(ends)
        beyond = ends[-1] + (epochs - len(ends)) * conventional_run["seconds_an_epoch"]
        seconds = ends[epochs - 1] if measured else beyond
        rows.append(
            {
                "epochs": epochs,
                "conventional_s": round(seconds, 2),
                "extrapolated": not measured,
                "cold_s": cold["seconds"],
                "warm_s": warm["seconds"],
                "faster_cold": round(seconds / cold["seconds"], 1),
                "faster_warm": round(seconds / warm["seconds"], 1),
                "test_auc": cold["test_auc"],
            }
        )
    return rows


def import_engines() -> None:
    """Import what a frozen pass may compute with: imports are not timed on either side."""
    import onnxruntime  # noqa: F401

    from lung_tumor.mnn_network import has_mnn

    has_mnn()


class _Clock:
    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.ends: list[float] = []

    def stop(self) -> None:
        """Note the seconds since the start."""
        self.ends.append(time.perf_counter() - self._started)


def _view(path: Path, number: int, options: Any) -> Any:
    from lung_tumor.augmentation import view

    return view(read(path), number, options, SEED)


def _by_layer(tensors: Any) -> dict[str, list[Any]]:
    names = [name.removesuffix("/kernel") for name in tensors if name.endswith("/kernel")]
    return {name: [tensors[f"{name}/kernel"], tensors[f"{name}/bias"]] for name in names}


def _test_auc(model: Any, folder: str) -> float | None:
    """Macro AUC of a whole network, in float32, on the pictures of the test split; not timed."""
    from lung_tumor.features import run_in_batches
    from lung_tumor.roc import macro_area

    paths, labels = labelled(Path(folder) / "pictures/test")
    (probabilities,) = run_in_batches(model, (read(path) for path in paths), len(paths), "Test pictures")
    found = macro_area(labels, probabilities)
    return None if found is None else round(found, 4)

"""Drafts of small networks, and served models made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lung_tumor import export, network
from lung_tumor.classifier import Classifier
from lung_tumor.computation import Computation
from lung_tumor.export import ServedParts
from lung_tumor.frozen_pass import frozen_pass
from lung_tumor.network import NetworkOptions
from lung_tumor.novelty import Novelty, NoveltyOptions, NoveltyRule
from lung_tumor.operating_point import OperatingPoint
from tests.support.classifiers import pixels, small_classifier

if TYPE_CHECKING:
    import keras

POINT = OperatingPoint("b", 0.4, 0.3, 0.5, 0.95, 0.96, 0.8, 9)
RULE = NoveltyRule(threshold=0.2, neighbours=2, acceptance=0.97, references=12, blocks=(1, 2), bands=2)
OPTIONS = NoveltyOptions(blocks=(1, 2), bands=2)


def standardised(options: NetworkOptions, classes: tuple[str, ...] = ("a", "b")) -> Classifier:
    """Untrained, but with moments that an exporter could lose, and probabilities that differ from slice to slice."""
    return _with_moments(small_classifier(classes, options), 20)


def alike_everywhere(options: NetworkOptions, classes: tuple[str, ...] = ("a", "b")) -> Classifier:
    """The same with kernels drawn by NumPy: each backend of Keras draws others, and what chance gives differs with them."""
    made = small_classifier(classes, options)
    _draw_kernels(made.model)
    return _with_moments(made, 200)


def _with_moments(made: Classifier, slices: int) -> Classifier:
    run = frozen_pass(made.model, network.feature_cuts(made.model), Computation(engine="keras", precision="float32"))
    network.set_standardisation(made.model, run(pixels(slices, seed=8)))
    return made


def _draw_kernels(model: keras.Model) -> None:
    """Glorot's uniform kernels."""
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if layer.weights and layer.name != "standardise":
            kernel, bias = layer.get_weights()
            reach = np.sqrt(6.0 / (np.prod(kernel.shape[:-2]) * sum(kernel.shape[-2:])))
            layer.set_weights([rng.uniform(-reach, reach, kernel.shape), bias])


def parts(content: bytes, **changed: Any) -> ServedParts:
    """Parts for a draft, from twelve random slices."""
    drafted = export.run(content, pixels(12, seed=4), threads=1)
    given = {
        "temperature": 2.0,
        "operating_point": POINT,
        "novelty": Novelty(drafted.features, drafted.features[0], RULE),
        "typical": drafted.evidence.mean(axis=0),
        "precision_reason": "made up",
    }
    return ServedParts(**{**given, **changed})


def served(classifier: Classifier, **changed: Any) -> bytes:
    """A whole served model of a classifier that reads block 2 at least."""
    content = export.draft(classifier, OPTIONS, {}, pixels(2))
    return export.finish(content, parts(content, **changed))

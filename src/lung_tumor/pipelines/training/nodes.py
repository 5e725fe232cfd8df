"""Adapters between the catalog and the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from lung_tumor import export, figures, training
from lung_tumor.classifier import Classifier
from lung_tumor.consistency import require_same_origin, training_digest
from lung_tumor.feature_store import FeatureStore
from lung_tumor.fitting import FittingOptions, LabelledActivations
from lung_tumor.manifest import TRAINING, VALIDATION, accepted
from lung_tumor.metrics import class_indices
from lung_tumor.prepared import Partitions, read_slices

Features = dict[str, npt.NDArray[Any]]

EXPORT_CHECKS = 16
"""Validation slices on which the exported model must agree with the original."""


def extract_features(
    slices: Partitions,
    manifest: pd.DataFrame,
    classifier: Classifier,
    provenance: dict[str, Any],
    store: FeatureStore,
) -> Features:
    """Activations of the frozen part for every training and validation picture, with the pixel digests they belong to."""
    require_same_origin(classifier.metadata, provenance)
    rows = accepted(manifest, TRAINING, VALIDATION)
    values = training.frozen_activations(classifier, read_slices(slices, rows), len(rows), store)
    return {"pixels": rows["pixels"].to_numpy(dtype=str), **{f"activation{i}": part for i, part in enumerate(values)}}


def train_classifier(
    classifier: Classifier,
    features: Features,
    manifest: pd.DataFrame,
    provenance: dict[str, Any],
    options: FittingOptions,
    seed: int,
) -> tuple[Classifier, list[dict[str, float]]]:
    """Fit the trainable part; every picture counts once."""
    seen, unseen = (_labelled(features, accepted(manifest, split), classifier) for split in (TRAINING, VALIDATION))
    history = training.train(classifier, seen, unseen, options, seed)
    trained = training.with_training_facts(
        classifier, len(accepted(manifest, TRAINING)), training_digest(manifest), provenance["warnings"]
    )
    return trained, history


def export_classifier(classifier: Classifier, slices: Partitions, manifest: pd.DataFrame) -> bytes:
    """Export to ONNX, checked on validation slices."""
    rows = accepted(manifest, VALIDATION).head(EXPORT_CHECKS)
    return export.to_onnx(classifier, np.stack(list(read_slices(slices, rows))))


def draw_history(history: list[dict[str, float]], provenance: dict[str, Any]) -> Figure:
    """Loss and accuracy over the epochs."""
    return figures.history(history, synthetic=provenance["synthetic"], caution=provenance["few_groups"])


def _labelled(features: Features, rows: pd.DataFrame, classifier: Classifier) -> LabelledActivations:
    position = {digest: index for index, digest in enumerate(features["pixels"])}
    chosen = np.array([position[digest] for digest in rows["pixels"]])
    values = [features[name][chosen] for name in sorted(features) if name != "pixels"]
    return LabelledActivations(values, class_indices(rows["label"].tolist(), classifier.metadata.classes))

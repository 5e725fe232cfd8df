"""Adapters between the catalog and the library."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from lung_tumor import candidate
from lung_tumor.candidate import Pictures
from lung_tumor.classifier import Classifier
from lung_tumor.consistency import require_own_training, require_same_origin, require_unseen
from lung_tumor.manifest import TRAINING, VALIDATION, accepted
from lung_tumor.metrics import class_indices
from lung_tumor.novelty import NoveltyOptions
from lung_tumor.operating_point import OperatingPointOptions
from lung_tumor.prepared import Partitions, slice_openers
from lung_tumor.weights import Tensors


def assemble_candidate(
    classifier: Classifier,
    slices: Partitions,
    manifest: pd.DataFrame,
    provenance: dict[str, Any],
    training: dict[str, Any],
    tensors: Tensors,
    point: OperatingPointOptions,
    novel: NoveltyOptions,
) -> tuple[bytes, dict[str, Any]]:
    """The whole model that could be served, and how it came about, by which ``options``."""
    require_same_origin(classifier.metadata, provenance)
    require_own_training(classifier.metadata, training)
    require_unseen(classifier.metadata, manifest)
    classes = classifier.metadata.classes
    learnt, validation = (_pictures(manifest, split, slices, classes) for split in (TRAINING, VALIDATION))
    content, facts = candidate.assemble(classifier, learnt, validation, tensors, point, novel)
    return content, facts | {"options": {"serving": {"operating_point": asdict(point), "novelty": asdict(novel)}}}


def _pictures(manifest: pd.DataFrame, split: str, slices: Partitions, classes: tuple[str, ...]) -> Pictures:
    rows = accepted(manifest, split)
    labels = class_indices(rows["label"].tolist(), classes)
    return Pictures(slice_openers(slices, rows), labels, rows["group"].tolist())

"""What the pipelines that fit share: the check for leaks, and pictures with their remembered activations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from kedro.pipeline import Node

from lung_tumor.augmentation import AugmentationOptions
from lung_tumor.classifier import Classifier
from lung_tumor.cohort import Cohort, all_views
from lung_tumor.computation import Computation, require_here
from lung_tumor.consistency import require_whole
from lung_tumor.feature_store import FeatureStore
from lung_tumor.features import Remembered
from lung_tumor.frozen_pass import frozen_pass
from lung_tumor.metrics import class_indices
from lung_tumor.network import Cut, every_cut
from lung_tumor.prepared import Partitions, slice_openers


def check_leaks() -> Node:
    """The node that every pipeline that fits begins with; the same wherever it stands, so that a run has it once."""
    return Node(
        require_whole,
        inputs=["manifest", "duplicate_pairs", "provenance"],
        outputs="leak_free_manifest",
        name="check_leaks",
    )


def gather(
    rows: pd.DataFrame,
    slices: Partitions,
    classifier: Classifier,
    features: dict[str, Any],
    store: FeatureStore,
    *,
    augmented: Collection[str],
    views: int | None = None,
    cuts: Sequence[Cut] | None = None,
) -> Cohort:
    """Pictures of the manifest with their remembered activations.

    Args:
        rows: one row a picture.
        slices: prepared slices.
        classifier: its frozen part gives the activations.
        features: how they are computed, as the features pipeline wrote it.
        store: where they are remembered.
        augmented: splits whose pictures have further views.
        views: how many; those of ``features`` if not given.
        cuts: which activations; those that the classifier needs if not given.
    """
    options = AugmentationOptions(**features["augmentation"])
    number = options.views if views is None else views
    further = np.where(rows["split"].isin(augmented), number, 0)
    opened, first = all_views(slice_openers(slices, rows), further.tolist(), options, features["seed"])
    chosen = every_cut(classifier.model) if cuts is None else cuts
    own, of_views = (
        frozen_pass(classifier.model, chosen, require_here(Computation(**features[name])))
        for name in ("computation", "views_computation")
    )
    pictures = set(first.tolist())
    passes = [own if position in pictures else of_views for position in range(len(opened))]
    return Cohort(
        remembered=Remembered(opened, passes or own, store),
        first=first,
        views=further.astype(np.intp),
        labels=class_indices(rows["label"].tolist(), classifier.metadata.classes),
        groups=rows["group"].tolist(),
        folds=rows["fold"].to_numpy(dtype=np.int64),
    )

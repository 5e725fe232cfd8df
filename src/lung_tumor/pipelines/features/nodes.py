"""Adapters between the catalog and the library."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pandas as pd

from lung_tumor.augmentation import AugmentationOptions
from lung_tumor.classifier import Classifier
from lung_tumor.computation import ComputationOptions, choose, choose_for_views
from lung_tumor.consistency import require_same_origin
from lung_tumor.feature_store import FeatureStore
from lung_tumor.frozen_pass import has_int8_ranges
from lung_tumor.manifest import TRAINING, VALIDATION, accepted
from lung_tumor.network import every_cut
from lung_tumor.operating_point import OperatingPointOptions, negative_class
from lung_tumor.pipelines.cohorts import gather
from lung_tumor.prepared import Partitions

logger = logging.getLogger(__name__)


def check_negative_class(provenance: dict[str, Any], options: OperatingPointOptions) -> None:
    """Stop before the first slow step where no class is the one that means that nothing is suspected.

    Here and not where the network is built: DVC would train anew whenever another option of serving changes.
    """
    negative_class(provenance["classes"], options.negative)


def remember_features(
    slices: Partitions,
    manifest: pd.DataFrame,
    classifier: Classifier,
    provenance: dict[str, Any],
    store: FeatureStore,
    computation: ComputationOptions,
    augmentation: AugmentationOptions,
    seed: int,
) -> dict[str, Any]:
    """Compute what the store does not know yet: training pictures with their views, and validation pictures.

    Returns:
        How activations are computed, for whoever reads them later: ``computation`` as this machine resolved it, that of
        changed views (``views_computation``), ``augmentation``, ``seed``, ``cuts`` and the numbers of ``pictures`` and
        ``slices`` (pictures and views).
    """
    require_same_origin(classifier.metadata, provenance)
    cuts = every_cut(classifier.model)
    known = has_int8_ranges(classifier.model, cuts)
    chosen = choose(computation, int8_ranges=known)
    facts: dict[str, Any] = {
        "computation": dataclasses.asdict(chosen),
        "views_computation": dataclasses.asdict(choose_for_views(computation, chosen, int8_ranges=known)),
        "augmentation": dataclasses.asdict(augmentation),
        "seed": seed,
        "cuts": [str(cut) for cut in cuts],
    }
    rows = accepted(manifest, TRAINING, VALIDATION)
    cohort = gather(rows, slices, classifier, facts, store, augmented=(TRAINING,))
    cohort.remembered.compute("Frozen VGG16 pass")
    return facts | {"pictures": len(rows), "slices": len(cohort.remembered)}


def summarise_store(store: FeatureStore, features: dict[str, Any]) -> str:
    """What the store holds once ``features`` are in it, one line for each way in which activations were made."""
    text = store.describe()
    logger.info("Feature store (this run reads %d slices of it): %s", features["slices"], text)
    return text

"""Adapters between the catalog and the library."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from lung_tumor import cross_validation, figures
from lung_tumor import metrics as measures
from lung_tumor.calibration import calibrated_out_of_fold
from lung_tumor.classifier import Classifier
from lung_tumor.computation import Computation
from lung_tumor.consistency import require_same_origin
from lung_tumor.feature_store import FeatureStore
from lung_tumor.fitting import FittingOptions
from lung_tumor.manifest import SPLITS, accepted
from lung_tumor.pipelines.cohorts import gather
from lung_tumor.prepared import Partitions
from lung_tumor.shortcuts import ComparisonOptions, compare_with_network
from lung_tumor.training import recipe_digest

logger = logging.getLogger(__name__)


def predict_out_of_fold(
    slices: Partitions,
    manifest: pd.DataFrame,
    classifier: Classifier,
    provenance: dict[str, Any],
    features: dict[str, Any],
    store: FeatureStore,
    head: FittingOptions,
    fine_tuning: FittingOptions,
    seed: int,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Fit once for each fold of the manifest, the test split's pictures among them, and judge the fold held out.

    Returns:
        One row a picture: its manifest facts with ``fold``, ``recipe`` (the digest of how all were fitted), ``predicted``,
        and a probability column per class. And one row a fold: ``fold``, ``learnt_from``, ``epochs``, ``kept`` and figures of
        its held-out pictures.
    """
    require_same_origin(classifier.metadata, provenance)
    recipe = recipe_digest(classifier, features, head, fine_tuning, seed)
    rows, classes = accepted(manifest), classifier.metadata.classes
    cohort = gather(rows, slices, classifier, features, store, augmented=SPLITS)
    cohort.remembered.compute("Frozen VGG16 pass")
    fits = cross_validation.cross_validate(
        classifier.model,
        cohort,
        head,
        fine_tuning,
        seed,
        precision=Computation(**features["computation"]).trains_in,
        checkpoint=store.path.with_name("cross_validation.npz"),
    )
    parts = list(tqdm(fits, total=len(set(cohort.folds.tolist())), desc="Cross-validation", unit="fold"))
    table = [
        {
            "fold": part.fold.number,
            "learnt_from": len(part.fold.seen),
            "epochs": part.epochs,
            "kept": part.chosen,
            **measures.classification_metrics(cohort.labels[part.fold.held_out], part.probabilities, classes),
        }
        for part in parts
    ]
    probabilities = cross_validation.out_of_fold(parts, len(rows))
    columns = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
    predicted = [classes[index] for index in probabilities.argmax(axis=1)]
    kept = rows[["path", "label", "group", "pixels", "fold"]]
    return pd.concat([kept.assign(recipe=recipe, predicted=predicted), columns], axis=1), table


def measure_out_of_fold(
    predictions: pd.DataFrame,
    folds: list[dict[str, Any]],
    classifier: Classifier,
    scores: pd.DataFrame,
    audit: dict[str, Any],
    comparison: ComparisonOptions,
    seed: int,
) -> dict[str, Any]:
    """Figures over all out-of-fold predictions, beside numbers without anatomy on the same folds, and by fold.

    Calibrated, as the evaluation reports them too; those by fold are of what the network gives.
    """
    classes = list(classifier.metadata.classes)
    labels = measures.class_indices(predictions["label"].tolist(), classes)
    given = predictions[[f"p_{name}" for name in classes]].to_numpy()
    probabilities = calibrated_out_of_fold(labels, given, predictions["fold"].to_numpy())
    beside = predictions[["pixels"]].merge(scores, on="pixels", how="left", validate="one_to_one")
    stronger = max(("before", "after"), key=lambda name: audit["shortcuts"][name]["auc"] or 0.0)
    facts = {
        "pooled": measures.classification_metrics(labels, probabilities, classes),
        "shortcuts": compare_with_network(
            labels,
            predictions["group"].tolist(),
            probabilities,
            beside[[f"{stronger}_{name}" for name in classes]].to_numpy(),
            classes,
            comparison,
            seed,
            audit["shortcuts"][stronger]["reason"],
        ),
        "folds": folds,
        "pictures": len(predictions),
        "groups": int(predictions["group"].nunique()),
        "classes": classes,
        "synthetic": classifier.metadata.synthetic,
        "source": classifier.metadata.source,
        "few_groups": audit["few_groups"],
    }
    pooled = facts["pooled"]
    auc = "undefined" if pooled["roc_auc"] is None else f"{pooled['roc_auc']:.3f}"
    logger.info(
        "Cross-validation over %d folds, %d pictures in %d groups: accuracy %.3f, ROC AUC %s. %s",
        len(folds),
        facts["pictures"],
        facts["groups"],
        pooled["accuracy"],
        auc,
        facts["shortcuts"]["sentence"],
    )
    return facts


def draw_folds(metrics: dict[str, Any]) -> Figure:
    """Figures of each fold beside those of all out-of-fold predictions."""
    return figures.folds(metrics)

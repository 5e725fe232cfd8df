"""Adapters between the catalog and the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from lung_tumor import agreement, figures, training
from lung_tumor.checkpoint import History
from lung_tumor.classifier import Classifier
from lung_tumor.computation import Computation
from lung_tumor.consistency import learnt_digests, require_same_origin, training_digest
from lung_tumor.feature_store import FeatureStore
from lung_tumor.fitting import FittingOptions, class_weights
from lung_tumor.manifest import TRAINING, VALIDATION, accepted
from lung_tumor.network import network_options
from lung_tumor.options import plain
from lung_tumor.pipelines.cohorts import gather
from lung_tumor.prepared import Partitions, slice_openers

CHECKS = 200
"""Most validation slices on which decisions from remembered activations are compared with those of the whole network."""

DRAWS = 1000
"""Resamples behind the interval of what fine-tuning gains."""


def train_classifier(
    classifier: Classifier,
    slices: Partitions,
    features: dict[str, Any],
    store: FeatureStore,
    manifest: pd.DataFrame,
    provenance: dict[str, Any],
    head: FittingOptions,
    fine_tuning: FittingOptions,
    seed: int,
    run: dict[str, str],
) -> tuple[Classifier, History, dict[str, Any]]:
    """Fit the trainable part; every picture counts once.

    Returns:
        The classifier, its history, and the facts of its training: ``features``, ``fine_tuning`` (None where no block
        trains) and ``agreement`` of remembered activations with the network in float32; ``model_digest``, of which
        weights they tell; ``recipe``, how these were fitted; ``options``, all that led to them, as they were when used;
        ``run``, by which commit and run.
    """
    require_same_origin(classifier.metadata, provenance)
    recipe = training.recipe_digest(classifier, features, head, fine_tuning, seed)
    computation = Computation(**features["computation"])
    rows = accepted(manifest, TRAINING, VALIDATION)
    cohort = gather(rows, slices, classifier, features, store, augmented=(TRAINING,))
    cohort.remembered.compute("Frozen VGG16 pass")
    seen, unseen = (np.flatnonzero(rows["split"] == split) for split in (TRAINING, VALIDATION))
    fitted = training.train(
        classifier.model,
        cohort,
        seen,
        unseen,
        head,
        fine_tuning,
        seed,
        precision=computation.trains_in,
        checkpoint=_checkpoint(store),
        # Until all is saved: forget_checkpoint() removes it.
        keep_checkpoint=True,
    )
    labels, groups = cohort.labels[unseen], [cohort.groups[index] for index in unseen.tolist()]
    weights = class_weights(labels) if head.class_weights == "balanced" else {}
    checked = _spread(unseen, CHECKS)
    facts: dict[str, Any] = {
        "features": features | {"pictures": len(rows), "slices": len(cohort.remembered)},
        "fine_tuning": training.judge_fine_tuning(
            fitted, labels, groups, weights, classifier.metadata.classes, DRAWS, seed
        ),
        "agreement": agreement.check(
            classifier.model,
            slice_openers(slices, rows.iloc[checked]),
            computation,
            lambda: fitted.predict(checked),
            store,
        ),
    }
    trained = training.with_training_facts(
        classifier,
        len(accepted(manifest, TRAINING)),
        training_digest(manifest),
        provenance["warnings"],
        learnt_digests(manifest),
    )
    facts |= {"model_digest": trained.metadata.model_digest, "recipe": recipe}
    options = {
        # Slices that an earlier version prepared do not say by which.
        **provenance.get("options", {}),
        "model_prep": {"network": network_options(classifier.model)},
        "features": {name: features[name] for name in ("computation", "views_computation", "augmentation", "seed")},
        "training": {"head": head, "fine_tuning": fine_tuning, "seed": seed},
    }
    facts["options"] = plain(options)
    facts["run"] = {name: run[name] for name in ("commit", "mlflow_run")}
    return trained, fitted.history, facts


def forget_checkpoint(store: FeatureStore, facts: dict[str, Any]) -> None:  # noqa: ARG001
    """Remove what fine-tuning left, a hundred megabytes, once the ``facts`` of the training are saved, and so all of it."""
    _checkpoint(store).unlink(missing_ok=True)


def draw_history(history: History, provenance: dict[str, Any]) -> Figure:
    """Loss and accuracy over the epochs."""
    return figures.history(history, synthetic=provenance["synthetic"], caution=provenance["few_groups"])


def _checkpoint(store: FeatureStore) -> Path:
    return store.path.with_name("fine_tuning.npz")


def _spread(pictures: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    """At most so many, from all along the rows: those of one class stand together."""
    places = np.linspace(0, len(pictures) - 1, min(most, len(pictures)))
    return np.asarray(pictures[np.unique(places.round().astype(np.intp))])

"""Adapters between the catalog and the library."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lung_tumor import figures, report
from lung_tumor import metrics as measures
from lung_tumor.classifier import Classifier
from lung_tumor.consistency import require_own_audit, require_same_origin, require_unseen, require_whole
from lung_tumor.features import run_in_batches
from lung_tumor.manifest import TEST, accepted
from lung_tumor.prepared import Partitions, read_slices
from lung_tumor.shortcuts import ComparisonOptions, compare_with_network

MOST_PICTURES = 48
"""Misclassified slices shown with a picture; the predictions table lists all."""


def check_before_evaluation(
    classifier: Classifier,
    manifest: pd.DataFrame,
    pairs: pd.DataFrame,
    audit: dict[str, Any],
    scores: pd.DataFrame,
    provenance: dict[str, Any],
) -> pd.DataFrame:
    """Pass on a manifest whose test split this classifier cannot have seen, and whose audit is its own."""
    checked = require_whole(manifest, pairs, provenance)
    require_own_audit(audit, scores, provenance)
    require_same_origin(classifier.metadata, provenance)
    require_unseen(classifier.metadata, checked)
    return checked


def predict_test(classifier: Classifier, slices: Partitions, manifest: pd.DataFrame) -> pd.DataFrame:
    """One row per test picture: its manifest facts, ``predicted``, and a probability column per class."""
    rows = accepted(manifest, TEST)
    (probabilities,) = run_in_batches(classifier.model, read_slices(slices, rows), len(rows), "Test slices")
    classes = classifier.metadata.classes
    columns = pd.DataFrame(probabilities.astype(float), columns=[f"p_{name}" for name in classes])
    predicted = [classes[index] for index in probabilities.argmax(axis=1)]
    return pd.concat([rows[["path", "label", "group", "pixels"]].assign(predicted=predicted), columns], axis=1)


def compare_with_shortcuts(
    predictions: pd.DataFrame, scores: pd.DataFrame, audit: dict[str, Any], options: ComparisonOptions, seed: int
) -> dict[str, Any]:
    """The network beside what numbers know without anatomy, of files or of prepared slices, whichever know more."""
    classes = _classes(predictions)
    stronger = max(("before", "after"), key=lambda name: audit["shortcuts"][name]["auc"] or 0.0)
    trivial = predictions[["pixels"]].merge(scores, on="pixels", how="left", validate="one_to_one")
    return compare_with_network(
        measures.class_indices(predictions["label"].tolist(), classes),
        predictions["group"].tolist(),
        predictions[[f"p_{name}" for name in classes]].to_numpy(),
        trivial[[f"{stronger}_{name}" for name in classes]].to_numpy(),
        classes,
        options,
        seed,
    )


def measure(
    predictions: pd.DataFrame,
    classifier_facts: dict[str, Any],
    training_facts: dict[str, Any],
    audit: dict[str, Any],
    comparison: dict[str, Any],
) -> dict[str, Any]:
    """Figures of the test split with what they were measured on, how it was trained, and what the audit says of their worth."""
    classes = _classes(predictions)
    probabilities = predictions[[f"p_{name}" for name in classes]].to_numpy()
    test = measures.classification_metrics(
        measures.class_indices(predictions["label"].tolist(), classes), probabilities, classes
    )
    counts = {"slices": len(predictions), "groups": int(predictions["group"].nunique())}
    worth = {"shortcuts": {"dataset": audit["shortcuts"], "test": comparison}, "few_groups": audit["few_groups"]}
    return {"test": test | counts, "classes": classes, "training": training_facts, **classifier_facts, **worth}


def to_facts(classifier: Classifier) -> dict[str, Any]:
    """What every figure of this classifier must say of its origin."""
    metadata = classifier.metadata
    return {"source": metadata.source, "synthetic": metadata.synthetic, "version": metadata.version}


def draw_confusion_matrix(metrics: dict[str, Any]) -> Figure:
    """Confusion matrix of the test split."""
    return figures.confusion_matrix(
        metrics["test"]["confusion_matrix"],
        metrics["classes"],
        synthetic=metrics["synthetic"],
        caution=metrics["few_groups"],
    )


def draw_roc(predictions: pd.DataFrame, metrics: dict[str, Any]) -> Figure:
    """ROC curves of the test split."""
    classes = metrics["classes"]
    probabilities = predictions[[f"p_{name}" for name in classes]].to_numpy()
    aucs = {name: metrics["test"]["per_class"][name]["roc_auc"] for name in classes}
    labels = measures.class_indices(predictions["label"].tolist(), classes)
    return figures.roc(labels, probabilities, aucs, synthetic=metrics["synthetic"], caution=metrics["few_groups"])


def write_report(
    metrics: dict[str, Any],
    audit: dict[str, Any],
    predictions: pd.DataFrame,
    slices: Partitions,
    history: list[dict[str, float]],
) -> str:
    """The report, with a picture of each misclassified slice."""
    wrong = predictions[predictions["label"] != predictions["predicted"]].copy()
    wrong["probability"] = [row[f"p_{row['predicted']}"] for _, row in wrong.iterrows()]
    wrong = wrong.sort_values(["probability", "path"], ascending=[False, True]).head(MOST_PICTURES)
    columns = wrong[["path", "label", "predicted", "probability"]]
    facts: list[dict[str, Any]] = columns.to_dict("records")  # type: ignore[assignment]
    return report.render(
        metrics,
        audit,
        [{**row, "pixels": picture} for row, picture in zip(facts, read_slices(slices, wrong), strict=True)],
        {
            "Confusion matrix": draw_confusion_matrix(metrics),
            "ROC": draw_roc(predictions, metrics),
            "Training history": figures.history(history, synthetic=metrics["synthetic"], caution=metrics["few_groups"]),
        },
    )


def _classes(predictions: pd.DataFrame) -> list[str]:
    return [column.removeprefix("p_") for column in predictions.columns if column.startswith("p_")]

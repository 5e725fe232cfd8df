"""The report as one self-contained page, and the summary that ends a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lung_tumor.manifest import SPLITS
from lung_tumor.pages import figure_uri, render_page, slice_uri

ENGINES = {"keras": "Keras", "mnn": "MNN (Winograd convolutions)"}


def count_table(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Counts per class: ``label``, ``files``, ``quarantined``, ``pictures``, ``groups``, then pictures per split."""
    return [
        {"label": label, **{name: count[name] for name in ("files", "quarantined", "pictures", "groups")}}
        | {split: count["splits"][split]["pictures"] for split in SPLITS}
        for label, count in audit["counts"]["by_class"].items()
    ]


def caveats(metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing a figure, most important first."""
    found = list(audit["warnings"])
    comparison = metrics["shortcuts"]["test"]
    if not comparison["clearly_above"]:
        found.insert(1 if audit["synthetic"] else 0, comparison["sentence"])
    return found + [f"Undefined: {name}." for name in metrics["test"]["undefined"]]


def training_sentences(facts: Mapping[str, Any]) -> list[str]:
    """How the classifier was trained, in words: what it read, whether fine-tuning was worth it, whether decisions agree.

    Args:
        facts: as written to ``training_facts.json``.
    """
    features, agreement, fine_tuning = facts["features"], facts["agreement"], facts["fine_tuning"]
    views = features["augmentation"]["views"]
    by = features["computation"]
    sentences = [
        f"The frozen part of VGG16 was passed once for each of {features['slices']} slices"
        + (f" ({features['pictures']} pictures; of those to learn from, {views} changed views each)" if views else "")
        + f", computed in {by['precision']} by {ENGINES[by['engine']]}.",
        (
            f"Decisions from these activations and from the whole network in float32 are equal on "
            f"{100 * agreement['share']:.1f} % of {agreement['slices']} validation slices (largest difference of a "
            f"probability {agreement['largest_difference']:.4f})."
        ),
    ]
    return [
        *sentences,
        fine_tuning["sentence"] if fine_tuning else "No block of VGG16 was fine-tuned; the head alone learnt.",
    ]


def render(
    metrics: Mapping[str, Any],
    audit: Mapping[str, Any],
    misclassified: Sequence[Mapping[str, Any]],
    drawn: Mapping[str, Figure],
) -> str:
    """Render the report.

    Args:
        metrics: as written to ``metrics.json``.
        audit: as written to ``audit.json``.
        misclassified: for each wrong test slice its ``path``, ``label``, ``predicted``, ``probability`` and ``pixels``,
            (size, size) uint8.
        drawn: figures by title.

    Returns:
        HTML without any reference to the network.
    """
    return render_page(
        "report.html.j2",
        metrics=metrics,
        counts=count_table(audit),
        caveats=caveats(metrics, audit),
        meaning=audit["meaning"],
        training=training_sentences(metrics["training"]),
        figures=[(title, figure_uri(figure)) for title, figure in drawn.items()],
        misclassified=[{**row, "picture": slice_uri(row["pixels"])} for row in misclassified],
    )


def _synthetic_mark(metrics: Mapping[str, Any]) -> str:
    """`` (synthetic)`` unless the source's own name says so already."""
    return " (synthetic)" if metrics["synthetic"] and "synthetic" not in metrics["source"] else ""


def summarise(metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> str:
    """The few lines that end a run: slices, split, figures, where everything lies, what to do next."""
    test = metrics["test"]
    counts = "\n".join(
        f"  {row['label']:<20} {row['files']:>6} files  {row['pictures']:>6} pictures  {row['groups']:>6} groups: "
        f"{row['training']} training, {row['validation']} validation, {row['test']} test"
        for row in count_table(audit)
    )
    per_class = "\n".join(
        f"  {name:<20} precision {row['precision']:.3f}  recall {row['recall']:.3f}  F1 {row['f1']:.3f}  of {row['slices']}"
        for name, row in test["per_class"].items()
    )
    auc, trivial = (
        "undefined" if value is None else f"{value:.3f}"
        for value in (test["roc_auc"], metrics["shortcuts"]["test"]["trivial"]["auc"])
    )
    warnings = "\n".join(f"  ! {text}" for text in caveats(metrics, audit))
    return f"""
Slices   {metrics["source"]}{_synthetic_mark(metrics)}
{counts}

{warnings}

Test     {test["slices"]} pictures in {test["groups"]} independent groups: accuracy {test["accuracy"]:.3f}, ROC AUC {auc}
         the same pictures judged without anatomy (size, brightness, a tiny thumbnail): ROC AUC {trivial}
{per_class}

Report   data/08_reporting/report.html
Data     data/08_reporting/dataset_card.html
Figures  data/08_reporting/  (contact sheets, history, confusion matrix, ROC)
Model    data/06_models/classifier.keras, served as data/06_models/classifier.onnx
Next     make serve   upload a slice at http://127.0.0.1:8080
         make viz     browse the pipelines at http://127.0.0.1:4141
         make run SOURCE=path/to/folder   the same on your own slices, one folder per class
"""

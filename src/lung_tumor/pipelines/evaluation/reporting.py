"""Adapters between what was measured and the pages that tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from lung_tumor import evaluation_figures, figures, model_card, report
from lung_tumor.answers import Answer
from lung_tumor.evaluation_figures import Predictions
from lung_tumor.pipelines.evaluation.predictions import classes_of, labels_of, probabilities_of
from lung_tumor.predictor import Predictor
from lung_tumor.prepared import Partitions, read_slices
from lung_tumor.promotion import PromotionOptions
from lung_tumor.shortcuts import ComparisonOptions

Evidence = npt.NDArray[np.float32]

MOST_PICTURES = 48
"""Misjudged slices shown with a picture; the predictions table lists all."""

EXAMPLES = 12
"""Slices whose evidence is shown, of all classes."""


def gather_metrics(
    candidate: Predictor,
    measured: dict[str, Any],
    comparison: dict[str, Any],
    audit: dict[str, Any],
    training: dict[str, Any],
    serving: dict[str, Any],
    calibration: dict[str, Any],
    operating_point: dict[str, Any],
    novelty: dict[str, Any],
    evidence: dict[str, Any],
    promotion: dict[str, Any],
) -> dict[str, Any]:
    """All that was measured, with what it was measured on, how the model came about, and what the audit says of its worth."""
    metadata = candidate.metadata
    return {
        **measured,
        "operating_point": operating_point,
        "calibration": calibration,
        "novelty": novelty,
        "evidence": evidence,
        "promotion": promotion,
        "served": {"precision": metadata.precision, "reason": metadata.precision_reason} | serving["precision"],
        "classes": list(metadata.classes),
        "training": training,
        "source": metadata.source,
        "synthetic": metadata.synthetic,
        "version": metadata.version,
        "shortcuts": {"dataset": audit["shortcuts"], **comparison},
        "few_groups": audit["few_groups"],
    }


def draw_figures(
    metrics: dict[str, Any],
    predictions: pd.DataFrame,
    history: list[dict[str, float]],
    options: ComparisonOptions,
    seed: int,
) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """Every figure of the evaluation by its title: for the report, and to be kept."""
    known: dict[str, Any] = {"synthetic": metrics["synthetic"], "caution": metrics["few_groups"]}
    drawn: dict[str, Any] = {**known, "draws": options.draws, "seed": seed}
    table = _table(predictions)
    test, point = metrics["test"]["network"], metrics["operating_point"]
    calibration, pooled = metrics["calibration"], metrics["cross_validation"]
    errors = {when: calibration[when]["calibration_error"] for when in ("before", "after")}
    made = {
        "Main figures": evaluation_figures.main_figures(metrics["test"], "Test", **known),
        **(
            {"Cross-validation": evaluation_figures.main_figures(pooled, "Cross-validation", **known)} if pooled else {}
        ),
        "ROC": evaluation_figures.roc(table, test, point, **drawn),
        "Precision and recall": evaluation_figures.precision_recall(table, test, point["negative"], **drawn),
        "Confusion matrix": figures.confusion_matrix(test["confusion_matrix"], metrics["classes"], **known),
        "Coverage": evaluation_figures.coverage(point, **known),
        "Suspicion": evaluation_figures.score_distribution(table, point, **known),
        "Reliability": evaluation_figures.reliability(
            calibration["before"]["bins"], calibration["after"]["bins"], errors, **known
        ),
        "Training history": figures.history(history, **known),
    }
    return made, made


def _table(predictions: pd.DataFrame) -> Predictions:
    return Predictions(
        tuple(classes_of(predictions)),
        labels_of(predictions),
        probabilities_of(predictions),
        tuple(predictions["group"].tolist()),
    )


def write_report(
    metrics: dict[str, Any],
    audit: dict[str, Any],
    predictions: pd.DataFrame,
    evidence: Evidence,
    slices: Partitions,
    drawn: dict[str, Figure],
) -> str:
    """The report, with a picture of each misjudged slice and examples of evidence."""
    worst = _pictured(misjudged(predictions, metrics["operating_point"]["negative"]), evidence, slices, metrics)
    examples = _pictured(_examples(predictions, len(metrics["classes"])), evidence, slices, metrics)
    return report.render(metrics, audit, worst, examples, drawn)


def misjudged(predictions: pd.DataFrame, negative: str) -> pd.DataFrame:
    """The most confident errors first, at most so many, with their ``place`` among the predictions.

    An error is another class than the true one, or an answer that is wrong: suspected without disease, cleared with it.
    """
    told = _by_confidence(predictions)
    alarmed = (told["answer"] == Answer.SUSPECTED) & (told["label"] == negative)
    missed = (told["answer"] == Answer.CLEAR) & (told["label"] != negative)
    return told[(told["label"] != told["predicted"]) | alarmed | missed].head(MOST_PICTURES)


def _examples(predictions: pd.DataFrame, classes: int) -> pd.DataFrame:
    """The surest right answers of each class."""
    told = _by_confidence(predictions)
    answered = (told["label"] == told["predicted"]) & (told["answer"] != Answer.REFUSED)
    right = told[answered].groupby("label").head(-(-EXAMPLES // classes))
    return right.sort_values("label", kind="stable").head(EXAMPLES)


def _by_confidence(predictions: pd.DataFrame) -> pd.DataFrame:
    columns = [column for column in predictions.columns if column.startswith("p_")]
    told = predictions.assign(place=range(len(predictions)), probability=predictions[columns].max(axis=1))
    return told.sort_values(["probability", "path"], ascending=[False, True])


def _pictured(
    rows: pd.DataFrame, evidence: Evidence, slices: Partitions, metrics: Mapping[str, Any]
) -> list[dict[str, Any]]:
    return [
        {
            "path": row["path"],
            "label": row["label"],
            "predicted": row["predicted"],
            "shown": row["predicted"],
            "suspicion": None if row["answer"] == Answer.REFUSED else row["suspicion"],
            "answer": row["answer"],
            "pixels": picture,
            "evidence": evidence[row["place"], metrics["classes"].index(row["predicted"])],
        }
        for (_, row), picture in zip(rows.iterrows(), read_slices(slices, rows), strict=True)
    ]


def write_model_card(
    metrics: dict[str, Any],
    audit: dict[str, Any],
    candidate: Predictor,
    serving: dict[str, Any],
    comparison: ComparisonOptions,
    promotion: PromotionOptions,
    seed: int,
    run: dict[str, str],
) -> tuple[str, str]:
    """The model card as Markdown and as a page; options are those that were used, not those that this run was given."""
    judged_by = {"comparison": asdict(comparison), "promotion": asdict(promotion), "seed": seed}
    metadata = candidate.metadata
    reproduce = {
        "training": metrics["training"]["run"],
        "evaluation": run,
        "parameters": _flat({**_used(metrics["training"]), **_used(serving), "evaluation": judged_by}),
        "data_digest": metadata.data_digest,
        "model_digest": metadata.model_digest,
        "weights_digest": metadata.weights_digest,
        "version": metadata.version,
        "created": metadata.created,
    }
    facts = {"metrics": metrics, "audit": audit, "reproduce": reproduce}
    return model_card.to_markdown(facts), model_card.to_html(facts)


def _used(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a training or serving; models of earlier versions do not have them."""
    options: Mapping[str, Any] = facts.get("options", {})
    return options


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Options under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        # An empty mapping is a choice too.
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return flat

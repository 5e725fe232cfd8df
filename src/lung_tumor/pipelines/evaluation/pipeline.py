"""Classifier + test slices → predictions → metrics, figures, report."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.pipelines.evaluation.nodes import (
    check_before_evaluation,
    compare_with_shortcuts,
    draw_confusion_matrix,
    draw_roc,
    measure,
    predict_test,
    to_facts,
    write_report,
)
from lung_tumor.report import summarise


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            Node(
                check_before_evaluation,
                inputs=["classifier", "manifest", "duplicate_pairs", "audit", "shortcut_scores", "provenance"],
                outputs="evaluated_manifest",
                name="check_evaluation_leaks",
            ),
            Node(
                predict_test,
                inputs=["classifier", "prepared_slices", "evaluated_manifest"],
                outputs="predictions",
                name="predict_test",
            ),
            Node(to_facts, inputs="classifier", outputs="classifier_facts", name="read_classifier_facts"),
            Node(
                compare_with_shortcuts,
                inputs=["predictions", "shortcut_scores", "audit", "params:evaluation.comparison", "params:seed"],
                outputs="comparison",
                name="compare_with_shortcuts",
            ),
            Node(
                measure,
                inputs=["predictions", "classifier_facts", "training_facts", "audit", "comparison"],
                outputs="metrics",
                name="measure",
            ),
            Node(
                draw_confusion_matrix,
                inputs="metrics",
                outputs="confusion_matrix",
                name="draw_confusion_matrix",
                tags="figures",
            ),
            Node(draw_roc, inputs=["predictions", "metrics"], outputs="roc", name="draw_roc", tags="figures"),
            Node(
                write_report,
                inputs=["metrics", "audit", "predictions", "prepared_slices", "history"],
                outputs="report",
                name="write_report",
            ),
            Node(summarise, inputs=["metrics", "audit"], outputs="summary", name="summarise"),
        ],
        tags="evaluation",
    )

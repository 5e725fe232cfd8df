"""Remembered activations → a fit for each fold → out-of-fold predictions and their figures."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.pipelines.cohorts import check_leaks
from lung_tumor.pipelines.cross_validation.nodes import draw_folds, measure_out_of_fold, predict_out_of_fold


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            check_leaks(),
            Node(
                predict_out_of_fold,
                inputs=[
                    "prepared_slices",
                    "leak_free_manifest",
                    "untrained_classifier",
                    "provenance",
                    "features",
                    "feature_store",
                    "params:training.head",
                    "params:training.fine_tuning",
                    "params:seed",
                ],
                outputs=["out_of_fold_predictions", "fold_table"],
                name="predict_out_of_fold",
            ),
            Node(
                measure_out_of_fold,
                inputs=[
                    "out_of_fold_predictions",
                    "fold_table",
                    "untrained_classifier",
                    "shortcut_scores",
                    "audit",
                    "params:evaluation.comparison",
                    "params:seed",
                ],
                outputs="cross_validation_metrics",
                name="measure_out_of_fold",
            ),
            Node(
                draw_folds,
                inputs="cross_validation_metrics",
                outputs="cross_validation_figure",
                name="draw_folds",
                tags="figures",
            ),
        ],
        tags="cross_validation",
    )

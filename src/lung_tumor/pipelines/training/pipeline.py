"""Prepared slices → features of the frozen part → trained classifier → served model."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.consistency import require_whole
from lung_tumor.pipelines.training.nodes import (
    draw_history,
    export_classifier,
    extract_features,
    train_classifier,
)


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            Node(
                require_whole,
                inputs=["manifest", "duplicate_pairs", "provenance"],
                outputs="leak_free_manifest",
                name="check_training_leaks",
            ),
            Node(
                extract_features,
                inputs=["prepared_slices", "leak_free_manifest", "untrained_classifier", "provenance", "feature_store"],
                outputs="features",
                name="extract_features",
            ),
            Node(
                train_classifier,
                inputs=[
                    "untrained_classifier",
                    "features",
                    "leak_free_manifest",
                    "provenance",
                    "params:training.fitting",
                    "params:seed",
                ],
                outputs=["classifier", "history"],
                name="train_classifier",
            ),
            Node(
                export_classifier,
                inputs=["classifier", "prepared_slices", "leak_free_manifest"],
                outputs="served_model",
                name="export_classifier",
            ),
            Node(
                draw_history,
                inputs=["history", "provenance"],
                outputs="history_figure",
                name="draw_history",
                tags="figures",
            ),
        ],
        tags="training",
    )

"""Remembered activations → trained classifier."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.pipelines.cohorts import check_leaks
from lung_tumor.pipelines.training.nodes import draw_history, forget_checkpoint, train_classifier


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            check_leaks(),
            Node(
                train_classifier,
                inputs=[
                    "untrained_classifier",
                    "prepared_slices",
                    "features",
                    "feature_store",
                    "leak_free_manifest",
                    "provenance",
                    "params:training.head",
                    "params:training.fine_tuning",
                    "params:seed",
                    "run_facts",
                ],
                # The facts last: with them the two others are whole.
                outputs=["classifier", "history", "training_facts"],
                name="train_classifier",
            ),
            Node(
                forget_checkpoint,
                inputs=["feature_store", "training_facts"],
                outputs=None,
                name="forget_checkpoint",
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

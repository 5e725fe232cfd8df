"""Trained classifier → calibrated model that could be served, in float32 or int8."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.pipelines.cohorts import check_leaks
from lung_tumor.pipelines.serving.nodes import assemble_candidate


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            check_leaks(),
            Node(
                assemble_candidate,
                inputs=[
                    "classifier",
                    "prepared_slices",
                    "leak_free_manifest",
                    "provenance",
                    "training_facts",
                    "imagenet_weights",
                    "params:serving.operating_point",
                    "params:serving.novelty",
                ],
                outputs=["candidate_model", "serving_facts"],
                name="assemble_candidate",
            ),
        ],
        tags="serving",
    )

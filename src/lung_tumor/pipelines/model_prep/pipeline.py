"""ImageNet weights + classes of the data → untrained classifier."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.pipelines.model_prep.nodes import build_classifier, summarise_classifier


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            Node(
                build_classifier,
                inputs=["imagenet_weights", "provenance", "params:model_prep.network", "params:seed"],
                outputs="untrained_classifier",
                name="build_classifier",
            ),
            Node(
                summarise_classifier, inputs="untrained_classifier", outputs="architecture", name="summarise_classifier"
            ),
        ],
        tags="model_prep",
    )

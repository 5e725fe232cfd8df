"""Prepared slices → activations of the frozen part, each computed once."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.pipelines.cohorts import check_leaks
from lung_tumor.pipelines.features.nodes import check_negative_class, remember_features, summarise_store


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            check_leaks(),
            Node(
                check_negative_class,
                inputs=["provenance", "params:serving.operating_point"],
                outputs=None,
                name="check_negative_class",
            ),
            Node(
                remember_features,
                inputs=[
                    "prepared_slices",
                    "leak_free_manifest",
                    "untrained_classifier",
                    "provenance",
                    "feature_store",
                    "params:features.computation",
                    "params:features.augmentation",
                    "params:seed",
                ],
                outputs="features",
                name="remember_features",
            ),
            Node(
                summarise_store, inputs=["feature_store", "features"], outputs="store_summary", name="summarise_store"
            ),
        ],
        tags="features",
    )

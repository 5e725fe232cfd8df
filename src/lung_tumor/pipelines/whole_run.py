"""What is asked of a run from slices to a judged classifier, and of none of its pipelines alone."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from lung_tumor.operating_point import OperatingPointOptions, negative_class
from lung_tumor.sources import SliceSource


def require_negative_class(source: SliceSource, options: OperatingPointOptions) -> None:
    """Stop at once where no class is the one that means that nothing is suspected.

    An ingestion alone does not ask for it: the dataset card is for any folder with classes.
    """
    negative_class(source.classes, options.negative)


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            Node(
                require_negative_class,
                inputs=["chosen_source", "params:serving.operating_point"],
                outputs=None,
                # Of nodes that could run next, Kedro takes the first by name: this one before audit_files.
                name="ask_for_negative_class",
            )
        ]
    )

"""Prepared slices + grouped folds → trials → best configuration as parameters."""

from kedro.pipeline import Node, Pipeline

from lung_tumor.pipelines.cohorts import check_leaks
from lung_tumor.pipelines.tuning.nodes import (
    draw_importances,
    draw_search_history,
    search_configuration,
    summarise_search,
    write_best_parameters,
)
from lung_tumor.tuning_report import table


def create_pipeline() -> Pipeline:
    """Build the pipeline."""
    return Pipeline(
        [
            check_leaks(),
            Node(
                search_configuration,
                inputs=[
                    "prepared_slices",
                    "leak_free_manifest",
                    "untrained_classifier",
                    "imagenet_weights",
                    "provenance",
                    "features",
                    "feature_store",
                    "trial_memory",
                    "params:model_prep.network",
                    "params:training.head",
                    "params:training.fine_tuning",
                    "params:tuning.search",
                    "params:seed",
                ],
                outputs="search_result",
                name="search_configuration",
            ),
            Node(table, inputs="search_result", outputs="tuning_trials", name="list_trials"),
            Node(
                summarise_search,
                inputs=["search_result", "provenance"],
                outputs="tuning_summary",
                name="summarise_search",
            ),
            Node(
                write_best_parameters,
                inputs=[
                    "search_result",
                    "provenance",
                    "features",
                    "params:features.computation",
                    "params:training.head",
                    "params:training.fine_tuning",
                    "params:seed",
                ],
                outputs="best_parameters",
                name="write_best_parameters",
            ),
            Node(
                draw_search_history,
                inputs=["search_result", "provenance"],
                outputs="search_history",
                name="draw_search_history",
                tags="figures",
            ),
            Node(
                draw_importances,
                inputs=["search_result", "provenance"],
                outputs="option_importances",
                name="draw_importances",
                tags="figures",
            ),
        ],
        tags="tuning",
    )

"""The pipelines that `kedro run --pipeline=…` knows."""

from kedro.pipeline import Pipeline

from lung_tumor.pipelines import (
    cross_validation,
    data_ingestion,
    evaluation,
    features,
    model_prep,
    serving,
    training,
    tuning,
    whole_run,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines by name; ``__default__`` runs those from slices to a judged classifier, in the order of the data."""
    way = {
        "data_ingestion": data_ingestion.create_pipeline(),
        "model_prep": model_prep.create_pipeline(),
        "features": features.create_pipeline(),
        "training": training.create_pipeline(),
        "serving": serving.create_pipeline(),
        "cross_validation": cross_validation.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
    }
    return {
        "__default__": sum(way.values(), start=whole_run.create_pipeline()),
        **way,
        "tuning": tuning.create_pipeline(),
    }

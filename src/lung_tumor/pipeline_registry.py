"""The pipelines that `kedro run --pipeline=…` knows."""

from kedro.pipeline import Pipeline

from lung_tumor.pipelines import data_ingestion, evaluation, model_prep, training


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines by name, in the order of the data; ``__default__`` runs them all."""
    pipelines = {
        "data_ingestion": data_ingestion.create_pipeline(),
        "model_prep": model_prep.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
    }
    return {"__default__": sum(pipelines.values(), start=Pipeline([])), **pipelines}

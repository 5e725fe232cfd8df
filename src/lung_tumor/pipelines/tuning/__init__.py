"""Search for a better configuration on grouped folds."""

from lung_tumor.pipelines.tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]

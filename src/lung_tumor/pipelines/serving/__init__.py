"""Trained classifier to a model that could be served."""

from lung_tumor.pipelines.serving.pipeline import create_pipeline

__all__ = ["create_pipeline"]

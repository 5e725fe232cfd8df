"""ImageNet weights to an untrained classifier."""

from lung_tumor.pipelines.model_prep.pipeline import create_pipeline

__all__ = ["create_pipeline"]

"""Every picture judged by a model that never saw its group."""

from lung_tumor.pipelines.cross_validation.pipeline import create_pipeline

__all__ = ["create_pipeline"]

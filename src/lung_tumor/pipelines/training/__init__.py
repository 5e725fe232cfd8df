"""Prepared slices to a trained classifier."""

from lung_tumor.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]

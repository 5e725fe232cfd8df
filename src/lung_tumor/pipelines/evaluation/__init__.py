"""Held-out slices to metrics, figures and a report."""

from lung_tumor.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]

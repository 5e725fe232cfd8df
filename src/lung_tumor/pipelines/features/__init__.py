"""Prepared slices to remembered activations of VGG16's frozen part."""

from lung_tumor.pipelines.features.pipeline import create_pipeline

__all__ = ["create_pipeline"]

"""Source to prepared slices."""

from lung_tumor.pipelines.data_ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]

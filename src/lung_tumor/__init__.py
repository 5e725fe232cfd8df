"""Lung tumour detection on chest-CT slices: a plain library that knows the field, wired by Kedro, served by Flask."""

__version__ = "0.1.0"

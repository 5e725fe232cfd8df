"""Kedro's project settings: https://docs.kedro.org/en/stable/configure/project_settings/."""

import os

from lung_tumor.configuration import CONFIG_LOADER_ARGS, PROJECT
from lung_tumor.hooks import ParameterHooks, TrackingHooks

__all__ = ["CONFIG_LOADER_ARGS", "HOOKS", "PROJECT"]

# Set before anything imports TensorFlow or MLflow, both of which read these once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

HOOKS = (ParameterHooks(), TrackingHooks())

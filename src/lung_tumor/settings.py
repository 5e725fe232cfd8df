"""Kedro's project settings: https://docs.kedro.org/en/stable/configure/project_settings/."""

import os
from pathlib import Path
from typing import Any

from lung_tumor.hooks import ParameterHooks, TrackingHooks

PROJECT = Path(__file__).resolve().parents[2]

# Set before anything imports TensorFlow or MLflow, both of which read these once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def _tracking_uri() -> str:
    """The server that the environment names, or a SQLite file of this project, whatever the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{PROJECT / 'mlflow.db'}"


def _artifact_location() -> str | None:
    """Where artifacts lie when this machine keeps them; a tracking server decides for itself."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else (PROJECT / "mlruns").as_uri()


CONFIG_LOADER_ARGS: dict[str, Any] = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
    "custom_resolvers": {
        "tracking_uri": _tracking_uri,
        "artifact_location": _artifact_location,
    },
}

HOOKS = (ParameterHooks(), TrackingHooks())

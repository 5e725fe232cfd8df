"""Where the project lies and how its configuration is read, for whoever needs no Kedro session: the app starts with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


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

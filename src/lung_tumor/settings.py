"""Kedro's project settings: https://docs.kedro.org/en/stable/configure/project_settings/."""

import os
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


def _environment(name: str, default: Any = "") -> Any:
    """``${env:NAME,default}`` in any configuration file; the built-in ``oc.env`` resolves in credentials alone."""
    return os.environ.get(name) or default


CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
    "custom_resolvers": {
        "env": _environment,
        "project": lambda path: str(PROJECT / path),
    },
}

"""The served classifier: one page for a person, one JSON API for a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask

    from lung_tumor.predictor import Predictor

__all__ = ["create_app"]


def create_app(predictor: Predictor | None = None, config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app: :func:`app.factory.create_app`."""
    # Here: the process that only watches over gunicorn's worker finds that worker in this package, and never needs the app.
    from app import factory

    return factory.create_app(predictor, config)

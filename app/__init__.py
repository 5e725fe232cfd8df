"""The served classifier: one page for a person, one JSON API for a program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from app import api, model, pages, problems
from app.security import harden
from app.uploads import InMemoryRequest, route_for_the_log
from lung_tumor.predictor import Predictor
from lung_tumor.settings import PROJECT

__all__ = ["create_app"]

MEBIBYTE = 2**20

DEFAULTS: dict[str, Any] = {
    "MAX_CONTENT_LENGTH": 16 * MEBIBYTE,
    "MAX_FORM_PARTS": 32,
    "MAX_FILES": 16,
    "JUDGED_AT_ONCE": 2,
}
"""Bounds on what one request may ask for; ``JUDGED_AT_ONCE`` bounds the pictures held decoded, over all requests."""


def create_app(predictor: Predictor | None = None, config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app.

    Args:
        predictor: the model to serve; by default the catalog's entry ``served_model``, loaded once, here. Without one
            the app still starts: the page says how to train a model, and ``/healthz`` and the API answer 503.
        config: takes the place of any of :data:`DEFAULTS`, or of

            - ``PROJECT``: the folder that holds ``conf`` and ``data`` (environment: ``LUNG_TUMOR_PROJECT``);
            - ``CONF_ENV``: Kedro's configuration environment (environment: ``KEDRO_ENV``).
    """
    app = Flask(__name__)
    app.request_class = InMemoryRequest
    app.config.from_mapping(DEFAULTS)
    app.config.from_mapping(
        PROJECT=os.environ.get("LUNG_TUMOR_PROJECT") or PROJECT,
        CONF_ENV=os.environ.get("KEDRO_ENV") or None,
    )
    app.config.from_mapping(config)
    served = (
        model.ServedModel.of(predictor, app.config["JUDGED_AT_ONCE"])
        if predictor
        else model.load(Path(app.config["PROJECT"]), app.config["CONF_ENV"], app.config["JUDGED_AT_ONCE"])
    )
    app.extensions[model.EXTENSION] = served
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(api.blueprint)
    app.before_request(route_for_the_log)
    app.after_request(harden)
    problems.register(app)
    return app

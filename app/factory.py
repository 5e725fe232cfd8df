"""How the app is put together, and the bounds on what may be asked of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import cv2
from flask import Flask

from app import admission, api, model, observation, pages, problems
from app.forms import InMemoryRequest
from app.observation import DiscreetFlask
from app.security import harden
from lung_tumor.configuration import PROJECT
from lung_tumor.predictor import Predictor

MEBIBYTE = 2**20

DEFAULTS: dict[str, Any] = {
    # One request.
    "MAX_CONTENT_LENGTH": 64 * MEBIBYTE,
    "MAX_FORM_PARTS": 300,
    "MAX_FILES": 256,
    "MAX_ENTRIES": 512,
    "MAX_UNPACKED_BYTES": 512 * MEBIBYTE,
    "MAX_SLICES": 512,
    "REQUEST_SECONDS": 60.0,
    # All requests together.
    "MAX_REQUESTS": 32,
    "MAX_BYTES_AT_ONCE": 256 * MEBIBYTE,
    "CLIENT_SHARE": 0.75,
    "JUDGED_AT_ONCE": 2,
    "RUNS": 2,
    # One client.
    "RATE_PER_SECOND": 100.0,
    "RATE_BURST": 1000,
}
"""Bounds on what may be asked for.

======================  ==============================================================================================
option                 meaning
======================  ==============================================================================================
``MAX_CONTENT_LENGTH``  bytes of one request, and of one file of a zip
``MAX_FORM_PARTS``      parts of its form
``MAX_FILES``           files of one request
``MAX_ENTRIES``         files of one zip
``MAX_UNPACKED_BYTES``  bytes that the zips of one request unpack to
``MAX_SLICES``          slices of one request, those in zips and in multi-frame files counted
``REQUEST_SECONDS``     time for judging what one request sent; what is not judged by then is to be sent again
``MAX_REQUESTS``        requests with a body at a time, until their answers are written; one more is told to come again (503)
``MAX_BYTES_AT_ONCE``   bytes of their bodies, then answers, together; and as many of what zips and deflated DICOM unpack to
``CLIENT_SHARE``        share of these that one client address may take
``JUDGED_AT_ONCE``      pictures held decoded at a time
``RUNS``                slices that the model judges at a time, each in a run of its own
``RATE_PER_SECOND``     requests of one client address in the long run, 0 for any number; beyond: 429
``RATE_BURST``          requests it may send at once
======================  ==============================================================================================
"""


def create_app(predictor: Predictor | None = None, config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app.

    Args:
        predictor: the model to serve; by default the catalog's entry ``served_model``, loaded here, and again whenever
            its file is replaced. Without one the app still starts: the page says how to train a model, and ``/readyz``
            and the API answer 503.
        config: takes the place of any of :data:`DEFAULTS`, or of

            - ``PROJECT``: the folder that holds ``conf`` and ``data`` (environment: ``LUNG_TUMOR_PROJECT``);
            - ``CONF_ENV``: Kedro's configuration environment (environment: ``KEDRO_ENV``);
            - ``TOKEN``: what the API wants as bearer token, nothing by default (environment: ``LUNG_TUMOR_TOKEN``);
            - ``MODEL_SHA256``: the one model file to serve (environment: ``LUNG_TUMOR_MODEL_SHA256``).
    """
    app = DiscreetFlask(__name__)
    app.request_class = InMemoryRequest
    app.config.from_mapping(DEFAULTS)
    app.config.from_mapping(
        PROJECT=os.environ.get("LUNG_TUMOR_PROJECT") or PROJECT,
        CONF_ENV=os.environ.get("KEDRO_ENV") or None,
        TOKEN=os.environ.get("LUNG_TUMOR_TOKEN") or None,
        MODEL_SHA256=os.environ.get("LUNG_TUMOR_MODEL_SHA256") or None,
        RATE_PER_SECOND=float(os.environ.get("LUNG_TUMOR_RATE") or DEFAULTS["RATE_PER_SECOND"]),
    )
    app.config.from_mapping(config)
    # Preparation runs in the request's own thread, beside the model's: more threads would only compete.
    cv2.setNumThreads(1)
    resources = model.Resources.of(app.config)
    app.extensions[model.EXTENSION] = model.open_champion(predictor, resources)
    observation.register(app, resources.metrics)
    app.extensions[api.ROOM] = admission.register(app, resources.metrics)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(api.blueprint)
    app.after_request(harden)
    problems.register(app, pages.render_problem)
    return app

"""The JSON API, for programs; :mod:`app.openapi` describes it.

========  ==========================  ==============================================================
method    path                        answer
========  ==========================  ==============================================================
POST      ``/api/v1/predictions``     an answer for each slice
GET       ``/api/v1/model``           what the model says of itself
GET       ``/api/v1/openapi.json``    this API, OpenAPI 3.1
GET       ``/api/v1/docs``            the same, to be read
GET       ``/healthz``                200 while this process lives
GET       ``/readyz``                 200 with a model that has answered for a slice, 503 without
GET       ``/metrics``                counts and times, for Prometheus
========  ==========================  ==============================================================
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template, request
from werkzeug.exceptions import BadRequest, HTTPException, ServiceUnavailable, UnprocessableEntity, default_exceptions

from app import openapi
from app.metrics import CONTENT_TYPE
from app.model import ServedModel, served_model
from app.prediction import Item, judge_uploads
from app.problems import problem_response
from app.uploads import too_slow, uploaded

NOTICE = "Research use only. Not a medical device."

ROOM = "room"
"""Where ``app.extensions`` keeps the :class:`app.admission.Room`."""

blueprint = Blueprint("api", __name__)


@blueprint.post("/api/v1/predictions")
def predictions() -> Response:
    """Judge the slices in the multipart field ``file``: PNG, JPEG, DICOM, or zips of such, one or several.

    Answers 200 with ``{"model", "notice", "predictions"}``; ``predictions`` holds :meth:`Item.to_dict` of each slice, in
    the order sent, but slices of one DICOM series together and by position. A slice that could not be judged has an
    ``error``, so that one bad file of a series does not take the answers of the others; 503 where the time was up, so that
    it may be sent again. Where none could be judged, the answer is problem+json: its status is 503 if one of them was not
    reached, 413, 415 or 422 if all share it, else 422; ``errors`` holds them one by one.

    ``skip`` leaves out so many slices at the beginning of the one file that is sent: those that an earlier answer holds.

    Other problems: 400 no file, ``images`` neither true nor false, ``skip`` no number or beyond the last slice, 401 no token,
    413 too many files or bytes, 415 no form, 429 too many requests, 503 no model or too much to do.
    """
    model = served_model()
    model.require()
    files = uploaded()
    skip = _skipped(len(files))
    items = judge_uploads(files, model, _wants_images(), skip)
    if not items:
        raise BadRequest(f"The file holds no slice beyond the first {skip}: `skip` leaves none to judge.")
    if all(item.error for item in items):
        return _none_usable(items)
    return jsonify(model=brief(model), notice=NOTICE, predictions=[item.to_dict() for item in items])


@blueprint.get("/api/v1/model")
def model() -> Response:
    """What the model's metadata say, and the digest of its file.

    Not which pictures it learnt from: by their digests, anyone who holds a slice could ask whether it is among them.
    """
    served = served_model()
    told = dataclasses.asdict(served.require().metadata)
    del told["learnt_from"]
    return jsonify({**told, "warnings": served.warnings, "digest": served.digest})


@blueprint.get("/api/v1/openapi.json")
def openapi_document() -> Response:
    """This API, for programs that read OpenAPI."""
    return jsonify(openapi.document())


@blueprint.get("/api/v1/docs")
def docs() -> str:
    """This API, for people."""
    return render_template("api.html", document=openapi.document(), operations=openapi.operations(), notice=NOTICE)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Whether this process can answer at all."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
def readyz() -> Response:
    """Whether there is a model, loaded and tried, and which."""
    return jsonify(status="ready", model=brief(served_model()))


@blueprint.get("/metrics")
def metrics() -> Response:
    """What was counted, for Prometheus."""
    served = served_model()
    engine, room = served.resources.engine, current_app.extensions[ROOM]
    gauges = {
        "queue_slices": ("Slices that wait for the model.", engine.waiting),
        "requests_in_progress": ("Requests with a body under way.", room.taken),
        "ready": ("1 with a model, 0 without.", float(served.predictor is not None)),
    }
    facts: dict[str, str] = {}
    if served.predictor is not None:
        metadata = served.predictor.metadata
        facts = {"version": metadata.version, "digest": served.digest, "precision": metadata.precision}
    return Response(served.resources.metrics.render(gauges, facts), content_type=CONTENT_TYPE)


def brief(served: ServedModel) -> dict[str, Any]:
    """What every answer says of the model that gave it."""
    metadata = served.require().metadata
    names = ("version", "created", "classes", "source", "synthetic", "precision")
    facts = {name: getattr(metadata, name) for name in names}
    return {**facts, "warnings": served.warnings, "digest": served.digest}


def _wants_images() -> bool:
    """What the query says, or else the form; false where neither does."""
    given = _given("images")
    if not {*given} <= {"true", "false"}:
        raise BadRequest("`images` must be `true` or `false`. Send one of these, or leave it out.")
    return given[:1] == ["true"]


def _skipped(files: int) -> int:
    """What the query says, or else the form; 0 where neither does."""
    given = _given("skip")
    if not all(re.fullmatch(openapi.WHOLE_NUMBER, value) for value in given):
        raise BadRequest("`skip` must be a whole number of slices. Send one, or leave it out.")
    skip = int(given[0]) if given else 0
    if skip and files > 1:
        raise BadRequest("`skip` speaks of the slices of one file. Send that file by itself.")
    return skip


def _given(name: str) -> list[str]:
    return [source[name] for source in (request.args, request.form) if name in source]


def _none_usable(items: Sequence[Item]) -> Response:
    errors: list[Mapping[str, Any]] = [
        {**(item.error or {}), "name": item.name, "file": item.file, "slice": item.slice} for item in items
    ]
    details = {(error["status"], error["detail"]) for error in errors}
    statuses = {status for status, _ in details}
    status, detail = next(iter(details))
    if len(details) > 1:
        detail = f"None of the {len(errors)} files could be used; `errors` says why for each, in the order sent."
    if 503 in statuses:
        return problem_response(ServiceUnavailable(detail, retry_after=too_slow().retry_after), errors=errors)
    common: type[HTTPException] = default_exceptions[status] if len(statuses) == 1 else UnprocessableEntity
    return problem_response(common(detail), errors=errors)

"""The JSON API, for programs.

========  ========================  =============================================
method    path                      answer
========  ========================  =============================================
POST      ``/api/v1/predictions``   class probabilities of one or several slices
GET       ``/api/v1/model``         what the model says of itself
GET       ``/healthz``              200 with a model, 503 without
========  ========================  =============================================
"""

from __future__ import annotations

import dataclasses
from typing import Any

from flask import Blueprint, Response, jsonify
from werkzeug.exceptions import HTTPException, UnprocessableEntity

from app.model import served_model
from app.prediction import Prediction, judge_each
from app.problems import problem, problem_response
from app.uploads import uploaded
from lung_tumor.metadata import ModelMetadata

NOTICE = "Research use only. Not a medical device."

blueprint = Blueprint("api", __name__)


@blueprint.post("/api/v1/predictions")
def predictions() -> Response:
    """Classify the slices in the multipart field ``file``, one or several.

    Answers 200 with ``{"model", "notice", "predictions"}``; ``predictions`` holds one object for each file, in the
    order sent: ``{"label", "probabilities"}``, or ``{"error": problem}`` for a file that could not be used, so that
    one bad file of a series does not take the answers of the others. Where no file could be used, the answer is
    problem+json: its status is 415 or 422 if all files share it, else 422; ``errors`` holds one problem for each file.

    Other problems: 400 no file, 413 too many files or bytes, 415 no form, 503 no model.
    """
    model = served_model()
    metadata = model.require().metadata
    answers = judge_each(uploaded(), model)
    errors = [answer for answer in answers if isinstance(answer, HTTPException)]
    if len(errors) == len(answers):
        return problem_response(_common(errors), errors=[problem(error) for error in errors])
    return jsonify(model=_brief(metadata), notice=NOTICE, predictions=[_entry(answer) for answer in answers])


@blueprint.get("/api/v1/model")
def model() -> Response:
    """Everything in the model's metadata."""
    return jsonify(dataclasses.asdict(served_model().require().metadata))


@blueprint.get("/healthz")
def healthz() -> Response:
    """Whether this process can answer, and with which model."""
    served = served_model()
    if served.predictor is None:
        response = jsonify(status="no model", reason=served.reason)
        response.status_code = 503
        return response
    return jsonify(status="ok", model=_brief(served.predictor.metadata))


def _brief(metadata: ModelMetadata) -> dict[str, Any]:
    return {
        name: getattr(metadata, name) for name in ("version", "created", "classes", "source", "synthetic", "warnings")
    }


def _entry(answer: Prediction | HTTPException) -> dict[str, Any]:
    if isinstance(answer, HTTPException):
        return {"error": problem(answer)}
    return {
        "label": answer.label,
        "probabilities": {name: round(value, 6) for name, value in answer.probabilities.items()},
    }


def _common(errors: list[HTTPException]) -> HTTPException:
    """One error that stands for all of them."""
    if len({(error.code, error.description) for error in errors}) == 1:
        return errors[0]
    summary = f"None of the {len(errors)} files could be used; `errors` says why for each, in the order sent."
    return type(errors[0])(summary) if len({error.code for error in errors}) == 1 else UnprocessableEntity(summary)

"""The page, for people. It works without JavaScript: one form, one answer."""

from __future__ import annotations

import base64

import cv2
from flask import Blueprint, current_app, render_template
from markupsafe import Markup

from app.model import served_model
from app.prediction import Prediction, judge
from app.uploads import uploaded
from lung_tumor.imaging import Pixels

HEADLINES = {
    400: "No slice was sent",
    404: "Page not found",
    405: "Not possible here",
    413: "The upload is too large",
    415: "This file type is not read",
    422: "This picture cannot be used",
    503: "There is no model yet",
}

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> tuple[str, int]:
    """The empty form, or how to train a model where there is none."""
    return _render(), 200 if served_model().predictor else 503


@blueprint.post("/")
def classify() -> str:
    """The answer for one slice, below it the form for the next."""
    served = served_model()
    served.require()
    (content,) = uploaded(at_most=1)
    return _render(prediction=judge(content, served))


def render_problem(status: int, detail: str) -> str:
    """The page that says what went wrong and what to do, with the form to try again."""
    return _render(problem={"headline": HEADLINES.get(status, "Something went wrong"), "detail": detail})


def _render(prediction: Prediction | None = None, problem: dict[str, str] | None = None) -> str:
    served = served_model()
    return render_template(
        "page.html",
        model=served.predictor.metadata if served.predictor else None,
        no_model=served.reason,
        prediction=prediction,
        picture=_data_uri(prediction.prepared) if prediction else None,
        problem=problem,
        max_bytes=current_app.config["MAX_CONTENT_LENGTH"],
    )


def _data_uri(pixels: Pixels) -> str:
    """(height, width) uint8 as a PNG that needs no second request and no file."""
    _, png = cv2.imencode(".png", pixels)
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode('ascii')}"


@blueprint.app_template_filter()
def percent(share: float) -> str:
    """A share in [0, 1] as people read it; what rounds to certainty is not shown as certainty."""
    if share > 0.999:
        return "> 99.9%"
    if share < 0.001:
        return "< 0.1%"
    return f"{share:.1%}"


@blueprint.app_template_filter()
def code(text: str) -> Markup:
    """Text with what stands in backticks set as code; everything else is escaped."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


@blueprint.app_template_filter()
def plain(name: str) -> str:
    """A class name with spaces for underscores."""
    return name.replace("_", " ")

"""The pages, for people. They work without JavaScript: one form, one answer; scripts add the comfort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, current_app, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import BadRequest

from app.model import RETRY_SECONDS, ServedModel, served_model
from app.prediction import Item, judge_uploads
from app.samples import FOLDER, SAMPLES
from app.uploads import uploaded
from lung_tumor.metadata import ModelMetadata
from lung_tumor.wording import chance, percent

HEADLINES = {
    0: "The server cannot be reached",
    400: "No slice was sent",
    401: "This server wants a token",
    404: "Page not found",
    405: "Not possible here",
    413: "The upload is too large",
    415: "This file type is not read",
    422: "This picture cannot be used",
    429: "Too many requests",
    500: "The server failed",
    503: "No answer now",
}
"""Plain words for each status, for the page and for its script."""

FIGURES = (
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("roc_auc", "ROC AUC"),
    ("average_precision", "Average precision"),
    ("mcc", "Matthews correlation"),
    ("brier", "Brier score (lower is better)"),
    ("log_loss", "Log loss (lower is better)"),
    ("calibration_error", "Expected calibration error (lower is better)"),
)
"""Figures of the model card, by their names among the metrics."""

blueprint = Blueprint("pages", __name__)


Page = tuple[str, int, dict[str, str]]
"""Text, status and headers."""


@blueprint.get("/")
def index() -> Page:
    """The empty form, or how to train a model where there is none."""
    served = served_model()
    return _page(_render(served), 200 if served.predictor else 503)


@blueprint.post("/")
def classify() -> Page:
    """The answer for each slice of an upload, below them the form for the next."""
    served = served_model()
    served.require()
    items = judge_uploads(_sent(), served, images=True)
    errors = [item.error["status"] for item in items if item.error]
    status = 200 if len(errors) < len(items) else 503 if 503 in errors else errors[0]
    return _page(_render(served, items), status)


@blueprint.get("/about")
def about() -> Page:
    """Model card and data card, from what the model says of itself."""
    served = served_model()
    page = render_template("about.html", **_told(served), figures=FIGURES)
    return _page(page, 200 if served.predictor else 503)


def render_problem(status: int, detail: str) -> str:
    """The page that says what went wrong and what to do, with the form to try again."""
    headline = HEADLINES.get(status, "Something went wrong")
    return _render(served_model(), problem={"headline": headline, "detail": detail})


def _page(text: str, status: int) -> Page:
    return text, status, {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}


def _sent() -> list[tuple[str, bytes]]:
    """The uploaded files, or the sample that was asked for, with their names."""
    if not (wanted := request.form.get("sample")):
        return uploaded()
    if wanted not in {sample.name for sample in SAMPLES}:
        raise BadRequest("There is no such sample. Go back and choose one of those shown.")
    return [(wanted, (FOLDER / wanted).read_bytes())]


def _render(served: ServedModel, items: Sequence[Item] = (), problem: dict[str, str] | None = None) -> str:
    """The page about ``served``, which is the model that gave the answers: another may have taken its place since."""
    told = _told(served)
    return render_template(
        "page.html",
        **told,
        items=items,
        problem=problem,
        blank=_blank(told["model"]) if told["model"] else None,
        headlines=HEADLINES,
        samples=SAMPLES,
        max_bytes=current_app.config["MAX_CONTENT_LENGTH"],
        max_files=current_app.config["MAX_FILES"],
        max_slices=current_app.config["MAX_SLICES"],
    )


def _told(served: ServedModel) -> dict[str, Any]:
    """What every page says of the model, or why there is none."""
    model = served.predictor.metadata if served.predictor else None
    return {"model": model, "digest": served.digest, "warnings": served.warnings, "no_model": served.reason}


def _blank(model: ModelMetadata) -> dict[str, Any]:
    """An answer without content: the script fills in the same markup that the server writes."""
    return {
        "name": "",
        "series": None,
        "position": None,
        "answer": "clear",
        "headline": "",
        "sentence": "",
        "suspicion": 0.0,
        "probabilities": dict.fromkeys(model.classes, 0.0),
        "operating_point": {"negative": "", "threshold": 0.0, "low": 0.0, "high": 0.0},
        "novelty": {"distance": 0.0, "threshold": 1.0},
        "images": {},
    }


@blueprint.app_template_filter("chance")
def shown_chance(probability: float) -> str:
    """A model's probability, in [0, 1]."""
    return unbroken(chance(probability))


@blueprint.app_template_filter("percent")
def shown_percent(share: float) -> str:
    """A chosen or measured share, in [0, 1]: all of what was counted is 100.0 %."""
    return unbroken(percent(share, 1))


@blueprint.app_template_filter()
def unbroken(text: str) -> str:
    """Text in which no line ends between a number and its per cent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


@blueprint.app_template_filter()
def millimetres(position: float) -> str:
    """A position along a series, with a true minus sign."""
    return f"{position:.1f}\N{NO-BREAK SPACE}mm".replace("-", "\N{MINUS SIGN}")


@blueprint.app_template_filter()
def code(text: str) -> Markup:
    """Text with what stands in backticks set as code; everything else is escaped."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


@blueprint.app_template_filter()
def plain(name: str) -> str:
    """Words with spaces for the underscores of class names."""
    return name.replace("_", " ")

"""The JSON API as an OpenAPI 3.1 document: https://spec.openapis.org/oas/v3.1.0.html."""

from __future__ import annotations

from typing import Any

import lung_tumor

Schema = dict[str, Any]

WHOLE_NUMBER, MOST = "[0-9]{1,7}", 9_999_999
"""How a number of slices is written, and the largest that can be."""

_WORDS = """\
Send slices of chest CT, get one of four answers for each: suspected, clear, uncertain (refer), or refused, where a \
picture is not like those that the model learnt from. Uploads stay in memory for the moment it takes to answer. \
Research use only. Not a medical device."""

_PROBLEMS = {
    "400": "No file was sent, `images` or `skip` is not as described here, the form is broken, or the body broke off.",
    "401": "The token is missing or wrong. Only where the operator set one.",
    "413": "Too many files or slices, or too many bytes.",
    "415": "The body is no multipart form, or no file is PNG, JPEG, DICOM or zip.",
    "422": "No file holds a slice that can be judged; `errors` says why for each.",
    "429": "Too many requests from one address; `Retry-After` says when to come again.",
    "503": "There is no model, as much to do as can be done, or no time for any slice; `Retry-After` says when to come again.",
}

_RETRY: Schema = {
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
_CHALLENGE: Schema = {"WWW-Authenticate": {"description": "Bearer.", "required": True, "schema": {"type": "string"}}}
_HEADERS = {"401": _CHALLENGE, "429": _RETRY, "503": _RETRY}


def document() -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chest-CT slice classifier",
            "version": lung_tumor.__version__,
            "description": _WORDS,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/api/v1/predictions": {"post": _predictions()},
            "/api/v1/model": {
                "get": _get("getModel", "What the model says of itself", _ref("Model"), "401", "429", "503")
            },
            "/api/v1/openapi.json": {
                "get": _get("getDocument", "This document", {"type": "object", "required": ["openapi"]}, "429")
            },
            "/healthz": {"get": _get("getHealth", "Whether the process lives", _ref("Health"))},
            "/readyz": {
                "get": _get(
                    "getReadiness", "Whether there is a model that has answered for a slice", _ref("Ready"), "503"
                )
            },
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "schemas": _schemas(),
            "responses": {status: _problem_answer(status, words) for status, words in _PROBLEMS.items()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def operations() -> list[Schema]:
    """Method, path and operation of each, for the page."""
    return [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]


def _predictions() -> Schema:
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                "description": "PNG, JPEG or DICOM files, or zips of them, told by their content.",
            },
            "images": {"type": "string", "enum": ["true", "false"], "description": "As in the query."},
            "skip": {"type": "string", "pattern": f"^{WHOLE_NUMBER}$", "description": "As in the query."},
        },
    }
    images = {
        "name": "images",
        "in": "query",
        "description": "Whether to add the slice as the model saw it, and what speaks for disease in it, as PNGs.",
        "schema": {"type": "boolean", "default": False},
    }
    skip = {
        "name": "skip",
        "in": "query",
        "description": "Slices at the beginning of the file that are not to be judged again. For one file alone, whose other "
        "slices there was no time for: the smallest `slice` among those of status 503.",
        "schema": {"type": "integer", "minimum": 0, "maximum": MOST, "default": 0},
    }
    return {
        "operationId": "judgeSlices",
        "summary": "Judge slices",
        "description": "Answers in the order sent; slices of one DICOM series stand together, by position. A slice that "
        "cannot be judged has an `error` and does not take the answers of the others; where its status is 503, there was no "
        "time for that slice: send its file again, with `skip`. Every file has an entry: one beyond the number of slices that "
        "are judged at a time has an `error` of status 413 that says what to do.",
        "security": [{}, {"bearer": []}],
        "parameters": [images, skip],
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": form, "encoding": {"file": {"style": "form"}}}},
        },
        "responses": {
            "200": _answer("An answer for each slice, at least one of them without error.", _ref("Predictions")),
            **_responses("400", "401", "413", "415", "422", "429", "503"),
        },
    }


def _get(name: str, summary: str, schema: Schema, *problems: str) -> Schema:
    found: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": _answer(summary + ".", schema), **_responses(*problems)},
    }
    return {**found, "security": [{}, {"bearer": []}]} if "401" in problems else found


def _metrics() -> Schema:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "operationId": "getMetrics",
        "summary": "Counts and times, in Prometheus's text format",
        "responses": {"200": {"description": "Counts and times.", "content": text}},
    }


def _answer(words: str, schema: Schema) -> Schema:
    header = {"description": "To be named to the operator when something went wrong.", "schema": {"type": "string"}}
    return {
        "description": words,
        "headers": {"X-Request-ID": header},
        "content": {"application/json": {"schema": schema}},
    }


def _problem_answer(status: str, words: str) -> Schema:
    answer = {"description": words, "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    return {**answer, "headers": _HEADERS[status]} if status in _HEADERS else answer


def _responses(*statuses: str) -> Schema:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, optional: tuple[str, ...] = (), **more: Any) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, **more}


def _schemas() -> Schema:
    text, flag, share = {"type": "string"}, {"type": "boolean"}, {"type": "number", "minimum": 0, "maximum": 1}
    words = {"type": "array", "items": text}
    brief = {
        "version": text,
        "created": {**text, "description": "ISO 8601, or empty."},
        "classes": {**words, "minItems": 2},
        "source": {**text, "description": "Where its slices came from."},
        "synthetic": {**flag, "description": "Whether it learnt from drawn slices: then no answer means anything."},
        "warnings": {
            **words,
            "description": "What the server's processor or the audit of its slices says against believing it.",
        },
        "precision": {"enum": ["float32", "int8"]},
        "digest": {**text, "description": "SHA-256 of the model file."},
    }
    whole = {
        **brief,
        "slices": {"type": "integer"},
        "preparation": {"type": "object"},
        "operating_point": {"type": "object"},
        "novelty": {"type": "object"},
        "metrics": {"type": "object"},
    }
    return {
        "Problem": _object(
            {
                "type": text,
                "title": text,
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": {**text, "description": "What is wrong and what to do."},
                "errors": {"type": "array", "items": {"type": "object"}, "description": "One problem for each file."},
            },
            optional=("errors",),
            description="RFC 9457.",
        ),
        "ModelInBrief": _object(brief),
        "Model": _object(whole),
        "Health": _object({"status": {"const": "alive"}}),
        "Ready": _object({"status": {"const": "ready"}, "model": _ref("ModelInBrief")}),
        "Predictions": _object(
            {
                "model": _ref("ModelInBrief"),
                "notice": text,
                "predictions": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"oneOf": [_ref("Judged"), _ref("Unusable")]},
                },
            }
        ),
        "Judged": _judged(text, share),
        "Unusable": _object({**_where(text), "error": _ref("Problem")}, additionalProperties=False),
    }


def _where(text: Schema) -> Schema:
    return {
        "name": {**text, "description": "Your name of the file, or of the file in the zip."},
        "file": {"type": "integer", "minimum": 0, "description": "Index of the uploaded file."},
        "slice": {
            "type": "integer",
            "minimum": 0,
            "description": "Its number in that file, from 0, as the file holds them.",
        },
    }


def _judged(text: Schema, share: Schema) -> Schema:
    number, maybe = {"type": ["number", "null"]}, {"type": ["string", "null"]}
    maybe_share = {**share, "type": ["number", "null"]}
    picture = {**text, "pattern": "^data:image/png;base64,"}
    point = {"negative": text, "threshold": share, "low": share, "high": share}
    properties = {
        **_where(text),
        "series": {
            **maybe,
            "description": "The same for slices of one DICOM series, until the server starts anew; not the series' UID.",
        },
        "position": {**number, "description": "Of a DICOM slice along its series, mm, growing towards the head."},
        "answer": {"enum": ["suspected", "clear", "uncertain", "refused"]},
        "headline": {**text, "description": "The answer in words."},
        "sentence": {**text, "description": "Why."},
        "label": {**maybe, "description": "The most probable class; null of a refused slice."},
        "suspicion": {
            **maybe_share,
            "description": "1 less the probability of the class that means no disease; null of a refused slice.",
        },
        "probabilities": {
            "type": ["object", "null"],
            "additionalProperties": share,
            "description": "Calibrated, by class; null of a refused slice, of which nothing can be believed.",
        },
        "operating_point": _object(point, description="Suspected from `threshold` on, referred from `low` to `high`."),
        "novelty": _object(
            {"distance": number, "threshold": {"type": "number"}},
            description="Distance to the slices learnt from, and the largest that is judged.",
        ),
        "images": _object(
            {"slice": picture, "evidence": {**picture, **maybe}, "class": maybe},
            description="The slice as the model saw it, and a transparent overlay of what speaks for `class` in it; "
            "these two are null of a refused slice.",
        ),
    }
    return _object(properties, optional=("images",), additionalProperties=False)

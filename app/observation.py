"""One line of log and one count for each request; none of them holds a name, a path, an address or a query."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

from flask import Flask, Response, g, request

from app.metrics import Metrics

log = logging.getLogger("app.requests")

HEADER = "X-Request-ID"

_ACCEPTED = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""A client's own request id: a UUID or 32 hexadecimal digits, so that it is neither a patient's name nor a day of birth."""

_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


def register(app: Flask, metrics: Metrics) -> None:
    """Time, count and log every request of the app, and give it an id. To be registered before anything else."""

    def begin() -> None:
        given = request.headers.get(HEADER, "")
        g.request_id = given if _ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        g.began = time.perf_counter()

    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.began
        # A route's name is the app's own; a path or a method is whatever a client writes.
        route = request.endpoint or "-"
        method = request.method if request.method in _METHODS else "-"
        response.headers[HEADER] = g.request_id
        metrics.count("requests", route=route, method=method, status=str(response.status_code))
        metrics.observe(route, seconds)
        fields = {
            "request_id": g.request_id,
            "method": method,
            "route": route,
            "status": response.status_code,
            "ms": round(1000.0 * seconds, 1),
        }
        log.info("request", extra={"fields": fields})
        return response

    app.before_request(begin)
    app.after_request(end)


class DiscreetFlask(Flask):
    """Flask, but for the path, which it would write beside what went wrong: a path may hold a patient's name."""

    def log_exception(self, exc_info: Any) -> None:
        """Log what nothing else caught."""
        fields = {"request_id": g.get("request_id", ""), "route": request.endpoint or "-"}
        log.error("a request failed", exc_info=exc_info, extra={"fields": fields})

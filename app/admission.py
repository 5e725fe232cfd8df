"""Who is let in: a token, a rate for each client, and no more work at a time than can be done well."""

from __future__ import annotations

import base64
import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import ServiceUnavailable, TooManyRequests, Unauthorized

from app.clients import client_of
from app.metrics import Metrics

_UNLIMITED = frozenset({"static", "api.healthz", "api.readyz", "api.metrics"})
"""What a monitor asks for however often it likes, and costs nothing."""

_GUARDED = frozenset({"api.predictions", "api.model", "pages.classify"})
"""What the token guards: all that judges, and the model. Without JavaScript a browser asks for it as a password."""

_REALM = "lung-tumor"

_MOST_CLIENTS = 10_000


class RateLimit:
    """A bucket of tokens for each client, refilled steadily (https://en.wikipedia.org/wiki/Token_bucket).

    Args:
        per_second: requests that a client may send in the long run; 0 for any number.
        burst: requests that it may send at once after a rest.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, client: str, now: float) -> float:
        """Take a token; 0 if there was one, else the seconds until there is."""
        if self._per_second <= 0.0:
            return 0.0
        with self._lock:
            tokens, then = self._buckets.pop(client, (float(self._burst), now))
            tokens = min(float(self._burst), tokens + (now - then) * self._per_second)
            wait = 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._per_second
            self._buckets[client] = (tokens if wait else tokens - 1.0, now)
            # The client unheard of for longest; its bucket is most likely full again.
            if len(self._buckets) > _MOST_CLIENTS:
                self._buckets.popitem(last=False)
            return wait


class Room:
    """Room for what requests hold, a body and then its answer, or the file that each unpacks, by number and by bytes.

    Args:
        requests: most of them.
        size: most bytes that they may hold together; what is larger is let in alone.
        share: of both, what one client may take, 0 to 1, so that it leaves room for others.
    """

    def __init__(self, requests: int, size: int, share: float) -> None:
        self._requests = requests
        self._size = size
        self._share = share
        self._lock = threading.Lock()
        self._held: list[tuple[str, int]] = []

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Room:
        """Room as the configuration bounds it."""
        return cls(int(config["MAX_REQUESTS"]), int(config["MAX_BYTES_AT_ONCE"]), float(config["CLIENT_SHARE"]))

    @property
    def taken(self) -> int:
        """Requests under way."""
        return len(self._held)

    @property
    def size(self) -> int:
        """Bytes that they hold together."""
        with self._lock:
            return sum(size for _, size in self._held)

    def enter(self, client: str, size: int) -> bool:
        """Take room for a client; whether there was some."""
        with self._lock:
            everyones = [taken for _, taken in self._held]
            own = [taken for whose, taken in self._held if whose == client]
            if not _fits(everyones, size, self._requests, self._size):
                return False
            if not _fits(own, size, self._share * self._requests, self._share * self._size):
                return False
            self._held.append((client, size))
            return True

    def swap(self, client: str, size: int, other: int) -> None:
        """Hold something else in its place, even where there is no room for it: it is there already."""
        with self._lock:
            self._held.remove((client, size))
            self._held.append((client, other))

    def leave(self, client: str, size: int) -> None:
        """Give it back."""
        with self._lock:
            self._held.remove((client, size))


def _fits(sizes: list[int], size: int, requests: float, most: float) -> bool:
    return not sizes or (len(sizes) + 1 <= requests and sum(sizes) + size <= most)


def register(app: Flask, metrics: Metrics) -> Room:
    """Look at every request before its body is read."""
    config = app.config
    rate = RateLimit(float(config["RATE_PER_SECOND"]), int(config["RATE_BURST"]))
    room = Room.of(config)
    token = str(config["TOKEN"] or "")

    def admit() -> None:
        if request.endpoint in _UNLIMITED:
            return
        client = this_client()
        wait = rate.seconds_to_wait(client, time.monotonic())
        if wait > 0.0:
            metrics.count("turned_away", reason="rate")
            raise TooManyRequests(
                "Too many requests came from your address. Wait a moment.", retry_after=math.ceil(wait)
            )
        if token and request.endpoint in _GUARDED and not _is_allowed(request.headers.get("Authorization", ""), token):
            metrics.count("turned_away", reason="token")
            raise _unauthorized()
        if request.method == "POST":
            _take(room, metrics, client, int(config["MAX_CONTENT_LENGTH"]))

    def hold_answer(response: Response) -> Response:
        """The body is of no more use, but the answer is held until it is written, and may be as large."""
        taken = g.pop("room_taken", None)
        if taken is not None:
            client, size = taken
            length = response.calculate_content_length() or 0
            room.swap(client, size, length)
            response.call_on_close(partial(room.leave, client, length))
        return response

    def let_go(_: BaseException | None) -> None:
        taken = g.pop("room_taken", None)
        if taken is not None:
            room.leave(*taken)

    app.before_request(admit)
    app.after_request(hold_answer)
    app.teardown_request(let_go)
    return room


def this_client() -> str:
    """Who sent the request that is being handled."""
    return client_of(request.remote_addr)


def _take(room: Room, metrics: Metrics, client: str, largest: int) -> None:
    length = request.content_length
    # In chunks, or too long and about to be refused: never held beyond the limit.
    size = largest if length is None else min(length, largest)
    if not room.enter(client, size):
        metrics.count("turned_away", reason="busy")
        raise ServiceUnavailable("The server has as much to do as it can. Try again in a few seconds.", retry_after=2)
    g.room_taken = client, size


def _unauthorized() -> Unauthorized:
    """How to say who one is: a browser asks a person only where the challenge is Basic; the page's script has its own way."""
    if request.endpoint == "pages.classify":
        words = "This server wants a token. Enter the one that the operator gave you as password, with any name."
        return Unauthorized(words, www_authenticate=WWWAuthenticate("basic", {"realm": _REALM, "charset": "UTF-8"}))
    words = "Send the header `Authorization: Bearer TOKEN` with the token that the operator gave you."
    return Unauthorized(words, www_authenticate=WWWAuthenticate("bearer", {"realm": _REALM}))


def _is_allowed(header: str, token: str) -> bool:
    scheme, _, given = header.partition(" ")
    # Headers arrive as Latin-1, whatever they are; bytes of UTF-8 that are spaces in Latin-1 belong to the token.
    sent = given.strip(" \t").encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            sent = base64.b64decode(sent, validate=True).partition(b":")[2]
        except ValueError:
            return False
    # In constant time: how long a comparison takes must not tell how much of a guess was right.
    return hmac.compare_digest(sent, token.encode()) and scheme.lower() in ("basic", "bearer")

"""Who is let in: a token, a rate for each client, and no more work at a time than can be done well."""

from __future__ import annotations

import hmac
import ipaddress
import math
import threading
import time
from collections import OrderedDict

from flask import Flask, g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import ServiceUnavailable, TooManyRequests, Unauthorized

from app.metrics import Metrics

_UNLIMITED = frozenset({"static", "api.healthz", "api.readyz", "api.metrics"})
"""What a monitor asks for however often it likes, and costs nothing."""

_GUARDED = frozenset({"api.predictions", "api.model"})
"""What the token guards: the API. The page has no users; put a proxy with a login before it where it needs one."""

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
    """Requests with a body that are under way, by number and by bytes.

    Args:
        requests: most of them.
        size: most bytes that their bodies may have together; a larger one is let in alone.
    """

    def __init__(self, requests: int, size: int) -> None:
        self._requests = requests
        self._size = size
        self._lock = threading.Lock()
        self._sizes: list[int] = []

    @property
    def taken(self) -> int:
        """Requests under way."""
        return len(self._sizes)

    def enter(self, size: int) -> bool:
        """Take room for a body; whether there was some."""
        with self._lock:
            fits = not self._sizes or sum(self._sizes) + size <= self._size
            if len(self._sizes) >= self._requests or not fits:
                return False
            self._sizes.append(size)
            return True

    def leave(self, size: int) -> None:
        """Give it back."""
        with self._lock:
            self._sizes.remove(size)


def register(app: Flask, metrics: Metrics) -> Room:
    """Look at every request before its body is read."""
    config = app.config
    rate = RateLimit(float(config["RATE_PER_SECOND"]), int(config["RATE_BURST"]))
    room = Room(int(config["MAX_REQUESTS"]), int(config["MAX_BYTES_AT_ONCE"]))
    token = str(config["TOKEN"] or "")

    def admit() -> None:
        if request.endpoint in _UNLIMITED:
            return
        wait = rate.seconds_to_wait(client_of(request.remote_addr), time.monotonic())
        if wait > 0.0:
            metrics.count("turned_away", reason="rate")
            raise TooManyRequests(
                "Too many requests came from your address. Wait a moment.", retry_after=math.ceil(wait)
            )
        if token and request.endpoint in _GUARDED and not _is_allowed(request.headers.get("Authorization", ""), token):
            metrics.count("turned_away", reason="token")
            raise Unauthorized(
                "Send the header `Authorization: Bearer TOKEN` with the token that the operator gave you.",
                www_authenticate=WWWAuthenticate("bearer", {"realm": "lung-tumor"}),
            )
        if request.method == "POST":
            _take(room, metrics, int(config["MAX_CONTENT_LENGTH"]))

    def let_go(_: BaseException | None) -> None:
        taken = g.pop("room_taken", None)
        if taken is not None:
            room.leave(taken)

    app.before_request(admit)
    app.teardown_request(let_go)
    return room


def client_of(address: str | None) -> str:
    """Who counts as one client: an address, of IPv6 the network of 2^64 that one customer gets."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    # A listener for both families sees every IPv4 client as ::ffff:…, all within one network.
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))


def _take(room: Room, metrics: Metrics, largest: int) -> None:
    length = request.content_length
    # In chunks, or too long and about to be refused: never held beyond the limit.
    size = largest if length is None else min(length, largest)
    if not room.enter(size):
        metrics.count("turned_away", reason="busy")
        raise ServiceUnavailable("The server has as much to do as it can. Try again in a few seconds.", retry_after=2)
    g.room_taken = size


def _is_allowed(header: str, token: str) -> bool:
    scheme, _, given = header.partition(" ")
    # In constant time: how long a comparison takes must not tell how much of a guess was right.
    # Headers arrive as Latin-1, whatever they are.
    right = hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
    return right and scheme.lower() == "bearer"

"""What is counted while serving, in Prometheus's text format (version 0.0.4).

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the latency histogram, seconds."""

_PREFIX = "lung_tumor_"
_COUNTERS = {
    "requests": "Requests answered, by route, method and status.",
    "answers": "Slices answered, by answer; `refused` are those unlike the slices learnt from.",
    "unusable_files": "Files that could not be judged, by status.",
    "turned_away": "Requests refused before any work, by reason.",
}
_LATENCY = "request_seconds"

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and one histogram, safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Labels], int] = {}
        self._latencies: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter.

        Raises:
            KeyError: there is none of that name.
        """
        _COUNTERS[name]
        key = name, tuple(labels.items())
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1

    def observe(self, route: str, seconds: float) -> None:
        """Add one request to the latency histogram."""
        with self._lock:
            counts = self._latencies.setdefault(route, [0] * (len(BUCKETS) + 1))
            counts[bisect_left(BUCKETS, seconds)] += 1
            self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def render(self, gauges: Mapping[str, tuple[str, float]], model: Mapping[str, str]) -> str:
        """All of it as text.

        Args:
            gauges: name to help and value, as of now.
            model: facts of the served model; empty where there is none.
        """
        with self._lock:
            counts, seconds = dict(self._counts), dict(self._seconds)
            latencies = {route: list(values) for route, values in self._latencies.items()}
        lines: list[str] = []
        for name, words in _COUNTERS.items():
            found = [(labels, value) for (counter, labels), value in counts.items() if counter == name]
            lines += _family(f"{name}_total", "counter", words, (("", labels, value) for labels, value in found))
        lines += _family(
            _LATENCY,
            "histogram",
            "Seconds from a request's head to its answer, by route.",
            (sample for route, values in latencies.items() for sample in _histogram(route, values, seconds[route])),
        )
        for name, (words, value) in gauges.items():
            lines += _family(name, "gauge", words, [("", (), value)])
        facts = tuple(model.items())
        lines += _family("model_info", "gauge", "The served model.", [("", facts, 1)] if facts else [])
        return "\n".join(lines) + "\n"


def _histogram(route: str, values: list[int], seconds: float) -> Iterable[tuple[str, Labels, float]]:
    label = ("route", route)
    for bound, total in zip([*map(str, BUCKETS), "+Inf"], accumulate(values), strict=True):
        yield "_bucket", (label, ("le", bound)), total
    yield "_sum", (label,), round(seconds, 6)
    yield "_count", (label,), sum(values)


def _family(name: str, kind: str, words: str, samples: Iterable[tuple[str, Labels, float]]) -> list[str]:
    full = _PREFIX + name
    lines = [f"# HELP {full} {words}", f"# TYPE {full} {kind}"]
    for suffix, labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        lines.append(f"{full}{suffix}{{{inside}}} {value:.12g}" if inside else f"{full}{suffix} {value:.12g}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

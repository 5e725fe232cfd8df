"""Where slices of all requests wait for the model."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from lung_tumor.imaging import Pixels
from lung_tumor.predictor import Judged, Predictor


class Engine:
    """Runs models for all threads of this process, in the order asked, each slice by itself.

    A slice that is asked for alone gets all cores. Slices asked for together get a run of one thread each: no thread waits
    for another, and the activations of few slices are held. Each slice names its own model, so a new one takes over at once
    and the old one ends with its last slice.

    Args:
        runs: at a time; each takes memory for its activations.
    """

    def __init__(self, runs: int) -> None:
        if runs < 1:
            raise ValueError(f"runs must be 1 or more, received {runs}")
        # Its threads start with the first slices, and so after the fork of a server that was started ahead.
        self._pool = ThreadPoolExecutor(runs, thread_name_prefix="model")
        self._lock = threading.Lock()
        self._asked = self._running = 0

    @property
    def waiting(self) -> int:
        """Slices that no run has taken yet."""
        # A run that ended a moment ago is still among those asked for.
        return self._asked - self._running

    def submit(self, predictor: Predictor, prepared: Pixels) -> Future[Judged]:
        """Ask for what ``predictor`` says of one prepared slice, (size, size) uint8.

        Returns:
            What will hold a :class:`Judged` of one row, or what the model raised. Cancelled, it is never run.
        """
        with self._lock:
            self._asked += 1
        answer = self._pool.submit(self._judge, predictor, prepared[np.newaxis])
        answer.add_done_callback(self._done)
        return answer

    def _judge(self, predictor: Predictor, prepared: Pixels) -> Judged:
        with self._lock:
            self._running += 1
            crowded = self._asked > 1
        try:
            return predictor.judge(prepared, crowded)
        finally:
            with self._lock:
                self._running -= 1

    def _done(self, _: Future[Judged]) -> None:
        with self._lock:
            self._asked -= 1

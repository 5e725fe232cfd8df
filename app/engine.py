"""Where slices of all requests wait for the model."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from lung_tumor.imaging import Pixels
from lung_tumor.predictor import Judged, Predictor


class _Job(NamedTuple):
    answer: Future[Judged]
    predictor: Predictor
    prepared: Pixels


class Engine:
    """Runs models for all threads of this process, each slice by itself.

    Clients take turns, and the slices of one are run in the order asked: one with hundreds waiting keeps another with one
    waiting for no more than a slice of each client.

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
        # Of each client that has any waiting, the one whose turn is next first.
        self._queues: OrderedDict[str, deque[_Job]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Slices that no run has taken yet."""
        # A run that ended a moment ago is still among those asked for.
        return self._asked - self._running

    def submit(self, predictor: Predictor, prepared: Pixels, client: str = "") -> Future[Judged]:
        """Ask for what ``predictor`` says of one prepared slice, (size, size) uint8, of a client.

        Returns:
            What will hold a :class:`Judged` of one row, or what the model raised. Cancelled, it is never run.
        """
        answer: Future[Judged] = Future()
        with self._lock:
            self._asked += 1
            self._queues.setdefault(client, deque()).append(_Job(answer, predictor, prepared[np.newaxis]))
        answer.add_done_callback(self._done)
        # One for each slice, whichever it will take.
        self._pool.submit(self._take)
        return answer

    def _take(self) -> None:
        with self._lock:
            client, queue = self._queues.popitem(last=False)
            job = queue.popleft()
            if queue:
                self._queues[client] = queue
        if not job.answer.set_running_or_notify_cancel():
            return
        try:
            job.answer.set_result(self._judge(job.predictor, job.prepared))
        except BaseException as error:  # noqa: BLE001 - whoever asked is to be told, whatever it is.
            job.answer.set_exception(error)
        finally:
            # The error holds this frame, and the answer the error: without this they would hold each other, and the model.
            del job

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

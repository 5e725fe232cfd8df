"""Where slices of all requests wait for the model, and the one thread that runs it on a few of them at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from lung_tumor.imaging import Pixels
from lung_tumor.predictor import Judged, Predictor


class _Job(NamedTuple):
    predictor: Predictor
    prepared: Pixels
    answer: Future[Judged]


class Engine:
    """Runs models for all threads of this process, in the order asked.

    One run at a time already uses every core; two would only compete. What waits meanwhile goes into the next run
    together. Each slice names its own model, so a new one takes over between two runs and the old one ends with its last
    slice.

    Args:
        batch: most slices of one run; each takes memory for its activations.
    """

    def __init__(self, batch: int) -> None:
        if batch < 1:
            raise ValueError(f"batch must be 1 or more, received {batch}")
        self._batch = batch
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Slices that no run has taken yet."""
        return self._jobs.qsize()

    def submit(self, predictor: Predictor, prepared: Pixels) -> Future[Judged]:
        """Ask for what ``predictor`` says of one prepared slice, (size, size) uint8.

        Returns:
            What will hold a :class:`Judged` of one row, or what the model raised. Cancelled, it is never run.
        """
        with self._starting:
            # Here and not before: a thread does not survive the fork of a server that was started ahead.
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="model", daemon=True)
                self._thread.start()
        answer: Future[Judged] = Future()
        self._jobs.put(_Job(predictor, prepared, answer))
        return answer

    def _run(self) -> None:
        held: _Job | None = None
        while True:
            jobs, held = self._gather(held or self._jobs.get())
            wanted = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            if wanted:
                _answer(wanted)
            # A model that was replaced must not stay in memory until the next slice comes.
            del jobs, wanted

    def _gather(self, first: _Job) -> tuple[list[_Job], _Job | None]:
        """What waits for the same model as ``first``, and the job that ended the search if it wants another."""
        jobs = [first]
        while len(jobs) < self._batch:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job.predictor is not first.predictor:
                return jobs, job
            jobs.append(job)
        return jobs, None


def _answer(jobs: Sequence[_Job]) -> None:
    try:
        judged = jobs[0].predictor.judge(np.stack([job.prepared for job in jobs]))
        rows = [_row(judged, index) for index in range(len(jobs))]
    # Whatever went wrong belongs to those who asked; this thread has to live on.
    except Exception as error:  # noqa: BLE001
        for job in jobs:
            job.answer.set_exception(error)
        return
    for job, row in zip(jobs, rows, strict=True):
        job.answer.set_result(row)


def _row(judged: Judged, index: int) -> Judged:
    part = slice(index, index + 1)
    return Judged(
        judged.probabilities[part], judged.evidence[part], judged.unusual_evidence[part], judged.distances[part]
    )

"""Where slices of all requests wait for the model."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from lung_tumor.imaging import Pixels
from lung_tumor.predictor import Judged, Predictor


class Engine:
    """Runs models for all threads of this process, in the order asked, each slice by itself.

    Two slices, each in a run of its own, keep two cores busier than one run of both: where one run waits for its slowest
    thread, the other goes on; and they take less memory for their activations. Each slice names its own model, so a new
    one takes over at once and the old one ends with its last slice.

    Args:
        runs: at a time; each takes memory for its activations.
    """

    def __init__(self, runs: int) -> None:
        if runs < 1:
            raise ValueError(f"runs must be 1 or more, received {runs}")
        # Its threads start with the first slices, and so after the fork of a server that was started ahead.
        self._pool = ThreadPoolExecutor(runs, thread_name_prefix="model")
        self._asked: set[Future[Judged]] = set()

    @property
    def waiting(self) -> int:
        """Slices that no run has taken yet."""
        return sum(not answer.running() for answer in tuple(self._asked))

    def submit(self, predictor: Predictor, prepared: Pixels) -> Future[Judged]:
        """Ask for what ``predictor`` says of one prepared slice, (size, size) uint8.

        Returns:
            What will hold a :class:`Judged` of one row, or what the model raised. Cancelled, it is never run.
        """
        answer = self._pool.submit(predictor.judge, prepared[np.newaxis])
        self._asked.add(answer)
        answer.add_done_callback(self._asked.discard)
        return answer

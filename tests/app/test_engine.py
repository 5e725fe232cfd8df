"""One thread runs the model for all: in order, a few slices at a time, and whatever happens."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

from app.engine import Engine
from lung_tumor.predictor import Judged, Predictor


class Slow:
    """Stands in for a Predictor that can be held: remembers its runs, fails on slices of 255."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.go = threading.Event()

    def judge(self, prepared: np.ndarray) -> Judged:
        self.go.wait(10)
        greys = prepared[:, 0, 0].tolist()
        self.runs.append(greys)
        if 255 in greys:
            raise RuntimeError("the model broke")
        rows = np.float32(greys)
        return Judged(rows[:, None], rows[:, None, None, None], rows[:, None, None, None], rows)


def picture(grey: int) -> np.ndarray:
    return np.full((4, 4), grey, np.uint8)


def test_what_waits_goes_into_the_next_run_together_and_no_more_than_fits():
    engine, model = Engine(batch=3), Slow()
    answers = [engine.submit(model, picture(grey)) for grey in range(8)]
    model.go.set()
    assert [int(answer.result(10).distances[0]) for answer in answers] == list(range(8))
    assert [grey for run in model.runs for grey in run] == list(range(8))
    assert max(map(len, model.runs)) == 3
    assert engine.waiting == 0


def test_slices_of_two_models_never_share_a_run():
    engine, first, second = Engine(batch=8), Slow(), Slow()
    order = [first, first, second, first, second, second]
    answers = [engine.submit(model, picture(grey)) for grey, model in enumerate(order)]
    first.go.set()
    second.go.set()
    assert [int(answer.result(10).distances[0]) for answer in answers] == list(range(6))
    assert sorted(grey for run in first.runs for grey in run) == [0, 1, 3]
    assert sorted(grey for run in second.runs for grey in run) == [2, 4, 5]


def test_a_model_that_breaks_tells_those_who_asked_and_goes_on():
    engine, model = Engine(batch=1), Slow()
    model.go.set()
    broken, whole = engine.submit(model, picture(255)), engine.submit(model, picture(7))
    with pytest.raises(RuntimeError, match="the model broke"):
        broken.result(10)
    assert whole.result(10).distances.tolist() == [7]


def test_what_nobody_waits_for_any_more_is_never_run():
    engine, model = Engine(batch=1), Slow()
    first, given_up, last = (engine.submit(model, picture(grey)) for grey in (1, 2, 3))
    assert given_up.cancel()
    model.go.set()
    last.result(10)
    assert first.done()
    assert model.runs == [[1], [3]]


def test_a_model_that_nobody_uses_any_more_is_let_go(make_model):
    engine, model = Engine(batch=2), Predictor(make_model(), threads=1)
    engine.submit(model, np.zeros((64, 64), np.uint8)).result(10)
    gone = weakref.ref(model)
    del model
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
        threading.Event().wait(0.02)
    assert gone() is None


def test_an_engine_that_could_hold_nothing_is_refused():
    with pytest.raises(ValueError, match="batch must be 1 or more, received 0"):
        Engine(batch=0)

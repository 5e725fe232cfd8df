"""Few slices at a time reach the model, in the order asked, whatever happens."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from app.engine import Engine
from lung_tumor.predictor import Judged, Predictor


class Slow:
    """Stands in for a Predictor that can be held: remembers its runs, fails on slices of 255."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.crowded: list[bool] = []
        self.go = threading.Event()
        self.inside = self.most_inside = 0
        self._lock = threading.Lock()

    def judge(self, prepared: np.ndarray, crowded: bool = False) -> Judged:
        self.crowded.append(crowded)
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        self.go.wait(10)
        with self._lock:
            self.inside -= 1
        greys = prepared[:, 0, 0].tolist()
        self.runs.append(greys)
        if 255 in greys:
            raise RuntimeError("the model broke")
        rows = np.float32(greys)
        return Judged(rows[:, None], rows[:, None, None, None], rows[:, None, None, None], rows)


def picture(grey: int) -> np.ndarray:
    return np.full((4, 4), grey, np.uint8)


def until(condition) -> None:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)


def test_slices_run_by_themselves_in_the_order_asked_and_no_more_at_a_time_than_allowed():
    engine, model = Engine(runs=2), Slow()
    answers = [engine.submit(model, picture(grey)) for grey in range(8)]
    until(lambda: model.inside == 2)
    assert (model.inside, engine.waiting) == (2, 6)
    model.go.set()
    assert [int(answer.result(10).distances[0]) for answer in answers] == list(range(8))
    assert sorted(model.runs) == [[grey] for grey in range(8)]
    assert model.most_inside == 2
    until(lambda: engine.waiting == 0)
    assert engine.waiting == 0


def test_a_slice_alone_may_take_all_cores_and_those_side_by_side_one_each():
    engine, model = Engine(runs=2), Slow()
    alone = engine.submit(model, picture(0))
    until(lambda: model.inside == 1)
    beside = engine.submit(model, picture(1))
    until(lambda: model.inside == 2)
    model.go.set()
    alone.result(10), beside.result(10)
    until(lambda: engine.waiting == 0)
    engine.submit(model, picture(2)).result(10)
    assert model.crowded == [False, True, False]


def test_a_client_with_one_slice_does_not_wait_for_another_with_hundreds():
    engine, model = Engine(runs=1), Slow()
    flood = [engine.submit(model, picture(grey % 200), "flood") for grey in range(300)]
    until(lambda: model.inside == 1)
    single = engine.submit(model, picture(222), "single")
    more = [engine.submit(model, picture(grey), "two") for grey in (230, 231)]
    assert engine.waiting == 302
    model.go.set()
    single.result(10)
    for answer in (*flood, *more):
        answer.result(10)
    greys = [grey for (grey,) in model.runs]
    # The clients take turns from the slice on that had already begun.
    assert greys[:7] == [0, 1, 222, 230, 2, 231, 3]
    assert [grey for grey in greys if grey < 200] == [grey % 200 for grey in range(300)]
    until(lambda: engine.waiting == 0)
    assert (engine.waiting, dict(engine._queues)) == (0, {})


def test_what_was_given_up_leaves_nothing_behind():
    engine, model = Engine(runs=1), Slow()
    answers = [engine.submit(model, picture(grey), client) for grey, client in enumerate("aabb")]
    until(lambda: model.inside == 1)
    assert [answer.cancel() for answer in answers] == [False, True, True, True]
    assert engine.waiting == 0
    model.go.set()
    assert engine.submit(model, picture(9), "b").result(10).distances.tolist() == [9]
    assert model.runs == [[0], [9]]
    assert dict(engine._queues) == {}


def test_each_slice_is_judged_by_the_model_that_it_names():
    engine, first, second = Engine(runs=2), Slow(), Slow()
    order = [first, first, second, first, second, second]
    answers = [engine.submit(model, picture(grey)) for grey, model in enumerate(order)]
    first.go.set()
    second.go.set()
    assert [int(answer.result(10).distances[0]) for answer in answers] == list(range(6))
    assert sorted(first.runs) == [[0], [1], [3]]
    assert sorted(second.runs) == [[2], [4], [5]]


def test_a_model_that_breaks_tells_those_who_asked_and_goes_on():
    engine, model = Engine(runs=1), Slow()
    model.go.set()
    broken, whole = engine.submit(model, picture(255)), engine.submit(model, picture(7))
    with pytest.raises(RuntimeError, match="the model broke"):
        broken.result(10)
    assert whole.result(10).distances.tolist() == [7]


def test_what_nobody_waits_for_any_more_is_never_run():
    engine, model = Engine(runs=1), Slow()
    first, given_up, last = (engine.submit(model, picture(grey)) for grey in (1, 2, 3))
    assert given_up.cancel()
    model.go.set()
    last.result(10)
    assert first.done()
    assert model.runs == [[1], [3]]


def test_a_model_that_nobody_uses_any_more_is_let_go(make_model):
    engine, model = Engine(runs=2), Predictor(make_model(), threads=1)
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
    with pytest.raises(ValueError, match="runs must be 1 or more, received 0"):
        Engine(runs=0)

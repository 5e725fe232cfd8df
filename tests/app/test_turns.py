"""Turns go round among clients, however much each has waiting."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from app.turns import Turns


def waiting(turns: Turns) -> int:
    return sum(map(len, turns._waiting.values()))


def test_no_more_turns_are_taken_than_there_are_and_none_is_lost():
    turns, inside, most, lock = Turns(2), 0, 0, threading.Lock()

    def work(number: int) -> None:
        nonlocal inside, most
        assert turns.acquire(str(number % 3), 20)
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.001)
        with lock:
            inside -= 1
        turns.release()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(200)))
    assert most == 2
    assert (turns._free, waiting(turns)) == (2, 0)


def test_a_client_that_has_many_waiting_does_not_come_before_one_that_has_one():
    turns, served = Turns(1), []
    assert turns.acquire("a", 0)

    def wait(client: str) -> None:
        assert turns.acquire(client, 20)
        served.append(client)
        turns.release()

    threads = [threading.Thread(target=wait, args=(client,)) for client in "aaaabaac"]
    for count, thread in enumerate(threads, start=1):
        thread.start()
        while waiting(turns) < count:
            time.sleep(0.001)
    turns.release()
    for thread in threads:
        thread.join()
    assert "".join(served) == "abcaaaaa"


def test_who_waited_too_long_leaves_no_trace():
    turns = Turns(1)
    assert turns.acquire("a", 0)
    assert not turns.acquire("b", 0.01)
    assert not turns.acquire("b", 0)
    assert waiting(turns) == 0
    turns.release()
    assert turns.acquire("b", 0)

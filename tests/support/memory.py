"""Resident memory of a server and of the processes that it started."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


def memory_mb(pid: int) -> float:
    """Of a process and all below it, MiB."""
    parent = psutil.Process(pid)
    return sum(process.memory_info().rss for process in (parent, *parent.children(recursive=True))) / 2**20


@contextmanager
def memory_watched(pid: int, every_s: float = 0.02) -> Iterator[list[float]]:
    """What it was every so often within the block, MiB: the first before it began, the last after its end."""
    found = [memory_mb(pid)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(every_s):
            found.append(memory_mb(pid))

    thread = threading.Thread(target=look, name="memory")
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.append(memory_mb(pid))

"""Turns at something that few can do at a time, given to clients in rotation."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque


class Turns:
    """A semaphore at which one client with a hundred waiting keeps another with one waiting for a single turn of its own.

    Args:
        count: turns taken at a time.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, deque[threading.Event]] = OrderedDict()

    def acquire(self, client: str, timeout: float) -> bool:
        """Wait for a turn, so many seconds at most; whether it came."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            come = threading.Event()
            self._waiting.setdefault(client, deque()).append(come)
        if come.wait(timeout):
            return True
        with self._lock:
            # It may have come just now.
            if come.is_set():
                return True
            self._waiting[client].remove(come)
            if not self._waiting[client]:
                del self._waiting[client]
            return False

    def release(self) -> None:
        """Give the turn to the next client, or back."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            client, waiting = self._waiting.popitem(last=False)
            waiting.popleft().set()
            if waiting:
                self._waiting[client] = waiting

"""What a search may choose from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lung_tumor.network import NetworkOptions
from lung_tumor.options import as_tuple, require_types

CHOICES = ("feature_blocks", "head", "hidden_units", "views", "frozen_blocks")
"""Options that are chosen from a list."""

RANGES = ("dropout", "l2", "learning_rate")
"""Options that are drawn from a range."""

LOGARITHMIC = ("l2", "learning_rate")
"""Those of them that are drawn evenly by their logarithm."""


@dataclass(frozen=True)
class TuningOptions:
    """``params:tuning.search``. A list of one, or a range whose ends are equal, fixes that option.

    Attributes:
        trials: number of configurations, the present one among them; at least 2.
        timeout_s: seconds after which no further trial begins; None waits for all. What is found then depends on the machine.
        feature_blocks: sets of blocks that the head may read (:class:`~lung_tumor.network.NetworkOptions`, as the next three).
        head: ways to pool.
        hidden_units: widths of hidden layers; an empty list is a linear head.
        frozen_blocks: how many blocks stay frozen; below 5 each trial fine-tunes, which costs minutes, and the head reads
            what trains (:attr:`~lung_tumor.network.NetworkOptions.read_blocks`).
        dropout: range, each end in [0, 1).
        l2: range, above 0.
        learning_rate: range of the head's rate, in (0, 1).
        views: numbers of changed views of each training slice beside the slice itself.
    """

    trials: int = 50
    timeout_s: float | None = None
    feature_blocks: tuple[tuple[int, ...], ...] = ((4,), (3, 4), (4, 5), (3, 4, 5), (5,))
    head: tuple[str, ...] = ("average", "max")
    hidden_units: tuple[tuple[int, ...], ...] = ((), (32,))
    frozen_blocks: tuple[int, ...] = (5,)
    dropout: tuple[float, float] = (0.0, 0.5)
    l2: tuple[float, float] = (0.00001, 0.1)
    learning_rate: tuple[float, float] = (0.0003, 0.03)
    views: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        for name in (*CHOICES, *RANGES):
            object.__setattr__(self, name, as_tuple(getattr(self, name)))
        for name in ("feature_blocks", "hidden_units"):
            self._require_lists(name)
        require_types(self, "search")
        if self.trials < 2:
            raise ValueError(f"search.trials must be at least 2, the first is the present one, received {self.trials}")
        self._require_time()
        for name in CHOICES:
            self._require_choices(name)
        self._require_ranges()
        if all(len(getattr(self, name)) == 1 for name in CHOICES) and all(
            low == high for low, high in (getattr(self, name) for name in RANGES)
        ):
            raise ValueError("search leaves nothing to choose; give at least one option several choices or a range")

    def _require_time(self) -> None:
        given: Any = self.timeout_s
        if given is None:
            return
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0.0 < given < math.inf:
            raise ValueError(f"search.timeout_s must be a positive number of seconds or null, received {given!r}")

    def _require_lists(self, name: str) -> None:
        choices = getattr(self, name)
        if not isinstance(choices, tuple) or not all(isinstance(choice, list | tuple) for choice in choices):
            raise ValueError(f"search.{name} must be a list of lists, such as [[4], [3, 4]], received {choices!r}")
        object.__setattr__(self, name, tuple(as_tuple(choice) for choice in choices))

    def _require_choices(self, name: str) -> None:
        """Each choice is one that the network takes; the same choice twice is one."""
        choices: Sequence[Any] = getattr(self, name)
        if not choices:
            raise ValueError(f"search.{name} must hold at least one choice, received none")
        if name == "views":
            if min(choices) < 0:
                raise ValueError(f"search.views must be 0 or more each, received {list(choices)}")
        elif name == "frozen_blocks":
            if not set(choices) <= set(range(6)):
                raise ValueError(f"search.frozen_blocks must lie in [0, 5] each, received {list(choices)}")
        else:
            try:
                choices = [getattr(NetworkOptions(**{name: choice}), name) for choice in choices]
            except ValueError as error:
                raise ValueError(f"search.{name} holds a choice that no network takes: {error}") from None
        object.__setattr__(self, name, tuple(dict.fromkeys(choices)))

    def _require_ranges(self) -> None:
        limits = {"dropout": "[0, 1)", "l2": "(0, 100]", "learning_rate": "(0, 1)"}
        for name in RANGES:
            low, high = getattr(self, name)
            top = 100.0 if name == "l2" else 1.0
            fits = (low > 0.0 or (low == 0.0 and name == "dropout")) and (high < top or (high == top and name == "l2"))
            if not (low <= high and fits):
                raise ValueError(
                    f"search.{name} must be [lowest, highest] within {limits[name]}, received {[low, high]}"
                )

"""Pictures with their labels and remembered activations: what every fit, fold and search reads from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from lung_tumor.augmentation import AugmentationOptions, view
from lung_tumor.features import Activations, Remembered, Slices
from lung_tumor.fitting import LabelledActivations
from lung_tumor.imaging import Pixels
from lung_tumor.network import Cut

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Cohort:
    """Some pictures of a data set.

    Attributes:
        remembered: activations of every view of every picture, picture by picture, the picture itself first.
        first: (n,) row of ``remembered`` at which each picture begins.
        views: (n,) further views of each picture.
        labels: (n,) index of each picture's class.
        groups: (n,) group of each picture.
        folds: (n,) fold of each picture.
    """

    remembered: Remembered | Loaded
    first: Indices
    views: Indices
    labels: npt.NDArray[np.int64]
    groups: Sequence[str]
    folds: npt.NDArray[np.int64]

    def rows(self, pictures: Indices, views: int | None) -> Indices:
        """Rows of these pictures, each followed by its first ``views`` views, or by all that it has."""
        counts = self._counts(pictures, views)
        starts = np.cumsum(counts) - counts
        within = np.arange(counts.sum()) - np.repeat(starts, counts)
        return np.asarray(np.repeat(self.first[pictures], counts) + within, dtype=np.intp)

    def labels_of(self, pictures: Indices, views: int | None) -> npt.NDArray[np.int64]:
        """Label of each of :meth:`rows`."""
        return np.repeat(self.labels[pictures], self._counts(pictures, views))

    def _counts(self, pictures: Indices, views: int | None) -> Indices:
        further = self.views[pictures]
        return (further if views is None else np.minimum(further, views)) + 1

    def loaded(self, cuts: Sequence[Cut], pictures: Indices, views: int | None = 0) -> LabelledActivations:
        """Small activations, such as pooled ones, in memory."""
        values = self.remembered.read(self.rows(pictures, views), cuts)
        return LabelledActivations(values, self.labels_of(pictures, views))

    def stored(self, cuts: Sequence[Cut], pictures: Indices, views: int | None = 0) -> StoredActivations:
        """Large activations, read a batch at a time."""
        return StoredActivations(
            self.remembered, self.rows(pictures, views), tuple(cuts), self.labels_of(pictures, views)
        )

    def in_memory(self) -> Cohort:
        """The same with all activations read: for those that are small and read again and again."""
        if isinstance(self.remembered, Loaded):
            return self
        cuts = self.remembered.cuts
        values = self.remembered.read(np.arange(len(self.remembered)), cuts)
        return replace(self, remembered=Loaded(dict(zip(cuts, values, strict=True))))


@dataclass(frozen=True)
class Loaded:
    """Activations in memory, read as :class:`~lung_tumor.features.Remembered` ones are."""

    values: dict[Cut, npt.NDArray[np.float32]]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def fingerprint(self, indices: Indices, cuts: Sequence[Cut]) -> bytes:
        """Digest of these activations."""
        digest = hashlib.blake2b(digest_size=16)
        for array in self.read(indices, cuts):
            digest.update(f"{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return digest.digest()

    def compute(self, title: str) -> int:  # noqa: ARG002
        """Nothing is missing."""
        return 0

    def read(self, indices: Indices, cuts: Sequence[Cut]) -> Activations:
        """One array for each cut, rows as in ``indices``."""
        return [self.values[cut][indices] for cut in cuts]


@dataclass(frozen=True)
class StoredActivations:
    """Labelled activations that stay where they are until a batch of them is read."""

    remembered: Remembered | Loaded
    rows: Indices
    cuts: tuple[Cut, ...]
    labels: npt.NDArray[np.int64]

    def read(self, indices: Indices) -> Activations:
        """One array for each cut, rows as in ``indices``."""
        return self.remembered.read(self.rows[indices], self.cuts)

    def fingerprint(self) -> bytes:
        """Digest of which activations these are; the labels have no part in it."""
        return self.remembered.fingerprint(self.rows, self.cuts)


def representatives(labels: npt.NDArray[np.int64], groups: Sequence[str], most: int) -> Indices:
    """At most so many slices, as even over the classes, and within a class over its groups, as there are slices.

    Of every group of a class one slice is taken before a second of any, and of every class as many as of the others.

    Args:
        labels: (n,) index of each slice's class.
        groups: (n,) group of each.
        most: 1 or more.

    Returns:
        Positions, ascending.
    """
    if most < 1:
        raise ValueError(f"most must be 1 or more, received {most}")
    taken: Counter[tuple[int, str]] = Counter()
    turns = []
    for label, group in zip(labels.tolist(), groups, strict=True):
        turns.append(taken[label, group])
        taken[label, group] += 1
    # Within a class by turn, then all classes by their place in that order.
    places = np.empty(len(turns), dtype=np.intp)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        places[members[np.argsort(np.array(turns)[members], kind="stable")]] = np.arange(len(members))
    return np.sort(np.argsort(places, kind="stable")[:most])


def all_views(
    slices: Slices, views: Sequence[int], options: AugmentationOptions, seed: int
) -> tuple[list[Callable[[], Pixels]], Indices]:
    """Every picture followed by as many further views as are asked for.

    Args:
        slices: a call opens one prepared slice.
        views: (n,) number of further views of each.
        options: how a view differs; its own number of views is not read.
        seed: of the views.

    Returns:
        The slices and their views, and the position of each picture among them.
    """
    opened: list[Callable[[], Pixels]] = []
    first = []
    for open_slice, further in zip(slices, views, strict=True):
        first.append(len(opened))
        opened.append(open_slice)
        opened.extend(partial(_open_view, open_slice, number, options, seed) for number in range(1, further + 1))
    return opened, np.array(first, dtype=np.intp)


def _open_view(open_slice: Callable[[], Pixels], number: int, options: AugmentationOptions, seed: int) -> Pixels:
    return view(open_slice(), number, options, seed)

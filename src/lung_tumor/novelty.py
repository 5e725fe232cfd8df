"""Whether a slice is like those learnt from: its distance to them among the network's pooled features.

The distance is the cosine distance to the k-th nearest training slice. Two things are beyond pooled features, and each adds
1, which lies beyond any threshold; so a distance is 0 to 3, averages of what a ReLU gives being never negative. They hardly
know up from down: a slice may be more like the mean of training slices turned upside down than like their mean upright. And
preparation makes display windows alike: only what a window has cut off, even areas in place of texture, tells a narrow one
(:func:`cut_off`). In operations of a served graph, for a slice whose blocks have the activations ``a[b]``, (channels, height,
width) after pooling::

    rows[b]  = mean of a[b] over its width                            (channels, height)
    part[b]  = (band_weights(height, bands) @ rows[b].T) / its L2 norm, flattened band by band
    f        = concatenate(part[b] for b in blocks) / sqrt(number of blocks)
    distance = 1 - (neighbours-th largest of references @ f) + (1 if upright @ f < 0 else 0) + (1 if cut > most_cut_off else 0)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lung_tumor.options import as_tuple, require_types

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

CUT_OFF_ACCEPTED = 0.98
"""Share of training slices whose share of even pixels is accepted."""

LEAST_CUT_OFF = 0.1
"""A share of even pixels that every collection may have: a lung window leaves up to so many (docs/adr/0007)."""

MOST_CUT_OFF = 0.25
"""A share of even pixels that is not accepted, whatever the training slices have: narrow windows leave 0.30 and more.

Without it three posterised slices of a hundred would be enough for every window to pass.
"""


@dataclass(frozen=True)
class NoveltyRule:
    """When a slice is refused.

    Attributes:
        threshold: largest distance that is accepted; well below 1, averages of what a ReLU gives being never negative.
        neighbours: the distance is that to the so-many-th nearest training slice.
        acceptance: share of training slices that the threshold accepts, each judged without its own group.
        references: number of training slices that distances are taken to.
        blocks: of which blocks' averages the features are made.
        bands: in how many horizontal bands, one above the other, each block is averaged.
        most_cut_off: largest share of even pixels (:func:`cut_off`) that is accepted; 1 accepts all.
        learnt: number of training slices it was chosen on; 0 where that is not known, as are the next two.
        accepted: how many of them the whole rule accepts, each distance taken without the own group.
        too_cut_off: how many of them have more even pixels than ``most_cut_off``.
    """

    threshold: float
    neighbours: int
    acceptance: float
    references: int
    blocks: tuple[int, ...]
    bands: int = 1
    most_cut_off: float = 1.0
    learnt: int = 0
    accepted: int = 0
    too_cut_off: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))


@dataclass(frozen=True)
class NoveltyOptions:
    """``params:serving.novelty``.

    Attributes:
        blocks: of which blocks' averages the features are made, 1 to 5.
        bands: in how many horizontal bands, one above the other, each block is averaged; more of them tell up from down.
        neighbours: the distance is that to the so-many-th nearest training slice, 1 or more.
        acceptance: share of training slices to be accepted, each judged without its own group, in (0, 1].
        most_references: number of training slices that the model carries at most, 2 or more; of more, those that lie farthest
            from each other.
    """

    blocks: tuple[int, ...] = (4,)
    bands: int = 2
    neighbours: int = 3
    acceptance: float = 0.97
    most_references: int = 600

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", as_tuple(self.blocks))
        require_types(self, "novelty")
        if not self.blocks or not set(self.blocks) <= set(range(1, 6)):
            raise ValueError(f"novelty.blocks must be one or more of [1, 2, 3, 4, 5], received {self.blocks}")
        object.__setattr__(self, "blocks", tuple(sorted(set(self.blocks))))
        for name, least in (("bands", 1), ("neighbours", 1), ("most_references", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"novelty.{name} must be {least} or more, received {getattr(self, name)}")
        if not 0.0 < self.acceptance <= 1.0:
            raise ValueError(f"novelty.acceptance must lie in (0, 1], received {self.acceptance}")


class Novelty(NamedTuple):
    """What the served model carries to judge a slice.

    Attributes:
        references: (m, d) float32, the features of the training slices that were kept, rows of length 1.
        upright: (d,) float32, the direction of the mean of training slices less that of the same upside down.
        rule: when a slice is refused.
    """

    references: Floats
    upright: Floats
    rule: NoveltyRule


def unit(features: Floats) -> Floats:
    """Rows divided by their length, (n, d) float32; a row of nothing but zeros stays zero."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), dtype=np.float32)


def band_weights(rows: int, bands: int) -> Floats:
    """How much each of ``rows`` counts in each band, (bands, rows) float32; each band's weights sum to 1.

    The picture's height is cut into equal bands; a row that a border cuts through counts in both, by its share.
    """
    edges, borders = np.linspace(0.0, 1.0, rows + 1), np.linspace(0.0, 1.0, bands + 1)
    shared = np.minimum(edges[1:], borders[1:, None]) - np.maximum(edges[:-1], borders[:-1, None])
    return np.asarray(np.maximum(shared, 0.0) * bands, dtype=np.float32)


def cut_off(slices: Pixels) -> Floats:
    """Share of even pixels: of those above 0, how many equal both the pixel to the right and the one below.

    Where a display window ends, all that lies beyond becomes one grey: soft tissue is even in a bone window, lungs are in a
    soft-tissue window. Noise leaves few such pixels elsewhere.

    Args:
        slices: prepared, (n, size, size) uint8.

    Returns:
        (n,), 0 to 1; 0 where nothing lies above 0.
    """
    pixels, right, below = slices[:, :-1, :-1], slices[:, :-1, 1:], slices[:, 1:, :-1]
    bright = pixels > 0
    even = bright & (pixels == right) & (pixels == below)
    return np.asarray(even.sum(axis=(1, 2)) / np.maximum(bright.sum(axis=(1, 2)), 1), dtype=np.float32)


def fit(features: Floats, flipped: Floats, cut: Floats, groups: Sequence[str], options: NoveltyOptions) -> Novelty:
    """Choose references, the threshold and how much may be cut off.

    Where groups are few, so that some slice has fewer references of other groups than ``options.neighbours``, the rule takes
    as many neighbours as every slice has; with two single slices that is one. The share that a threshold from a handful of
    slices accepts is hardly known, but never less among them than asked for.

    Args:
        features: (n, d) of training slices, ``f`` above, rows of length 1.
        flipped: (n, d) of the same prepared slices upside down (``prepared[::-1]``).
        cut: (n,) the share of each that is cut off (:func:`cut_off`).
        groups: (n,) group of each.
        options: see :class:`NoveltyOptions`.

    Returns:
        See :class:`Novelty`. The threshold is the quantile ``options.acceptance`` of the leave-one-group-out distances, to the
        references that were kept, rounded up to one of them: at least that share of the slices does not exceed it. The few
        slices that are taken for upside down are refused beside that: they must not raise the threshold for all. So are those
        of which more is cut off than of :data:`CUT_OFF_ACCEPTED` of them, and than :data:`MOST_CUT_OFF`. What all three accept
        together is counted in the rule.

    Raises:
        ValueError: all slices are of one group.
    """
    if len(set(groups)) < 2:
        raise ValueError("novelty needs slices of two groups or more to know how far slices differ, received one group")
    named, kept = np.asarray(groups), _spread(features, groups, options.most_references)
    neighbours = min(options.neighbours, *(int((named[kept] != name).sum()) for name in set(groups)))
    held_out = _without_own_group(features, groups, kept, neighbours)
    threshold = float(np.quantile(held_out, options.acceptance, method="higher"))
    of_slices = float(np.quantile(cut, CUT_OFF_ACCEPTED, method="higher"))
    most_cut_off = min(max(LEAST_CUT_OFF, of_slices), MOST_CUT_OFF)
    upright, narrow = _upright(features, flipped), cut > np.float32(most_cut_off)
    passed = (held_out <= threshold) & (features @ upright >= 0.0) & ~narrow
    rule = NoveltyRule(
        threshold=threshold,
        neighbours=neighbours,
        acceptance=options.acceptance,
        references=len(kept),
        blocks=options.blocks,
        bands=options.bands,
        most_cut_off=most_cut_off,
        learnt=len(features),
        accepted=int(passed.sum()),
        too_cut_off=int(narrow.sum()),
    )
    return Novelty(np.ascontiguousarray(features[kept], dtype=np.float32), upright, rule)


def _upright(features: Floats, flipped: Floats) -> Floats:
    means = unit(np.stack([features.mean(axis=0), flipped.mean(axis=0)]))
    return np.asarray(means[0] - means[1], dtype=np.float32)


def _nearest(similarities: Floats, neighbours: int) -> Floats:
    place = similarities.shape[1] - neighbours
    return np.asarray(1.0 - np.partition(similarities, place, axis=1)[:, place], dtype=np.float32)


def _without_own_group(features: Floats, groups: Sequence[str], kept: npt.NDArray[np.intp], neighbours: int) -> Floats:
    named = np.asarray(groups)
    similarities = features @ features[kept].T
    similarities[named[:, None] == named[kept]] = -np.inf
    return _nearest(similarities, neighbours)


def _spread(features: Floats, groups: Sequence[str], most: int) -> npt.NDArray[np.intp]:
    """At most so many rows that lie far from each other, in ascending order: farthest first (Gonzalez 1985).

    It begins with the slice nearest to the mean, then takes one of another group, if there is one. What is left out lies no
    farther from something kept than the last that was kept, so that no corner is lost.
    """
    if len(features) <= most:
        return np.arange(len(features))
    named = np.asarray(groups)
    chosen = [int((features @ features.mean(axis=0)).argmax())]
    nearest = features @ features[chosen[0]]
    others = np.flatnonzero(named != named[chosen[0]])
    while len(chosen) < most:
        following = int(others[nearest[others].argmin()]) if len(chosen) == 1 and others.size else int(nearest.argmin())
        chosen.append(following)
        nearest = np.maximum(nearest, features @ features[following])
        nearest[chosen] = np.inf
    return np.sort(np.asarray(chosen, dtype=np.intp))

"""Whether evidence lies where the truth lies, and whether it matters to the classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lung_tumor.body import find_body
from lung_tumor.imaging import Mask, Pixels
from lung_tumor.overlays import finer

Maps = npt.NDArray[np.floating[Any]]
"""Evidence of one class, (n, rows, columns)."""

_REACH = 4
"""From how far around greys are taken to fill what is hidden, pixels."""


def pointing(maps: Maps, masks: Mask, within_pixels: float = 8.0) -> float:
    """The pointing game (Zhang et al., ECCV 2016): share of slices whose strongest evidence lies on the mass.

    Args:
        maps: (n, rows, columns); they point at the peak of what is shown (:func:`lung_tumor.overlays.finer`).
        masks: (n, size, size) bool, none of them empty.
        within_pixels: distance from the mass that still counts as a hit, pixels of the slice.

    Returns:
        0 to 1.

    Raises:
        ValueError: a mask is empty.
    """
    _require_masks(maps, masks)
    hits = [_points_at(values, mask, within_pixels) for values, mask in zip(maps, masks, strict=True)]
    return float(np.mean(hits))


def _points_at(values: npt.NDArray[np.floating[Any]], mask: Mask, within: float) -> bool:
    fine = finer(values, mask.shape)
    row, column = np.unravel_index(fine.argmax(), fine.shape)
    rows, columns = np.nonzero(mask)
    return float(np.hypot(rows - row, columns - column).min()) <= within


def inside_ratio(maps: Maps, masks: Mask) -> float:
    """Share of positive evidence inside the mass, over the share of the slice that the mass takes.

    Both shares are averaged over slices before one is divided by the other, so that a tiny mass does not rule. 1 means that
    evidence does not know of the mass. A slice without positive evidence has none inside.

    Args:
        maps: (n, rows, columns), judged as they are shown (:func:`lung_tumor.overlays.finer`).
        masks: (n, size, size) bool, none of them empty.

    Raises:
        ValueError: a mask is empty.
    """
    _require_masks(maps, masks)
    shares = []
    for values, mask in zip(maps, masks, strict=True):
        positive = finer(values, mask.shape)
        shares.append(float(positive[mask].sum()) / max(float(positive.sum()), 1e-12))
    return float(np.mean(shares) / masks.mean())


def _coverage(mask: Mask, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Share of each cell of a map that a mask covers."""
    return np.asarray(cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA))


def _require_masks(maps: Maps, masks: Mask) -> None:
    empty = int((~masks.any(axis=(1, 2))).sum())
    if empty or not len(masks) or len(maps) != len(masks):
        raise ValueError(
            f"a mask that is not empty is needed for each of one or more slices, received {len(maps)} maps and "
            f"{len(masks)} masks, {empty} of them empty"
        )


@dataclass(frozen=True)
class Deletion:
    """What hiding a part of a slice does to its suspicion.

    Attributes:
        evidence: mean fall where the part with the most evidence is hidden.
        random: mean fall where a part of the same shape at a random place of the body is.
        slices: number of slices.
    """

    evidence: float
    random: float
    slices: int


def deletion(
    predict: Callable[[Pixels], npt.NDArray[np.floating[Any]]],
    slices: Pixels,
    maps: Maps,
    share: float = 0.05,
    seed: int = 0,
    draws: int = 3,
) -> Deletion:
    """Hide the evidence, and as much elsewhere, by filling it with the greys around it (Telea, J. Graphics Tools 2004).

    What is hidden elsewhere has the same shape, moved to where it lies within the body, so that it is as ragged; places
    that overlap the evidence are among the random ones.

    Args:
        predict: from prepared slices, (n, size, size) uint8, to their suspicion, (n,).
        slices: (n, size, size) uint8, such as suspected ones.
        maps: (n, rows, columns), evidence for the suspicion.
        share: share of the slice that is hidden, in (0, 1).
        seed: of the random places.
        draws: number of random places for each slice.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share must lie in (0, 1), received {share}")
    rng = np.random.default_rng(seed)
    falls: list[list[float]] = []
    for picture, values in zip(slices, maps, strict=True):
        cells = _strongest(values, share)
        body = _coverage(_body(picture), values.shape) > 0.5
        hidden = [cells, *(_moved(cells, body, rng) for _ in range(draws))]
        seen = predict(np.stack([picture, *(_hide(picture, part) for part in hidden)]))
        falls.append([float(seen[0]) - float(value) for value in seen[1:]])
    found = np.array(falls)
    return Deletion(float(found[:, 0].mean()), float(found[:, 1:].mean()), len(slices))


def _strongest(values: npt.NDArray[np.floating[Any]], share: float) -> Mask:
    """The cells with the most evidence, (rows, columns) bool."""
    count = max(1, round(share * values.size))
    cells = np.zeros(values.size, dtype=np.bool_)
    cells[np.argsort(-values, axis=None, kind="stable")[:count]] = True
    return cells.reshape(values.shape)


def _body(picture: Pixels) -> Mask:
    body = find_body(picture)
    return np.ones(picture.shape, dtype=np.bool_) if body is None else body.inside(*picture.shape)


def _moved(cells: Mask, body: Mask, rng: np.random.Generator) -> Mask:
    """The same shape, perhaps mirrored, at one of the places where most of it lies within the body."""
    shape = np.argwhere(cells[:: rng.choice([1, -1]), :: rng.choice([1, -1])])
    shape -= shape.min(axis=0)
    rows, columns = np.array(body.shape) - shape.max(axis=0)
    inside = np.zeros((rows, columns), dtype=np.int64)
    for row, column in shape:
        inside += body[row : row + rows, column : column + columns]
    places = np.argwhere(inside == inside.max())
    moved = np.zeros_like(body)
    moved[tuple((shape + places[rng.integers(len(places))]).T)] = True
    return moved


def _hide(picture: Pixels, cells: Mask) -> Pixels:
    wide = cv2.resize(cells.astype(np.uint8), picture.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.inpaint(picture, wide, _REACH, cv2.INPAINT_TELEA), dtype=np.uint8)

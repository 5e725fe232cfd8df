"""Whether two slices show the same picture: local features, one affine map, then agreement of fine structure.

SIFT (Lowe, IJCV 2004; RootSIFT: Arandjelović and Zisserman, CVPR 2012) finds points that survive crops, scales and
contrast; RANSAC (Fischler and Bolles, CACM 1981) finds the one map they share. That much holds for neighbouring slices of
one patient too, whose ribs and mediastinum barely differ. What tells them apart is the fine structure, vessels and grain:
in a copy it correlates nearly everywhere once both lie on one grid, in a neighbour only here and there. Of all pairs of the
real collection's 249 distinct files, copies correlate at 0.97 or more and other slices at 0.75 or less; between lie only
views of one slice through two grey windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from lung_tumor.imaging import Pixels
from lung_tumor.options import require_types

Points = npt.NDArray[np.float32]
Descriptors = npt.NDArray[np.uint8]
Affine = npt.NDArray[np.float64]
Similarities = npt.NDArray[np.float32]

Kind = Literal["copy", "window", "none"]
COPY: Kind = "copy"
"""The same picture: cropped, rescaled, recompressed, drawn over, flipped, its contrast changed."""
WINDOW: Kind = "window"
"""The same slice through another grey window: one anatomy, so never on two sides of a split, but another picture."""
NONE: Kind = "none"

_MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1, :, [0, 7, 6, 5, 4, 3, 2, 1]].ravel()
"""Order in which the numbers of a SIFT descriptor are those of the mirrored picture (Guo et al., MIFT, 2010)."""

_STRETCH = (0.01, 0.995)
"""Shares of pixels below black and below white, so that a dim slice gives as many points as a bright one."""

_STRIDE = 8
"""Pixels between the windows in which structure is compared."""

_SATURATED = (2, 253)
"""Grey values at which a picture no longer says what was there."""

_SIMILAR = 0.85
"""Cosine of two descriptors above which they may show one point, once a map brings the points together."""

_FLAT = 1.5
"""Standard deviation, in grey values, below which a window holds no structure to compare."""


@dataclass(frozen=True)
class GeometryOptions:
    """How two pictures are compared; lengths are pixels of the working copy.

    Attributes:
        side: longest side of the working copy, larger and smaller pictures are resampled to it, in [128, 1024].
        keypoints: SIFT points kept of each picture, strongest first, in [50, 5000].
        ratio: largest distance of a match relative to the second best (Lowe's test), in (0, 1].
        reprojection: largest distance between a matched point and its mapped partner, in (0, 20].
        min_inliers: matches that must share one map before pixels are compared, at least 4.
        max_scale: largest magnification between the working copies, either way, above 1.
        max_stretch: largest ratio of the magnifications along two axes, at least 1.
        min_overlap: share of the smaller picture that must lie on the other, in (0, 1].
        window: side of the windows in which structure is compared, odd, in [9, 129].
        min_area: share of the overlap that must hold structure in both pictures, unsaturated, in (0, 1].
        min_correlation: median correlation of a copy's windows, in (0, 1].
        min_window_correlation: the same for one slice through two grey windows, in (0, ``min_correlation``].
        min_consistency: share of a copy's windows that must correlate above 0.6, so that no half of a picture decides, in
            [0, 1]; strokes and letters drawn over a copy spoil the windows around them.
        min_window_consistency: the same for one slice through two grey windows, in [0, 1].
    """

    side: int = 448
    keypoints: int = 500
    ratio: float = 0.88
    reprojection: float = 4.0
    min_inliers: int = 8
    max_scale: float = 4.0
    max_stretch: float = 1.4
    min_overlap: float = 0.3
    window: int = 33
    min_area: float = 0.03
    min_correlation: float = 0.9
    min_window_correlation: float = 0.77
    min_consistency: float = 0.6
    min_window_consistency: float = 0.7

    def __post_init__(self) -> None:
        require_types(self, "duplicates.geometry")
        _require(128 <= self.side <= 1024, "side", "[128, 1024]", self.side)
        _require(50 <= self.keypoints <= 5000, "keypoints", "[50, 5000]", self.keypoints)
        _require(0.0 < self.reprojection <= 20.0, "reprojection", "(0, 20]", self.reprojection)
        _require(self.min_inliers >= 4, "min_inliers", "[4, inf)", self.min_inliers)
        _require(self.max_scale > 1.0, "max_scale", "(1, inf)", self.max_scale)
        _require(self.max_stretch >= 1.0, "max_stretch", "[1, inf)", self.max_stretch)
        _require(9 <= self.window <= 129 and self.window % 2 == 1, "window", "the odd numbers of [9, 129]", self.window)
        for name in ("ratio", "min_overlap", "min_area", "min_correlation"):
            _require(0.0 < getattr(self, name) <= 1.0, name, "(0, 1]", getattr(self, name))
        for name in ("min_consistency", "min_window_consistency"):
            _require(0.0 <= getattr(self, name) <= 1.0, name, "[0, 1]", getattr(self, name))
        _require(
            0.0 < self.min_window_correlation <= self.min_correlation,
            "min_window_correlation",
            f"(0, min_correlation = {self.min_correlation}]",
            self.min_window_correlation,
        )


def _require(holds: bool, name: str, where: str, received: float) -> None:
    if not holds:
        raise ValueError(f"duplicates.geometry.{name} must lie in {where}, received {received}")


@dataclass(frozen=True)
class Signature:
    """What is kept of one picture, about 200 kB whatever its size.

    Attributes:
        grey: working copy, (height, width) uint8, its longest side ``GeometryOptions.side``.
        points: positions (x, y) on the working copy, (n, 2) float32.
        descriptors: RootSIFT times 255, (n, 128) uint8.
        blur: working pixels to a pixel of the original, at least 1: 2 means enlarged to twice its size.
    """

    grey: Pixels
    points: Points
    descriptors: Descriptors
    blur: float


@dataclass(frozen=True)
class Verification:
    """What the comparison of two pictures found.

    Attributes:
        kind: ``copy``, ``window`` or ``none``.
        inliers: matches that share one map.
        flipped: whether the second picture is mirrored.
        scale: its magnification relative to the first, working copies.
        rotation: degrees, in (-180, 180]; a picture turned upside down is mirrored and turned by 180.
        overlap: share of the smaller picture that lies on the other.
        area: share of the overlap where structure could be compared.
        correlation: median correlation of the windows, -1 to 1.
        consistency: share of the windows that correlate above 0.6.
    """

    kind: Kind
    inliers: int = 0
    flipped: bool = False
    scale: float = 1.0
    rotation: float = 0.0
    overlap: float = 0.0
    area: float = 0.0
    correlation: float = 0.0
    consistency: float = 0.0


def sign(pixels: Pixels, options: GeometryOptions) -> Signature:
    """Reduce one picture, (height, width) uint8, to what comparisons need; a pure function of its arguments."""
    height, width = pixels.shape
    scale = options.side / max(height, width)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    grey = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC)
    grey = _stretch(np.asarray(grey, dtype=np.uint8))
    # A CLAHE or SIFT object is not safe to share between threads, and costs microseconds.
    equalised = cv2.createCLAHE(2.0, (8, 8)).apply(grey)
    detector = cv2.SIFT.create(nfeatures=options.keypoints, contrastThreshold=0.02, edgeThreshold=12.0)
    found, raw = detector.detectAndCompute(equalised, None)
    # SIFT may return a few more points than asked for; cutting keeps the order, which is not by strength, so sort first.
    order = sorted(range(len(found)), key=lambda i: (-found[i].response, found[i].pt, found[i].angle))
    order = order[: options.keypoints]
    points = np.array([found[i].pt for i in order], dtype=np.float32).reshape(-1, 2)
    descriptors = np.zeros((0, 128), np.float32) if raw is None else np.asarray(raw, dtype=np.float32)[order]
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))
    return Signature(grey, points, np.rint(root * 255.0).astype(np.uint8), max(1.0, scale))


def mirrored(signature: Signature) -> Signature:
    """The signature of the mirrored picture, without looking for points again."""
    grey = np.ascontiguousarray(signature.grey[:, ::-1])
    return Signature(grey, _mirrored_points(signature), signature.descriptors[:, _MIRRORED], signature.blur)


def _mirrored_points(signature: Signature) -> Points:
    last = np.array([signature.grey.shape[1] - 1, 0], np.float32)
    return np.asarray(signature.points * np.array([-1, 1], np.float32) + last, dtype=np.float32)


def normalised(descriptors: Descriptors) -> Points:
    """Unit vectors, float32, of the same shape: their products are cosines."""
    values = descriptors.astype(np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6))


def verify(first: Signature, second: Signature, options: GeometryOptions) -> Verification:
    """Compare two pictures, the second as it is and mirrored.

    Returns:
        The better of both ways; ``kind`` is ``none`` as soon as one requirement of ``options`` is missed.
    """
    start, end = normalised(first.descriptors), normalised(second.descriptors)
    # One product for both ways; a mirrored descriptor is the same numbers in another order.
    similarities = start @ np.concatenate([end, end[:, _MIRRORED]]).T
    ways = []
    for flipped in (False, True):
        similar = similarities[:, len(end) :] if flipped else similarities[:, : len(end)]
        points = _mirrored_points(second) if flipped else second.points
        ways.append((*_register(first.points, points, similar, options), flipped))
    inliers, affine, flipped = max(ways, key=lambda way: (way[1] is not None, way[0], not way[2]))
    if affine is None:
        return Verification(NONE, inliers, flipped)
    return _judge(first, mirrored(second) if flipped else second, affine, inliers, flipped, options)


def _judge(
    first: Signature, second: Signature, affine: Affine, inliers: int, flipped: bool, options: GeometryOptions
) -> Verification:
    scale = float(np.sqrt(np.linalg.det(affine[:, :2])))
    rotation = float(np.degrees(np.arctan2(affine[1, 0] - affine[0, 1], affine[0, 0] + affine[1, 1])))
    # The coarser picture is laid on the finer one's grid: enlarging cannot alias.
    if scale > 1.0:
        agreement, overlap, area = _agreement(second, first, _inverse(affine), options)
    else:
        agreement, overlap, area = _agreement(first, second, affine, options)
    correlation = float(np.median(agreement)) if agreement.size else 0.0
    consistency = float(np.mean(agreement > 0.6)) if agreement.size else 0.0
    kind = NONE
    if overlap >= options.min_overlap and area >= options.min_area:
        if correlation >= options.min_correlation and consistency >= options.min_consistency:
            kind = COPY
        elif correlation >= options.min_window_correlation and consistency >= options.min_window_consistency:
            kind = WINDOW
    return Verification(kind, inliers, flipped, scale, rotation, overlap, area, correlation, consistency)


def _stretch(grey: Pixels) -> Pixels:
    cumulative = np.cumsum(np.bincount(grey.ravel(), minlength=256)) / grey.size
    low, high = (int(np.searchsorted(cumulative, share)) for share in _STRETCH)
    table = (np.arange(256, dtype=np.float32) - low) * (255.0 / max(high - low, 8))
    return np.asarray(np.rint(np.clip(table, 0.0, 255.0)), dtype=np.uint8)[grey]


def _register(
    first: Points, second: Points, similarities: Similarities, options: GeometryOptions
) -> tuple[int, Affine | None]:
    """Number of matches that share one map from the first to the second points, and that map if there are enough."""
    pairs = _matches(similarities, options.ratio)
    if len(pairs) < options.min_inliers:
        return 0, None
    # OpenCV seeds this estimator itself, anew at each call.
    affine, inliers = cv2.estimateAffine2D(
        first[pairs[:, 0]],
        second[pairs[:, 1]],
        method=cv2.RANSAC,
        ransacReprojThreshold=options.reprojection,
        maxIters=2000,
        confidence=0.995,
    )
    count = 0 if inliers is None else int(inliers.sum())
    if affine is None or count < options.min_inliers or not _plausible(np.asarray(affine, np.float64), options):
        return count, None
    return count, _refine(np.asarray(affine, np.float64), first, second, similarities, options)


def _matches(similarities: Similarities, ratio: float) -> npt.NDArray[np.intp]:
    """Pairs (n, 2) of points that are each other's nearest, clearly nearer than the second nearest."""
    if min(similarities.shape) < 2:
        return np.zeros((0, 2), np.intp)
    rows = np.arange(len(similarities))
    nearest = similarities.argmax(axis=1)
    best = similarities[rows, nearest]
    # Only the few mutual matches need their second best.
    mutual = rows[best == similarities.max(axis=0)[nearest]]
    others = similarities[mutual]
    others[np.arange(len(mutual)), nearest[mutual]] = -1.0
    clear = (1.0 - best[mutual]) <= ratio**2 * (1.0 - others.max(axis=1))  # squared distances of unit vectors
    kept = mutual[clear]
    return np.stack([kept, nearest[kept]], axis=1)


def _plausible(affine: Affine, options: GeometryOptions) -> bool:
    """Whether a map is one that copying makes: no reflection, no fold, little stretch."""
    large, small = np.linalg.svd(affine[:, :2], compute_uv=False)
    if np.linalg.det(affine[:, :2]) <= 0.0 or small <= 0.0:
        return False
    return bool(large / small <= options.max_stretch and 1.0 / options.max_scale < small <= large < options.max_scale)


def _refine(
    affine: Affine, first: Points, second: Points, similarities: Similarities, options: GeometryOptions
) -> Affine | None:
    """Fit the map again to every pair of similar points that it brings together, within ever less distance."""
    rows, columns = np.nonzero(similarities > _SIMILAR)
    # The most similar partner of a row stands first.
    order = np.lexsort((-similarities[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    start = np.c_[first, np.ones(len(first))].astype(np.float64)[rows]
    goal = second[columns].astype(np.float64)
    for distance in (1.5 * options.reprojection, 0.5 * options.reprojection):
        near = np.flatnonzero(((start @ affine.T - goal) ** 2).sum(axis=1) < distance**2)
        kept = near[np.unique(rows[near], return_index=True)[1]]
        if len(kept) < options.min_inliers:
            return None
        solution, *_ = np.linalg.lstsq(start[kept], goal[kept], rcond=None)
        affine = np.asarray(solution.T)
    return affine if _plausible(affine, options) else None


def _inverse(affine: Affine) -> Affine:
    return np.asarray(cv2.invertAffineTransform(affine), dtype=np.float64)


def _agreement(
    frame: Signature, other: Signature, affine: Affine, options: GeometryOptions
) -> tuple[Points, float, float]:
    """Local correlations of fine structure on the grid of ``frame``.

    Band-passed greys are compared, so that any smooth change of contrast drops out; saturated places are left out, so that
    a clipped picture is judged by what it still shows.

    Returns:
        Correlations (n,) of the windows that hold structure in both, the overlap and the share of it they cover.
    """
    height, width = frame.grey.shape
    flags = cv2.WARP_INVERSE_MAP
    laid = np.asarray(cv2.warpAffine(other.grey, affine, (width, height), flags=flags | cv2.INTER_CUBIC), np.uint8)
    inside = np.full(other.grey.shape, 255, np.uint8)
    inside = np.asarray(cv2.warpAffine(inside, affine, (width, height), flags=flags | cv2.INTER_NEAREST), np.uint8)
    scale = float(np.sqrt(np.linalg.det(affine[:, :2])))
    smaller = min(frame.grey.size, other.grey.size / scale**2)
    overlap = float(np.count_nonzero(inside)) / smaller
    core = cv2.erode(inside, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    usable = ((np.asarray(core) > 0) & ~_saturated(frame.grey) & ~_saturated(laid)).astype(np.float32)
    # Nothing finer than the coarser picture's own pixels can agree.
    fine = float(np.clip(0.6 * max(frame.blur, other.blur / scale), 1.0, 3.0))
    correlation, weight = _local_correlation(_band(frame.grey, fine), _band(laid, fine), usable, options.window)
    covered = int(np.count_nonzero(_thin(inside, options.window)))
    return correlation, min(overlap, 1.0), weight / max(covered, 1)


def _saturated(grey: Pixels) -> npt.NDArray[np.bool_]:
    """Where a picture is black or white over more than a few pixels, and the edge around."""
    extreme = ((grey <= _SATURATED[0]) | (grey >= _SATURATED[1])).astype(np.uint8)
    opened = cv2.morphologyEx(extreme, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.dilate(opened, np.ones((5, 5), np.uint8))) > 0


def _band(grey: Pixels, fine: float) -> Points:
    """Structure between about ``fine`` and four times ``fine`` pixels, float32."""
    values = grey.astype(np.float32)
    narrow, wide = (np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32) for sigma in (fine, 4.0 * fine))
    return narrow - wide


def _thin(field: npt.NDArray[Any], window: int) -> npt.NDArray[Any]:
    """Values at the centres of the windows that lie inside the picture."""
    half = window // 2
    return field[half : field.shape[0] - half : _STRIDE, half : field.shape[1] - half : _STRIDE]


def _local_correlation(first: Points, second: Points, usable: Points, window: int) -> tuple[Points, int]:
    """Pearson's correlation in each window over its usable pixels; windows half unusable or flat are left out."""

    def mean(field: Points) -> Points:
        return np.asarray(_thin(cv2.blur(field, (window, window), borderType=cv2.BORDER_CONSTANT), window), np.float32)

    share = mean(usable)
    whole = np.maximum(share, 1e-6)
    a, b = usable * first, usable * second
    mean_a, mean_b = mean(a) / whole, mean(b) / whole
    variance_a, variance_b = mean(a * first) / whole - mean_a**2, mean(b * second) / whole - mean_b**2
    covariance = mean(a * second) / whole - mean_a * mean_b
    used = (share > 0.5) & (variance_a > _FLAT**2) & (variance_b > _FLAT**2)
    correlation = covariance[used] / np.sqrt(variance_a[used] * variance_b[used])
    return np.asarray(correlation, dtype=np.float32), int(np.count_nonzero(used))

"""Which files of a collection show the same picture, at a cost that grows with the number of files and not its square.

Each picture is reduced to a signature of bounded size, kept on disk. Its nearest neighbours in a few cheap descriptions,
also as its mirror image, are the candidates; :mod:`lung_tumor.geometry` verifies each; groups are connected components.

Neighbours are sought by scikit-learn's exact index. Among 4,000 pictures one round takes 1.4 ms of processor time for each
picture, of well over 100 ms in all (benchmarks/near_duplicates.py), so an approximate index would save nothing that shows.
On the 249 distinct files of the real collection the groups are those that verifying all 30,876 pairs gives.
"""

from __future__ import annotations

import io
import itertools
import struct
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import MiniBatchKMeans
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from lung_tumor.geometry import (
    COPY,
    NONE,
    WINDOW,
    Descriptors,
    GeometryOptions,
    Signature,
    Verification,
    mirrored,
    normalised,
    sign,
    verify,
)
from lung_tumor.imaging import Pixels
from lung_tumor.options import require_types

Pair = tuple[int, int]
Labels = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
View = tuple[Vectors, Vectors]
"""One description of every picture, (n, d) each: of the picture itself and of its mirror image."""

_THREADS = 2
_CACHED = 128
"""Signatures held in memory at once."""

_HEADER = struct.Struct("<3qd")
"""What stands before a stored signature: height, width, number of points, blur."""

_SAMPLE = 40_000
"""Descriptors from which the visual words are learnt."""


@dataclass(frozen=True)
class DuplicateOptions:
    """``params:data_ingestion.duplicates``.

    Attributes:
        neighbours: candidates that each description proposes for each picture, either way round, in [1, 100].
        words: visual words of the aggregated local features, in [4, 256].
        rounds: how often neighbours are sought, each time among one picture of each group found before, in [1, 10]; later
            rounds join groups so large that their members crowd each other's neighbourhoods.
        witnesses: other pairs tried where a single weak pair holds two groups together, in [0, 20]; 0 tries none.
        strong_correlation: a pair that correlates at least this much needs no witness, in (0, 1].
        geometry: how candidates are verified.
    """

    neighbours: int = 5
    words: int = 32
    rounds: int = 3
    witnesses: int = 3
    strong_correlation: float = 0.95
    geometry: GeometryOptions = field(default_factory=GeometryOptions)

    def __post_init__(self) -> None:
        # Kedro hands over YAML mappings.
        if isinstance(self.geometry, Mapping):
            object.__setattr__(self, "geometry", GeometryOptions(**self.geometry))
        require_types(self, "duplicates")
        ranges = {"neighbours": (1, 100), "words": (4, 256), "rounds": (1, 10), "witnesses": (0, 20)}
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"duplicates.{name} must lie in [{low}, {high}], received {getattr(self, name)}")
        if not 0.0 < self.strong_correlation <= 1.0:
            raise ValueError(f"duplicates.strong_correlation must lie in (0, 1], received {self.strong_correlation}")


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        pictures: (n,) int64, equal for files that show the same picture; numbered by first appearance.
        slices: (n,) int64, equal for pictures of the same slice: copies, and views through other grey windows. These must
            stay on one side of a split.
        pairs: one row per verified pair, ``first`` < ``second`` and the fields of :class:`Verification`, sorted.
        compared: number of candidate pairs that were looked at.
    """

    pictures: Labels
    slices: Labels
    pairs: pd.DataFrame
    compared: int


def find_duplicates(
    pictures: Sequence[Callable[[], Pixels]],
    options: DuplicateOptions,
    embeddings: Sequence[View] = (),
) -> Duplicates:
    """Group pictures that are copies of one another.

    Args:
        pictures: a call opens one, (height, width) uint8 at its full size; files of equal pixels are best passed once.
        options: see :class:`DuplicateOptions`.
        embeddings: further descriptions to seek candidates in, such as pooled VGG16 features, each a pair of (n, d) float32
            arrays: of the pictures and of their mirror images, the same array twice where mirror images were not computed.

    Returns:
        The same for the same arguments, whatever the number of threads.

    Raises:
        ValueError: an embedding has another number of rows than there are pictures.
    """
    for plain, mirror in embeddings:
        if not len(plain) == len(mirror) == len(pictures):
            raise ValueError(
                f"an embedding needs a row for each of {len(pictures)} pictures, received {len(plain)} and {len(mirror)}"
            )
    with SignatureStore() as store:
        _sign_all(pictures, store, options)
        views = [*describe(store, options), *embeddings] if pictures else []
        found = _seek(store, views, options)
        kept = _cut_weak_bridges(store, found, options)
    pairs = [pair for pair in sorted(kept) if kept[pair].kind != NONE]
    columns = ["first", "second", *(column.name for column in fields(Verification))]
    rows = [{"first": pair[0], "second": pair[1], **asdict(kept[pair])} for pair in pairs]
    return Duplicates(
        pictures=group(len(pictures), [pair for pair in pairs if kept[pair].kind == COPY]),
        slices=group(len(pictures), pairs),
        pairs=pd.DataFrame(rows, columns=columns),
        compared=len(found),
    )


def group(count: int, pairs: Iterable[Pair]) -> Labels:
    """Connected components of ``count`` items under ``pairs``, (count,) int64, numbered by first appearance."""
    ends = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], dtype=np.int64)


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Threads of ours, while OpenCV and BLAS keep to one each: theirs would fight over the same cores."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(_THREADS) as pool:
            yield pool
    finally:
        cv2.setNumThreads(before)


# --- Signatures, kept on disk -----------------------------------------------------------------------------------------


class SignatureStore:
    """Signatures in one temporary file, the last used in memory: what is held does not grow with the collection."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._places: list[Pair] = []
        self._cache: dict[int, Signature] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._places)

    def append(self, signature: Signature) -> None:
        """Store one more signature."""
        height, width = signature.grey.shape
        header = _HEADER.pack(height, width, len(signature.points), signature.blur)
        arrays = (signature.grey, signature.points, signature.descriptors)
        content = b"".join([header, *(array.tobytes() for array in arrays)])
        with self._lock:
            start = self._file.seek(0, io.SEEK_END)
            self._places.append((start, self._file.write(content)))

    def __getitem__(self, index: int) -> Signature:
        with self._lock:
            if (held := self._cache.get(index)) is not None:
                return held
            start, length = self._places[index]
            self._file.seek(start)
            content = self._file.read(length)
        height, width, points, blur = _HEADER.unpack_from(content)
        ends = np.cumsum([_HEADER.size, height * width, points * 8, points * 128])
        grey, places, descriptors = (content[start:end] for start, end in itertools.pairwise(ends))
        signature = Signature(
            np.frombuffer(grey, np.uint8).reshape(height, width),
            np.frombuffer(places, np.float32).reshape(-1, 2),
            np.frombuffer(descriptors, np.uint8).reshape(-1, 128),
            blur,
        )
        with self._lock:
            while len(self._cache) >= _CACHED:
                del self._cache[next(iter(self._cache))]
            self._cache[index] = signature
        return signature


def _sign_all(pictures: Sequence[Callable[[], Pixels]], store: SignatureStore, options: DuplicateOptions) -> None:
    def look(picture: Callable[[], Pixels]) -> Signature:
        return sign(picture(), options.geometry)

    with _workers() as pool:
        for signature in tqdm(
            pool.map(look, pictures), total=len(pictures), desc="Signatures", unit="picture", disable=None
        ):
            store.append(signature)


# --- Candidates -------------------------------------------------------------------------------------------------------


def describe(store: SignatureStore, options: DuplicateOptions) -> list[View]:
    """Two descriptions that need nothing but the signatures: aggregated local features and a perceptual hash."""
    vocabulary = _vocabulary(store, options)

    def look(index: int) -> list[list[Vectors]]:
        both = (store[index], mirrored(store[index]))
        return [
            [_aggregate(each.descriptors, vocabulary) for each in both],
            [_perceptual_hash(each.grey) for each in both],
        ]

    with _workers() as pool:
        rows = list(pool.map(look, range(len(store))))
    return [(np.stack([row[kind][0] for row in rows]), np.stack([row[kind][1] for row in rows])) for kind in range(2)]


def _vocabulary(store: SignatureStore, options: DuplicateOptions) -> Vectors:
    """Visual words, (words, 128) float32, unit vectors, learnt from a sample of the collection and its mirror image."""
    step = max(1, len(store) * 8 // _SAMPLE)
    share = max(8, _SAMPLE // max(1, len(store)))
    sample = [store[index].descriptors[:share] for index in range(0, len(store), step)]
    points = normalised(np.concatenate([np.zeros((0, 128), np.uint8), *sample]))
    words = min(options.words, len(points))
    if words == 0:
        return np.zeros((1, 128), np.float32)
    means = MiniBatchKMeans(words, random_state=0, n_init=1, batch_size=4096, max_iter=20).fit(points).cluster_centers_
    return np.asarray(means, dtype=np.float32)


def _aggregate(descriptors: Descriptors, vocabulary: Vectors) -> Vectors:
    """VLAD (Jégou et al., CVPR 2010) with intra-normalisation (Arandjelović and Zisserman, CVPR 2013): (words · 128,)."""
    points = normalised(descriptors)
    words = (points @ vocabulary.T - 0.5 * (vocabulary**2).sum(axis=1)).argmax(axis=1)
    assigned = np.asarray(words[:, None] == np.arange(len(vocabulary)), np.float32)
    sums = assigned.T @ points - assigned.sum(axis=0)[:, None] * vocabulary
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
    return np.asarray(sums.ravel() / max(1.0, float(np.linalg.norm(sums))), dtype=np.float32)


def _perceptual_hash(grey: Pixels) -> Vectors:
    """Signs of the lowest 8×8 cosine coefficients but the mean (Zauner, 2010), (63,) float32, -1 or 1."""
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = np.asarray(cv2.dct(small), np.float32)[:8, :8].ravel()[1:]
    return np.where(low > np.median(low), 1.0, -1.0).astype(np.float32)


def candidate_pairs(views: Sequence[View], chosen: npt.NDArray[np.intp], neighbours: int) -> set[Pair]:
    """Pairs worth verifying, smaller index first: at most 2 · ``neighbours`` of each picture in each view.

    Args:
        views: descriptions of all pictures.
        chosen: indices of the pictures to seek among.
        neighbours: how many nearest pictures each picture proposes, as it is and mirrored.
    """
    pairs: set[Pair] = set()
    if len(chosen) < 2:
        return pairs
    count = min(neighbours + 1, len(chosen))
    for plain, mirror in views:
        index = NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute").fit(plain[chosen])
        for queries in (plain[chosen],) if mirror is plain else (plain[chosen], mirror[chosen]):
            nearest = index.kneighbors(queries, return_distance=False)
            rows = chosen[np.repeat(np.arange(len(chosen)), count)]
            ends = np.sort(np.stack([rows, chosen[nearest.ravel()]], axis=1), axis=1)
            pairs.update((int(a), int(b)) for a, b in ends if a != b)
    return pairs


# --- Verification -----------------------------------------------------------------------------------------------------


def _seek(store: SignatureStore, views: Sequence[View], options: DuplicateOptions) -> dict[Pair, Verification]:
    """Verify candidates, round by round; a later round seeks among one picture of each group found so far."""
    found: dict[Pair, Verification] = {}
    chosen = np.arange(len(store))
    for turn in range(options.rounds):
        pairs = sorted(candidate_pairs(views, chosen, options.neighbours) - found.keys())
        fresh = dict(zip(pairs, _verify_all(store, pairs, options, f"Duplicates, round {turn + 1}"), strict=True))
        found |= fresh
        if not any(result.kind == COPY for result in fresh.values()):
            break
        labels = group(len(store), (pair for pair, result in found.items() if result.kind == COPY))
        chosen = np.unique(labels, return_index=True)[1]
    return found


def _verify_all(
    store: SignatureStore, pairs: Sequence[Pair], options: DuplicateOptions, title: str
) -> Iterator[Verification]:
    def look(pair: Pair) -> Verification:
        return verify(store[pair[0]], store[pair[1]], options.geometry)

    with _workers() as pool:
        yield from tqdm(pool.map(look, pairs), total=len(pairs), desc=title, unit="pair", disable=None)


def _cut_weak_bridges(
    store: SignatureStore, found: Mapping[Pair, Verification], options: DuplicateOptions
) -> dict[Pair, Verification]:
    """Take back every weak pair that alone holds two groups of several pictures together and finds no witness.

    Components chain: one wrong pair would merge two groups whole. If two groups do show one picture, other pairs across
    agree too.
    """
    kept = dict(found)
    copies = {pair for pair, result in found.items() if result.kind == COPY}
    weak = [pair for pair in sorted(copies) if found[pair].correlation < options.strong_correlation]
    for pair in weak if options.witnesses else ():
        labels = group(len(store), copies - {pair})
        sides = [np.flatnonzero(labels == labels[end]) for end in pair]
        if labels[pair[0]] == labels[pair[1]] or min(map(len, sides)) < 2:
            continue
        others = (tuple(sorted((int(a), int(b)))) for a, b in itertools.product(*sides))
        tried = list(itertools.islice((other for other in others if other != pair), options.witnesses))
        results = [found.get((a, b)) or verify(store[a], store[b], options.geometry) for a, b in tried]
        if not any(result.kind == COPY for result in results):
            kept[pair] = replace(kept[pair], kind=WINDOW)
            copies.discard(pair)
    return kept

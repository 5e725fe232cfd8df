"""Activations of the frozen part, computed once per slice and remembered."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lung_tumor.feature_store import FeatureStore, digest_of, key_of, stored_bytes
from lung_tumor.frozen_pass import FrozenPass
from lung_tumor.imaging import Pixels, to_network_input
from lung_tumor.network import Cut

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Activations = list[Floats]
Slices = Sequence[Callable[[], Pixels]]
"""A call opens one prepared slice, (size, size) uint8."""

BATCH = 8
"""Slices a prediction: on two cores larger batches are no faster and only take memory."""

CHUNK = 64
"""Slices opened before the store is asked for them; what is computed is kept after every batch."""


def run_in_batches(model: keras.Model, slices: Iterable[Pixels], total: int, title: str) -> Activations:
    """Run a whole model over prepared slices, a batch at a time, with a progress bar.

    Args:
        model: takes pixels (n, size, size, 3) float32, 0 to 255.
        slices: prepared slices, each (size, size) uint8; read one batch at a time.
        total: number of slices, for the progress bar.
        title: what the progress bar says.

    Returns:
        One float32 array for each output of the model, first axis ``total`` long.
    """
    parts: list[Activations] = []
    with tqdm(total=total, desc=title, unit="slice") as bar:
        for batch in _batches(slices):
            # A last, shorter batch is filled up: one shape, one compiled graph.
            filled = np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])
            outputs = model.predict_on_batch(to_network_input(filled))
            outputs = outputs if isinstance(outputs, Sequence) else [outputs]
            parts.append([np.asarray(output, dtype=np.float32)[: len(batch)] for output in outputs])
            bar.update(len(batch))
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def _batches(slices: Iterable[Pixels]) -> Iterator[Pixels]:
    stream = iter(slices)
    while batch := list(islice(stream, BATCH)):
        yield np.stack(batch)


class Remembered:
    """Activations of slices, each computed when it is first needed and found again ever after.

    Slices that are the same pixels, sent through the same pass, are computed once. A slice is opened once to know it by its
    pixels, and again only if it is missing when it is read. Of a slice of which any activation is missing, all are computed.
    """

    def __init__(
        self, slices: Slices, frozen_pass: FrozenPass | Sequence[FrozenPass], store: FeatureStore | None
    ) -> None:
        """Nothing is opened or computed yet.

        Args:
            slices: a call opens one.
            frozen_pass: what they are sent through: one for all, or one for each, all of the same cuts.
            store: gives what it knows and keeps what is computed; None keeps it in memory.

        Raises:
            ValueError: as many passes as slices are needed, or they have different cuts.
        """
        passes = [frozen_pass] * len(slices) if isinstance(frozen_pass, FrozenPass) else list(frozen_pass)
        if len(passes) != len(slices):
            raise ValueError(f"a frozen pass for each of {len(slices)} slices is needed, received {len(passes)}")
        self._cuts = frozen_pass.cuts if isinstance(frozen_pass, FrozenPass) else passes[0].cuts
        if any(one.cuts != self._cuts for one in passes):
            raise ValueError("all frozen passes must have the same cuts")
        self._slices = slices
        self._passes = passes
        self._store = _Memory() if store is None else store
        self._digests: list[bytes | None] = [None] * len(slices)
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._slices)

    def compute(self, title: str) -> int:
        """Compute what is missing, with a progress bar; what is computed is kept after every batch.

        A run that is cut short, by Ctrl-C too, goes on from there.

        Args:
            title: what the progress bar says.

        Returns:
            How many slices were computed, of equal ones one.
        """
        waiting: dict[FrozenPass, dict[bytes, Pixels]] = {one: {} for one in self._passes}
        computed = known = 0
        with tqdm(total=len(self), desc=title, unit="slice") as bar:

            def make(one: FrozenPass, fewest: int) -> None:
                nonlocal computed
                queue = waiting[one]
                while len(queue) >= fewest:
                    batch = {digest: queue.pop(digest) for digest in list(queue)[: one.batch]}
                    self._make(one, batch)
                    computed += len(batch)
                    bar.update(len(batch))

            for start in range(0, len(self), CHUNK):
                indices = range(start, min(start + CHUNK, len(self)))
                found = len(indices)
                for one, opened in self._open(indices).items():
                    new = self._missing(one, opened.keys() - waiting[one].keys())
                    waiting[one] |= {digest: pixels for digest, pixels in opened.items() if digest in new}
                    found -= len(new)
                known += found
                bar.set_postfix(known=known, refresh=False)
                bar.update(found)
                for one in waiting:
                    make(one, one.batch)
            for one in waiting:
                make(one, 1)
        if computed:
            self._warn_of_budget()
        logger.info("%s: %d of %d slices computed, the others were known", title, computed, len(self))
        return computed

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """The activations there are of each slice."""
        return self._cuts

    def read(self, indices: Sequence[int] | npt.NDArray[np.integer], cuts: Sequence[Cut] | None = None) -> Activations:
        """Activations of some slices; what the store lost, or never had, is computed without further ado.

        Args:
            indices: of slices, one or more, in any order.
            cuts: which of :attr:`cuts`; all if not given.

        Returns:
            One float32 array a cut, a row an index.

        Raises:
            ValueError: no index.
        """
        wanted = [int(index) for index in indices]
        if not wanted:
            raise ValueError("activations of one slice at least must be read, received no index")
        self._know(wanted)
        keys = {index: self._keys(index, cuts) for index in dict.fromkeys(wanted)}
        found = self._store.get(key for some in keys.values() for key in some)
        for one in set(self._passes):
            own = [index for index in wanted if self._passes[index] is one and not found.keys() >= set(keys[index])]
            missing = list({self._digests[index]: index for index in own}.values())
            for start in range(0, len(missing), one.batch):
                opened = self._open(missing[start : start + one.batch])[one]
                # What was found stays: computed beside other slices it may be rounded otherwise, and the store keeps the first.
                found = self._make(one, opened) | found
        rows = (map(found.__getitem__, keys[index]) for index in wanted)
        return [np.stack(values) for values in zip(*rows, strict=True)]

    def fingerprint(self, indices: npt.NDArray[np.integer], cuts: Sequence[Cut]) -> bytes:
        """Digest of which activations these are, in their order."""
        self._know(int(index) for index in indices)
        digest = hashlib.blake2b(digest_size=16)
        for index in indices:
            digest.update(b"".join(self._keys(int(index), cuts)))
        return digest.digest()

    def _know(self, indices: Iterable[int]) -> None:
        """Open what was not opened yet."""
        unopened = [index for index in dict.fromkeys(indices) if self._digests[index] is None]
        for start in range(0, len(unopened), CHUNK):
            self._open(unopened[start : start + CHUNK])

    def _warn_of_budget(self) -> None:
        budget = getattr(self._store, "budget", None)
        needed = len({pair for pair in zip(self._passes, self._digests, strict=True) if pair[1]}) * self._bytes
        if budget is not None and needed > budget:
            logger.warning(
                "the activations of these slices take %.1f GiB, the feature store keeps %.1f GiB: what does not fit is "
                "computed again whenever it is read; raise budget_bytes of feature_store in conf/base/catalog.yml, or take "
                "fewer views or model_prep.network.frozen_blocks=5",
                needed / 2**30,
                budget / 2**30,
            )

    def _open(self, indices: Iterable[int]) -> dict[FrozenPass, dict[bytes, Pixels]]:
        """Open slices and note which pixels they are; of equal slices of a pass one is returned."""
        opened: dict[FrozenPass, dict[bytes, Pixels]] = {}
        for index in indices:
            pixels = self._slices[index]()
            self._digests[index] = digest = digest_of(pixels)
            opened.setdefault(self._passes[index], {})[digest] = pixels
        return opened

    def _keys(self, index: int, cuts: Sequence[Cut] | None) -> list[bytes]:
        digest, makers = self._digests[index], self._passes[index].made_by
        assert digest is not None  # noqa: S101 - for the type checker: slices are opened before
        chosen = makers if cuts is None else [makers[self.cuts.index(cut)] for cut in cuts]
        return [key_of(digest, made_by) for made_by in chosen]

    def _missing(self, one: FrozenPass, digests: Iterable[bytes]) -> set[bytes]:
        keys = {key_of(digest, made_by): digest for digest in digests for made_by in one.made_by}
        known = self._store.known(keys)
        return {digest for key, digest in keys.items() if key not in known}

    def _make(self, one: FrozenPass, batch: Mapping[bytes, Pixels]) -> dict[bytes, Floats]:
        """Compute and keep all activations of some different slices."""
        outputs = one(np.stack(list(batch.values())))
        records = {
            made_by: {key_of(digest, made_by): row for digest, row in zip(batch, output, strict=True)}
            for made_by, output in zip(one.made_by, outputs, strict=True)
        }
        self._store.put(records)
        self._bytes = max(self._bytes, sum(stored_bytes(output[0]) for output in outputs))
        return {key: row for rows in records.values() for key, row in rows.items()}


class _Memory:
    """Stands for a store where there is none."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Floats] = {}

    def known(self, keys: Iterable[bytes]) -> set[bytes]:
        return self._kept.keys() & set(keys)

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Floats]:
        return {key: self._kept[key] for key in keys if key in self._kept}

    def put(self, activations: Mapping[str, Mapping[bytes, Floats]]) -> None:
        for records in activations.values():
            self._kept.update(records)

"""Training, validation and test: the same share of every class, never the same picture twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pandas as pd

from lung_tumor.errors import LeakError, SourceError
from lung_tumor.manifest import ACCEPTED
from lung_tumor.options import require_types

TRAINING, VALIDATION, TEST = "training", "validation", "test"
SPLITS = (TRAINING, VALIDATION, TEST)


@dataclass(frozen=True)
class SplitOptions:
    """``params:data_ingestion.split``: shares of validation and test, in (0, 1); training takes the rest."""

    validation: float = 0.15
    test: float = 0.15

    def __post_init__(self) -> None:
        require_types(self, "split")
        for name in ("validation", "test"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"split.{name} must lie in (0, 1), received {getattr(self, name)}")
        if self.validation + self.test >= 1.0:
            raise ValueError(f"split.validation + split.test must be below 1, received {self.validation + self.test}")

    @property
    def shares(self) -> dict[str, float]:
        """Share of each split, in the order of :data:`SPLITS`."""
        return {TRAINING: 1.0 - self.validation - self.test, VALIDATION: self.validation, TEST: self.test}


def assign_splits(manifest: pd.DataFrame, options: SplitOptions, seed: int) -> pd.DataFrame:
    """Add a ``split`` column: group-disjoint, stratified by class, the same for the same seed on any machine.

    Groups are dealt class by class, largest first, each to the split that lacks most distinct pictures.
    Quarantined rows get ``""``.

    Raises:
        SourceError: a class has fewer than three groups.
    """
    usable = manifest[manifest["verdict"] == ACCEPTED]
    assigned: dict[str, str] = {}
    for label, rows in usable.groupby("label", sort=True):
        sizes = rows.drop_duplicates("pixels")["group"].value_counts()
        if len(sizes) < len(SPLITS):
            raise SourceError(
                f"class {label!r} has {len(sizes)} distinct picture(s); training, validation and test need one each: "
                "add slices or leave the class out"
            )
        assigned |= _deal({str(group): int(size) for group, size in sizes.items()}, options, seed)
    split = usable["group"].map(assigned)
    return manifest.assign(split=split.reindex(manifest.index).fillna(""))


def _deal(sizes: dict[str, int], options: SplitOptions, seed: int) -> dict[str, str]:
    """Deal the groups of one class; ``sizes`` maps group to its number of distinct pictures."""

    def shuffled(group: str) -> str:
        return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()

    order = sorted(sizes, key=lambda group: (-sizes[group], shuffled(group)))
    total = sum(sizes.values())
    lacking = {split: share * total for split, share in options.shares.items()}
    counts = dict.fromkeys(SPLITS, 0)
    assigned = {}
    for position, group in enumerate(order):
        # The last groups go to whatever split is still empty, so that none stays so.
        empty = [split for split in SPLITS if counts[split] == 0]
        candidates = empty if len(order) - position <= len(empty) else list(SPLITS)
        split = max(candidates, key=lambda name: lacking[name])
        assigned[group] = split
        lacking[split] -= sizes[group]
        counts[split] += 1
    return assigned


def require_disjoint(manifest: pd.DataFrame) -> pd.DataFrame:
    """Pass the manifest on if no group, no bytes and no pixels stand in two splits.

    Raises:
        LeakError: something does; the message names it.
    """
    usable = manifest[manifest["verdict"] == ACCEPTED]
    for column in ("group", "digest", "pixels"):
        crossing = usable.groupby(column)["split"].nunique()
        crossing = crossing[crossing > 1]
        if len(crossing):
            paths = usable.loc[usable[column] == crossing.index[0], "path"].tolist()
            raise LeakError(
                f"{len(crossing)} {column} value(s) stand in more than one split, such as {paths[:3]}; "
                "run `kedro run --pipeline=data_ingestion` to split anew"
            )
    return manifest

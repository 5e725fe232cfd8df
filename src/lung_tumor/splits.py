"""Training, validation and test, and folds: the same share of every class, never one group on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from lung_tumor.errors import LeakError
from lung_tumor.manifest import ACCEPTED, QUARANTINED, SPLITS, TEST, TRAINING, VALIDATION
from lung_tumor.options import require_types

Given = Literal["remake", "keep"]


@dataclass(frozen=True)
class SplitOptions:
    """``params:data_ingestion.split``.

    Attributes:
        validation: share of the pictures, in (0, 1); training takes what validation and test leave.
        test: the same.
        folds: number of folds for cross-validation, 2 to 20.
        given: what becomes of a split that the source comes with (``train/``, ``test/`` above the class folders):
            ``remake`` splits anew, ``keep`` keeps it without the files that leak: where a group stands in several splits,
            only its files in the first of training, validation, test stay.
    """

    validation: float = 0.15
    test: float = 0.15
    folds: int = 5
    given: Given = "remake"

    def __post_init__(self) -> None:
        require_types(self, "split")
        for name in ("validation", "test"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"split.{name} must lie in (0, 1), received {getattr(self, name)}")
        if self.validation + self.test >= 1.0:
            raise ValueError(f"split.validation + split.test must be below 1, received {self.validation + self.test}")
        if not 2 <= self.folds <= 20:
            raise ValueError(f"split.folds must lie in [2, 20], received {self.folds}")
        if self.given not in get_args(Given):
            raise ValueError(f"split.given must be one of {get_args(Given)}, received {self.given!r}")

    @property
    def shares(self) -> dict[str, float]:
        """Share of each split, in the order of :data:`~lung_tumor.manifest.SPLITS`."""
        return {TRAINING: 1.0 - self.validation - self.test, VALIDATION: self.validation, TEST: self.test}


def assign_splits(manifest: pd.DataFrame, options: SplitOptions, seed: int) -> pd.DataFrame:
    """Add ``split`` and ``fold``: group-disjoint, stratified by class, the same for the same seed on any machine.

    Copies get the split of their group, so that it can be seen where they would have stood; quarantined rows get ``""``.
    A class of fewer than three groups leaves a split without it: whoever trains must look
    (:func:`~lung_tumor.consistency.require_whole` does).
    """
    manifest = manifest.copy()
    assigned: dict[str, str] = {}
    if options.given == "keep" and (manifest["given_split"] != "").any():
        assigned = _given_splits(manifest)
        leaking = _leaking(manifest, assigned)
        reason = "it leaks: the source puts it in " + manifest["given_split"] + ", and its group also in "
        manifest.loc[leaking, "reason"] = (reason + manifest["group"].map(assigned))[leaking]
        manifest.loc[leaking, ["verdict", "copy_of"]] = [QUARANTINED, ""]
    usable = manifest[manifest["verdict"] == ACCEPTED]
    sizes = pd.crosstab(usable["group"], usable["label"])
    if assigned:
        assigned |= _deal_missing(sizes, assigned, options, seed)
    else:
        assigned = deal(sizes, options.shares, f"{seed}")
    folds = deal(sizes, {str(fold): 1.0 / options.folds for fold in range(options.folds)}, f"{seed}:folds")
    rows = list(zip(manifest["group"], manifest["verdict"], strict=True))
    split = ["" if verdict == QUARANTINED else assigned.get(group, "") for group, verdict in rows]
    fold = [int(folds[group]) if verdict == ACCEPTED else -1 for group, verdict in rows]
    return manifest.assign(split=split, fold=fold)


def deal(sizes: pd.DataFrame, shares: Mapping[str, float], seed: str) -> dict[str, str]:
    """Deal groups to parts so that every part gets its share of every class, as near as whole groups allow.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas, ECML 2011) over groups: the class of fewest groups first, its
    largest group first, each to the part that lacks most pictures of that class.

    Args:
        sizes: pictures of each group (rows) in each class (columns).
        shares: share of each part; they add up to 1.
        seed: shuffles groups of equal size.

    Returns:
        The part of each group. Where groups hold one class each, no part is left without a class that has at least as many
        groups as there are parts.
    """

    def shuffled(group: str) -> str:
        return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()

    names, groups, labels = list(shares), [str(group) for group in sizes.index], list(sizes.columns)
    counts = sizes.to_numpy(dtype=float)
    lacking = np.outer(list(shares.values()), counts.sum(axis=0))
    groups_in = np.zeros_like(lacking, dtype=int)
    assigned: dict[str, str] = {}
    for label in sorted(range(len(labels)), key=lambda label: ((counts[:, label] > 0).sum(), labels[label])):
        rows = [row for row in np.flatnonzero(counts[:, label]).tolist() if groups[row] not in assigned]
        rows.sort(key=lambda row: (-counts[row].sum(), shuffled(groups[row])))
        for position, row in enumerate(rows):
            # The last groups go to whatever part is still empty, so that none stays so.
            empty = [part for part in range(len(names)) if groups_in[part, label] == 0]
            candidates = empty if len(rows) - position <= len(empty) else range(len(names))
            part = max(candidates, key=lambda part: lacking[part, label])
            assigned[groups[row]] = names[part]
            lacking[part] -= counts[row]
            groups_in[part] += counts[row] > 0
    return assigned


# --- A split that the source comes with ------------------------------------------------------------------------------


def _given_splits(manifest: pd.DataFrame) -> dict[str, str]:
    """For each group the first split, in the order training, validation, test, in which the source has a file of it."""
    known = manifest[(manifest["given_split"] != "") & (manifest["group"] != "")]
    first = known["given_split"].map(SPLITS.index).groupby(known["group"]).min()
    return {str(group): SPLITS[position] for group, position in first.items()}


def _leaking(manifest: pd.DataFrame, assigned: Mapping[str, str]) -> pd.Series:
    """Accepted files of a later split than their group's, and with each of them the copies that it stood for."""
    elsewhere = manifest["given_split"] != manifest["group"].map(assigned)
    leaking = (manifest["verdict"] == ACCEPTED) & (manifest["given_split"] != "") & elsewhere
    return leaking | manifest["copy_of"].isin(manifest.loc[leaking, "path"])


def _deal_missing(sizes: pd.DataFrame, assigned: Mapping[str, str], options: SplitOptions, seed: int) -> dict[str, str]:
    """Splits that the source does not have are taken from its training groups."""
    missing = [split for split in SPLITS if split not in set(assigned.values())]
    if not missing or TRAINING in missing:
        return {}
    training = sizes[[assigned.get(str(group)) == TRAINING for group in sizes.index]]
    shares = {split: options.shares[split] for split in missing}
    return deal(training, {TRAINING: 1.0 - sum(shares.values()), **shares}, f"{seed}")


# --- The leak check --------------------------------------------------------------------------------------------------


def require_disjoint(manifest: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Pass the manifest on if no group, picture, bytes or pixels and no verified near-duplicate pair stand in two splits.

    Args:
        manifest: with ``split``.
        pairs: verified pairs, ``first`` and ``second`` as paths.

    Raises:
        LeakError: something does; the message names it.
    """
    usable = manifest[manifest["split"] != ""]
    for column in ("group", "picture", "pixels", "digest"):
        crossing = usable.groupby(column)["split"].nunique()
        crossing = crossing[crossing > 1]
        if len(crossing):
            paths = usable.loc[usable[column] == crossing.index[0], "path"].tolist()
            raise LeakError(_leak(f"{len(crossing)} {column} value(s)", paths))
    split = usable.set_index("path")["split"]
    first, second = (pairs[end].map(split) for end in ("first", "second"))
    across = pairs[first.notna() & second.notna() & (first != second)]
    if len(across):
        raise LeakError(_leak(f"{len(across)} pair(s) of near-duplicates", list(across[["first", "second"]].iloc[0])))
    return manifest


def _leak(what: str, paths: Sequence[str]) -> str:
    return (
        f"{what} stand in more than one split, such as {list(paths[:3])}; "
        "run `kedro run --pipeline=data_ingestion` to split anew"
    )

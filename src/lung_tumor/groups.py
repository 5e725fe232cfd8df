"""Which files show the same picture, and which must stand on one side of a split."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from lung_tumor.duplicates import group
from lung_tumor.geometry import COPY
from lung_tumor.manifest import ACCEPTED, DUPLICATE, QUARANTINED, SPLITS
from lung_tumor.options import require_types

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroupOptions:
    r"""``params:data_ingestion.groups``.

    Attributes:
        pattern: regular expression that is searched in each file's path; files for which its first bracket holds the same
            text belong together, such as ``(patient\\d+)_``. None or empty: no such rule.
        minimum: independent groups of a class below which every figure comes with a warning, 1 or more.
    """

    pattern: str | None = None
    minimum: int = 30

    def __post_init__(self) -> None:
        require_types(self, "groups")
        if self.minimum < 1:
            raise ValueError(f"groups.minimum must be 1 or more, received {self.minimum}")
        if not self.pattern:
            return
        try:
            brackets = re.compile(self.pattern).groups
        except (re.error, TypeError) as error:
            raise ValueError(f"groups.pattern is no regular expression ({error}): {self.pattern!r}") from None
        if brackets < 1:
            raise ValueError(f"groups.pattern must hold a bracket, such as (patient\\d+)_, received {self.pattern!r}")


def join_groups(
    files: pd.DataFrame,
    pairs: pd.DataFrame,
    given: Mapping[str, str],
    options: GroupOptions,
    *,
    keep_given_split: bool = False,
) -> pd.DataFrame:
    """Say of every file which picture it shows and to which group it belongs, and give its final verdict.

    Args:
        files: one row per file from :func:`lung_tumor.audit.audit`.
        pairs: verified near-duplicates, ``first`` and ``second`` as paths, ``kind`` copy or window.
        given: group by path, where the source's owner knows it.
        options: see :class:`GroupOptions`.
        keep_given_split: stand for a picture by a file of the earliest split that the source puts it in.

    Returns:
        The rows with ``picture``, ``group`` and ``copy_of``, without the patient columns. Of each picture one file stays
        accepted: the one with least colour drawn over it, then the largest, then the first by path. A picture under two
        labels is quarantined whole.
    """
    readable = files[files["verdict"] == ACCEPTED]
    position = pd.Series(np.arange(len(readable)), index=readable["path"])
    same_pixels = _chained(readable["pixels"], position)
    verified = [(int(position[a]), int(position[b])) for a, b in zip(pairs["first"], pairs["second"], strict=True)]
    copies = [ends for ends, kind in zip(verified, pairs["kind"], strict=True) if kind == COPY]
    told = [_chained(key, position) for key in _keys(readable, given, options)]
    pictures = group(len(readable), [*same_pixels, *copies])
    groups = group(len(readable), [*same_pixels, *verified, *(pair for part in told for pair in part)])
    joined = files.assign(picture="", group="", copy_of="")
    joined.loc[readable.index, "picture"] = _names(pictures, readable["pixels"])
    joined.loc[readable.index, "group"] = _names(groups, readable["pixels"])
    joined = _mark_copies(_quarantine_conflicts(joined), keep_given_split=keep_given_split)
    return joined.drop(columns=["patient", "study"])


def origins_of_groups(files: pd.DataFrame, given: Mapping[str, str], options: GroupOptions) -> list[str]:
    """What groups were joined by, in words."""
    by = ["copies and windows of one slice"]
    if (files[["patient", "study"]] != "").any(axis=None):
        one = _one_for_all(files[files["verdict"] == ACCEPTED])
        by.append(
            "DICOM studies (all files name one patient: taken for a placeholder)"
            if one
            else "DICOM patients and studies"
        )
    by += ["groups.csv"] if given else []
    return by + ([f"the file-name pattern {options.pattern}"] if options.pattern else [])


def _keys(readable: pd.DataFrame, given: Mapping[str, str], options: GroupOptions) -> Iterable[pd.Series]:
    """Columns whose equal values, unless empty, mean one group."""
    yield _patients(readable)
    yield readable["study"]
    yield pd.Series([given.get(path, "") for path in readable["path"]], index=readable.index)
    if options.pattern:
        found = readable["path"].str.extract(re.compile(options.pattern), expand=True)[0].fillna("")
        _log.info("groups.pattern fits %d of %d readable files", (found != "").sum(), len(found))
        yield found


def _patients(readable: pd.DataFrame) -> pd.Series:
    """Patient digests, unless one stands for all."""
    if not _one_for_all(readable):
        return readable["patient"]
    _log.warning("All DICOM files name one patient but several studies: taken for a placeholder, studies count instead")
    return pd.Series("", index=readable.index)


def _one_for_all(readable: pd.DataFrame) -> bool:
    """Whether one patient has all studies: some archives give every patient the same number."""
    known = readable[readable["patient"] != ""]
    return known["patient"].nunique() == 1 and known["study"].nunique() > 1


def _chained(key: pd.Series, position: pd.Series) -> list[tuple[int, int]]:
    """Edges that connect all rows of one key; ``key`` is aligned with ``position``."""
    edges = []
    for _, rows in pd.Series(position.to_numpy()).groupby(key.to_numpy()):
        if rows.size > 1 and key.iloc[rows.iloc[0]] != "":
            edges += list(zip(rows.iloc[:-1], rows.iloc[1:], strict=True))
    return edges


def _names(labels: npt.NDArray[np.int64], pixels: pd.Series) -> npt.NDArray[np.object_]:
    """Each component is called by the smallest of its pixel digests: the same name in whatever order files come."""
    smallest = pixels.str[:16].groupby(labels).transform("min")
    return smallest.to_numpy(dtype=object)


def _quarantine_conflicts(files: pd.DataFrame) -> pd.DataFrame:
    """Quarantine every picture that stands under two labels: one of them is wrong, and no one can say which."""
    readable = files[files["verdict"] == ACCEPTED]
    conflicts = readable[readable.groupby("picture")["label"].transform("nunique") > 1]
    files = files.copy()
    for _, rows in conflicts.groupby("picture"):
        for index, row in rows.iterrows():
            other = rows.loc[rows["label"] != row["label"], "path"].iloc[0]
            files.loc[index, ["verdict", "reason"]] = [
                QUARANTINED,
                f"the same picture stands under another label: {other}",
            ]
    return files


def _mark_copies(files: pd.DataFrame, *, keep_given_split: bool) -> pd.DataFrame:
    readable = files[files["verdict"] == ACCEPTED]
    order = readable.assign(
        given=readable["given_split"].map({split: i for i, split in enumerate(SPLITS)}).fillna(len(SPLITS))
        if keep_given_split
        else 0,
        smallness=-(readable["width"] * readable["height"]),
    ).sort_values(["given", "coloured", "smallness", "path"])
    kept = order.groupby("picture")["path"].transform("first").reindex(readable.index)
    copies = readable.index[kept != readable["path"]]
    files = files.copy()
    files.loc[copies, "verdict"] = DUPLICATE
    files.loc[copies, "copy_of"] = kept[copies]
    files.loc[copies, "reason"] = "the same picture as " + kept[copies]
    return files

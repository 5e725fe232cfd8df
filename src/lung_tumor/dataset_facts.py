"""What a data set really holds, counted at every depth: the facts behind the data set card and ``audit.json``.

Words used throughout: a *picture* is what files show that are copies of one another; a *group* is what must stand on one
side of a split (copies, other grey windows of one slice, slices of one patient). A file is *usable* unless quarantined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lung_tumor import dataset_words
from lung_tumor.dataset_groups import duplicate_groups, find_conflicts, joined_groups, list_quarantined, usable_files
from lung_tumor.manifest import SPLITS
from lung_tumor.wording import how_many

HELD_OUT = 0.2
"""Share of files that the customary random split holds back."""

_TEXT = (
    *("path", "label", "verdict", "reason", "copy_of", "format", "mode", "digest", "pixels", "picture", "group"),
    *("given_split", "split"),
)
_BINS = 24
_LOGARITHMIC = 8.0
"""Ratio of the largest to the smallest size from which bins grow geometrically, lest one giant squeeze all others."""


def describe_dataset(
    manifest: pd.DataFrame,
    pairs: pd.DataFrame,
    trivial: pd.DataFrame,
    shortcuts: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """Work out every fact of the data set card.

    Args:
        manifest: one row per file: ``path``, ``label``, ``verdict``, ``reason``, ``copy_of``, ``digest``, ``pixels``,
            ``picture``, ``group``, ``given_split``, ``synthetic``, ``split`` and ``fold``; text is ``""`` and ``fold`` -1
            where there is none. Exactly one row per picture is accepted.
        pairs: verified near-duplicate pairs: ``first``, ``second``, ``kind`` (copy or window), ``flipped``.
        trivial: one row per readable file: ``path``, ``width``, ``height``, ``mean`` and ``deviation`` of its grey values.
        shortcuts: result of the shortcut audit: ``before`` and ``after`` preparation, ``warning`` and ``sentence``.
        origin: ``source``, ``synthetic``, ``version``, ``given_split`` (remade, kept or None), ``joined_by``,
            ``classes_left_out`` and ``minimum_groups``.

    Returns:
        Plain values, ready for JSON, the same for the same arguments whatever the order of rows.
    """
    manifest = _tidy(manifest)
    classes = sorted(manifest["label"].unique())
    conflicts = find_conflicts(manifest)
    facts: dict[str, Any] = {
        "origin": _plain(origin),
        "synthetic": bool(origin["synthetic"] or manifest["synthetic"].any()),
        "synthetic_files": int(manifest["synthetic"].sum()),
        "classes": classes,
        "counts": {
            "total": _count(manifest, manifest),
            "by_class": {label: _count(manifest[manifest["label"] == label], manifest) for label in classes},
        },
        "pairs": {kind: int((pairs["kind"] == kind).sum()) for kind in ("copy", "window")},
        "duplicate_groups": duplicate_groups(manifest, pairs),
        "joined_groups": joined_groups(manifest, pairs),
        "conflicts": conflicts,
        "quarantine": list_quarantined(manifest, conflicts),
        "given_split": audit_given_split(manifest),
        "random_split": _random_split(manifest, classes),
        "histograms": _histograms(manifest, trivial, classes),
        "shortcuts": _plain(shortcuts),
        "few_groups": few_groups(manifest, int(origin["minimum_groups"])),
    }
    words = {"headline": dataset_words.headline, "warnings": dataset_words.warnings, "meaning": dataset_words.meaning}
    return facts | {name: write(facts) for name, write in words.items()}


def few_groups(manifest: pd.DataFrame, minimum: int) -> list[str]:
    """A line for each class that has too few independent groups to trust any figure about it.

    Args:
        manifest: needs ``label``, ``verdict`` and ``group``.
        minimum: groups from which a class is large enough.

    Returns:
        Lines such as ``normal: 14 independent pictures behind 148 files``, by class; empty where every class has enough.
    """
    lines = []
    for label, rows in manifest.groupby("label", sort=True):
        usable = usable_files(rows)
        groups = int(usable["group"].nunique())
        if groups < minimum:
            lines.append(f"{label}: {how_many(groups, 'independent picture')} behind {how_many(len(usable), 'file')}")
    return lines


def share_with_relative_in_training(sizes: npt.ArrayLike, files: int, held_out: float = HELD_OUT) -> float:
    """Expected share of held-out files that have a relative in training when files are split at random.

    Of ``files``, v = ``held_out`` · ``files`` are drawn without replacement. Given that one file of a group of s is drawn,
    the other s - 1 are drawn too with probability ∏ (v - i) / (files - i), i = 1 … s - 1; otherwise one is in training.

    Args:
        sizes: for each file of interest the size of its group, itself included.
        files: number of all files that are split.
        held_out: share of files held back, in (0, 1).

    Returns:
        Exact share in [0, 1]; 0 where there is no file.
    """
    drawn = max(1, round(held_out * files))
    lonely = 0.0
    values, counts = np.unique(np.asarray(sizes, dtype=np.int64), return_counts=True)
    for size, count in zip(values.tolist(), counts.tolist(), strict=True):
        others = range(1, min(size, drawn + 1))
        lonely += count * math.prod((drawn - i) / (files - i) for i in others)
    return 1.0 - lonely / counts.sum() if counts.sum() else 0.0


def audit_given_split(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """How far the split leaks that a data set came with.

    Args:
        manifest: needs ``label``, ``picture``, ``group`` and ``given_split``, ``""`` where there is none.

    Returns:
        For each class and each later split with readable files: ``label``, ``split``, ``files``, ``leaking`` (files with a
        member of their group in an earlier split), ``copies`` (of these, the same picture), ``earlier`` (leaking files by
        earlier split) and ``sentence``. Empty for a data set that came unsplit.
    """
    given = manifest[(manifest["given_split"] != "") & (manifest["group"] != "")]
    rows = []
    for label, split in ((label, split) for label in sorted(given["label"].unique()) for split in SPLITS[1:]):
        files = given[(given["label"] == label) & (given["given_split"] == split)]
        if files.empty:
            continue
        before = SPLITS[: SPLITS.index(split)]
        earlier = given[given["given_split"].isin(before)]
        by_split = {
            name: int(files["group"].isin(earlier.loc[earlier["given_split"] == name, "group"]).sum())
            for name in before
        }
        row = {
            "label": label,
            "split": split,
            "files": len(files),
            "leaking": int(files["group"].isin(earlier["group"]).sum()),
            "copies": int(files["picture"].isin(earlier["picture"]).sum()),
            "earlier": by_split,
        }
        rows.append(row | {"sentence": dataset_words.leak_sentence(row)})
    return rows


# --- Counts -----------------------------------------------------------------------------------------------------------


def _distinct(values: pd.Series) -> int:
    return int(values[values != ""].nunique())


def _count(rows: pd.DataFrame, manifest: pd.DataFrame) -> dict[str, Any]:
    """Counts at every depth; each of files, distinct bytes, distinct pixels, pictures, groups is at most the one before."""
    usable = usable_files(rows)
    return {
        "files": len(rows),
        "readable": int((rows["pixels"] != "").sum()),
        "distinct_bytes": _distinct(rows["digest"]),
        "distinct_pixels": _distinct(rows["pixels"]),
        "usable": len(usable),
        "pictures": _distinct(usable["picture"]),
        "groups": _distinct(usable["group"]),
        "quarantined": len(rows) - len(usable),
        "splits": {split: _part(usable[usable["split"] == split]) for split in SPLITS},
        "folds": {
            str(fold): _part(usable[usable["fold"] == fold])
            for fold in range(int(manifest["fold"].max()) + 1 if len(manifest) else 0)
        },
    }


def _part(rows: pd.DataFrame) -> dict[str, int]:
    return {"pictures": _distinct(rows["picture"]), "groups": _distinct(rows["group"]), "files": len(rows)}


# --- Distributions ----------------------------------------------------------------------------------------------------


def _random_split(manifest: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """What the customary random split of files would leak: the share of held-out files with a relative in training."""
    usable = usable_files(manifest)
    sizes = usable.groupby("group")["path"].transform("size")
    return {
        "held_out": HELD_OUT,
        "by_class": {
            label: round(share_with_relative_in_training(sizes[usable["label"] == label], len(usable)), 4)
            for label in classes
        },
    }


def _histograms(manifest: pd.DataFrame, trivial: pd.DataFrame, classes: list[str]) -> list[dict[str, Any]]:
    """Counts of usable files by size, brightness and contrast, bins shared by all classes."""
    known = usable_files(manifest)[["path", "label"]].merge(trivial.drop(columns="label", errors="ignore"), on="path")
    side = known[["width", "height"]].max(axis=1).astype(float)
    shown = (
        ("size", "Size", "longer side, pixels", side, _size_edges(side)),
        (
            "brightness",
            "Brightness",
            "mean grey value, 0 black to 255 white",
            known["mean"],
            np.linspace(0, 255, _BINS + 1),
        ),
        (
            "contrast",
            "Contrast",
            "standard deviation of grey values",
            known["deviation"],
            np.linspace(0, 128, _BINS + 1),
        ),
    )
    return [
        {
            "name": name,
            "title": title,
            "unit": unit,
            "edges": [round(float(edge), 2) for edge in edges],
            "counts": {
                label: np.histogram(values[known["label"] == label].dropna(), edges)[0].tolist() for label in classes
            },
        }
        for name, title, unit, values, edges in shown
    ]


def _size_edges(side: pd.Series) -> npt.NDArray[np.float64]:
    low, high = (float(side.min()), float(side.max())) if len(side) else (0.0, 1.0)
    if high - low < _BINS:
        middle = (low + high) / 2
        low, high = middle - _BINS / 2, middle + _BINS / 2
    spaced = np.geomspace if low > 0 and high / low > _LOGARITHMIC else np.linspace
    edges = np.asarray(spaced(low, high, _BINS + 1), dtype=np.float64)
    # Rounded outwards, so that the smallest and the largest stay inside what audit.json prints.
    edges[0], edges[-1] = np.floor(edges[0]), np.ceil(edges[-1])
    return edges


# --- Plain values -----------------------------------------------------------------------------------------------------


def _tidy(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest sorted by path, its text as text: a CSV file reads "" as not a number and the class "1" as a number."""
    text = {name: manifest[name].astype(object).where(manifest[name].notna(), "").astype(str) for name in _TEXT}
    return manifest.assign(**text).sort_values("path", ignore_index=True)


def _plain(value: Any) -> Any:
    """Python's own types instead of NumPy's, None instead of not a number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value

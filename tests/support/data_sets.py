"""Data sets worked out by hand, for the facts and the page about them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from lung_tumor.dataset_facts import describe_dataset

_DEFAULTS = {
    "verdict": "accepted",
    "reason": "",
    "copy_of": "",
    "format": "PNG",
    "mode": "L",
    "width": 64,
    "height": 48,
    "given_split": "",
    "synthetic": False,
    "split": "training",
    "fold": 0,
}
PAIRS = pd.DataFrame(columns=["first", "second", "kind", "flipped"])
UNMEASURED = {"auc": None, "interval": {"low": None, "high": None}, "best": None, "reason": "too few groups"}
QUIET_SHORTCUTS = {
    "before": UNMEASURED,
    "after": UNMEASURED,
    "warn_at": 0.8,
    "pictures": 5,
    "groups": 4,
    "warning": False,
    "sentence": "Not measured.",
}
LOUD_SHORTCUTS = {
    "before": {
        "auc": 0.96,
        "interval": {"low": 0.9, "high": 0.99},
        "best": {"name": "deviation", "words": "the contrast", "auc": 0.95},
        "reason": "",
    },
    "after": {
        "auc": 0.7,
        "interval": {"low": 0.6, "high": 0.8},
        "best": {"name": "black_share", "words": "the share of black pixels", "auc": 0.66},
        "reason": "",
    },
    "warn_at": 0.8,
    "pictures": 5,
    "groups": 4,
    "warning": True,
    "sentence": "Brightness alone reaches an AUC of 0.96.",
}
ORIGIN = {
    "source": "folder made-up",
    "synthetic": False,
    "version": "9.8.7",
    "given_split": None,
    "joined_by": ["copies"],
    "classes_left_out": {},
    "minimum_groups": 3,
}


def files_of(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row a file; the label is the path's first folder, digests are made up from the path unless given.

    Given a ``picture``, ``group`` is that too unless given; a quarantined file belongs to no split.
    """
    full = []
    for row in rows:
        path = row["path"]
        made = {"label": path.split("/")[0], "digest": f"digest {path}", "pixels": f"pixels {path}", "picture": path}
        made |= {"group": row.get("picture", path)}
        if row.get("verdict") == "quarantined":
            made |= {"split": "", "fold": -1}
        full.append({**_DEFAULTS, **made, **row})
    return pd.DataFrame(full)


def trivial_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """Trivial numbers of every readable file: the first grey 10, the second 20 and so on."""
    readable = manifest[manifest["pixels"] != ""][["path", "width", "height"]].reset_index(drop=True)
    return readable.assign(bytes=100, mean=10.0 * (readable.index + 1), deviation=5.0)


def small() -> pd.DataFrame:
    """Eleven files of two classes: copies at three depths, a window, a file that cannot be read and a conflict."""
    unreadable = {"pixels": "", "picture": "", "group": "", "verdict": "quarantined", "reason": "empty file"}
    conflict = {"digest": "dx", "pixels": "px", "picture": "x", "verdict": "quarantined", "reason": "under two labels"}
    copy = {"verdict": "duplicate", "copy_of": "sick/1", "picture": "one", "group": "g"}
    return files_of(
        [
            {"path": "sick/1", "picture": "one", "group": "g", "digest": "d1", "pixels": "p1"},
            {"path": "sick/1 bytes", **copy, "digest": "d1", "pixels": "p1"},
            {"path": "sick/1 pixels", **copy, "pixels": "p1"},
            {"path": "sick/1 altered", **copy},
            {"path": "sick/2 window", "picture": "two", "group": "g"},
            {"path": "sick/3 empty", **unreadable},
            {"path": "sick/x", **conflict},
            {"path": "well/1", "split": "test", "fold": 1},
            {"path": "well/2", "split": "test", "fold": 1},
            {"path": "well/3"},
            {"path": "well/x", **conflict},
        ]
    )


def small_pairs() -> pd.DataFrame:
    """The verified pairs of :func:`small`: the altered copy is a mirror image."""
    rows = [("sick/1", "sick/1 altered", "copy", True), ("sick/1", "sick/2 window", "window", False)]
    return pd.DataFrame(rows, columns=PAIRS.columns)


def facts_of(manifest: pd.DataFrame, pairs: pd.DataFrame = PAIRS, **given: Any) -> dict[str, Any]:
    """Facts of a manifest; ``given`` replaces ``shortcuts``, ``trivial`` or single entries of the origin."""
    trivial = given.pop("trivial", trivial_of(manifest))
    shortcuts = given.pop("shortcuts", QUIET_SHORTCUTS)
    return describe_dataset(manifest, pairs, trivial, shortcuts, {**ORIGIN, **given})

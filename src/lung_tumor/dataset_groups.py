"""Which files of a manifest belong together, and which were set aside: lists for the data set card and ``audit.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from lung_tumor.manifest import ACCEPTED, QUARANTINED

_NEEDED = ("path", "label", "verdict", "digest", "pixels", "picture", "group")


def usable_files(manifest: pd.DataFrame) -> pd.DataFrame:
    """Every row that is not quarantined: the accepted files and their copies."""
    return manifest[manifest["verdict"] != QUARANTINED]


def _by(rows: pd.DataFrame, column: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of more than one file by the value of a column; in plain Python, for pandas takes a millisecond a group."""
    found: dict[str, list[dict[str, Any]]] = {}
    for values in rows[list(_NEEDED)].itertuples(index=False, name=None):
        row = dict(zip(_NEEDED, values, strict=True))
        found.setdefault(row[column], []).append(row)
    return {value: files for value, files in found.items() if value and len(files) > 1}


def duplicate_groups(manifest: pd.DataFrame, pairs: pd.DataFrame) -> list[dict[str, Any]]:
    """Pictures that several usable files show, largest first; files of equal pixels are one version, 0 the kept file's."""
    mirrored = {frozenset(pair) for pair in pairs.loc[pairs["flipped"].astype(bool), ["first", "second"]].to_numpy()}
    found = []
    for picture, files in _by(usable_files(manifest), "picture").items():
        kept = next((file for file in files if file["verdict"] == ACCEPTED), files[0])
        contents = dict.fromkeys([kept["pixels"], *(file["pixels"] for file in files)])
        version = {pixels: number for number, pixels in enumerate(contents)}
        copies = [
            {
                "path": file["path"],
                "same": _sameness(file, kept),
                "version": version[file["pixels"]],
                "mirrored": frozenset((file["path"], kept["path"])) in mirrored,
            }
            for file in files
            if file is not kept
        ]
        group = {"picture": picture, "label": kept["label"], "files": len(files), "versions": len(version)}
        found.append(group | {"kept": kept["path"], "copies": copies})
    return sorted(found, key=lambda group: (-group["files"], group["kept"]))


def _sameness(file: Mapping[str, Any], kept: Mapping[str, Any]) -> str:
    depths = (("digest", "bytes"), ("pixels", "pixels"))
    return next((depth for name, depth in depths if file[name] == kept[name]), "picture")


def joined_groups(manifest: pd.DataFrame, pairs: pd.DataFrame) -> list[dict[str, Any]]:
    """Groups that hold several pictures, largest first, with the number of window pairs among them."""
    usable = usable_files(manifest)
    group_of = dict(zip(usable["path"], usable["group"], strict=True))
    windows = pairs.loc[pairs["kind"] == "window", "first"].map(group_of).value_counts()
    found = []
    for group, files in _by(usable, "group").items():
        pictures = len({file["picture"] for file in files})
        if pictures > 1:
            row = {"group": group, "labels": sorted({file["label"] for file in files}), "pictures": pictures}
            kept = [file["path"] for file in files if file["verdict"] == ACCEPTED]
            found.append(row | {"files": len(files), "kept": kept, "window_pairs": int(windows.get(group, 0))})
    return sorted(found, key=lambda group: (-group["pictures"], group["kept"][:1]))


def find_conflicts(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Pictures that stand under more than one label, all their files quarantined."""
    found = []
    for picture, rows in _by(manifest[manifest["verdict"] == QUARANTINED], "picture").items():
        labels = sorted({row["label"] for row in rows})
        if len(labels) > 1:
            files = [{"path": row["path"], "label": row["label"]} for row in rows]
            found.append({"picture": picture, "labels": labels, "files": files})
    return sorted(found, key=lambda conflict: (-len(conflict["files"]), conflict["files"][0]["path"]))


def _kind_of(reason: str) -> str:
    """A reason without what differs from file to file: numbers, and what a decoder said in brackets."""
    return re.sub(r"\d[\d.,]*", "…", re.sub(r" \(.*\)", "", reason))


def list_quarantined(manifest: pd.DataFrame, conflicts: list[dict[str, Any]]) -> dict[str, Any]:
    """Reasons by number of files, and the files themselves; conflicts are told apart and not repeated."""
    told = {file["path"] for conflict in conflicts for file in conflict["files"]}
    rows = manifest[(manifest["verdict"] == QUARANTINED) & ~manifest["path"].isin(told)]
    kinds = rows["reason"].map(_kind_of)
    tally = sorted(kinds.value_counts().items(), key=lambda entry: (-entry[1], entry[0]))
    files = rows[["path", "label", "reason"]].to_dict("records")
    return {
        "reasons": [{"reason": str(reason), "files": int(count)} for reason, count in tally],
        "files": files,
    }

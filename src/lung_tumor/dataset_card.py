"""The data set card: one self-contained page about what a data set really holds, for readers without any background."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lung_tumor.figures import COLOURS
from lung_tumor.imaging import Pixels
from lung_tumor.manifest import SPLITS
from lung_tumor.pages import render_page, thumbnail_uri
from lung_tumor.wording import how_many, percent

# What one page shows of each kind: at most 112 + 5 · 6 + 6 · 4 + 32 = 198 thumbnails.
_GROUP_PICTURES, _GROUPS, _COPIES = 112, 40, 7
_JOINED, _JOINED_PICTURES = 5, 6
_CONFLICTS, _CONFLICT_FILES = 6, 4
_QUARANTINED = 32
_REASONS = 12

_FUNNEL = (
    ("files", "files"),
    ("distinct_bytes", "distinct files"),
    ("pictures", "pictures"),
    ("groups", "independent groups"),
)
_COUNTS = (
    ("files", "files"),
    ("readable", "readable"),
    ("distinct_bytes", "distinct files"),
    ("distinct_pixels", "distinct pixels"),
    ("pictures", "pictures"),
    ("groups", "groups"),
    ("quarantined", "quarantined"),
)
_SAME = {"bytes": "same bytes", "pixels": "same pixels", "picture": "altered"}


def needed_thumbnails(facts: Mapping[str, Any]) -> list[str]:
    """Paths of the pictures that the page shows, without repetition: at most 200, however large the data set."""
    shown = _gallery(facts)
    paths: list[str] = []
    for group in shown["groups"]:
        paths += [group["kept"], *(copy["path"] for copy in group["copies"])]
    for group in shown["joined"]:
        paths += group["kept"]
    for conflict in shown["conflicts"]:
        paths += [file["path"] for file in conflict["files"]]
    paths += [file["path"] for file in shown["quarantine"]]
    return list(dict.fromkeys(paths))


def render(facts: Mapping[str, Any], thumbnails: Mapping[str, Pixels]) -> str:
    """Render the page.

    Args:
        facts: of :func:`lung_tumor.dataset_facts.describe_dataset`.
        thumbnails: small pictures by path, each (height, width) uint8; those of :func:`needed_thumbnails`. Where one is
            missing the page says so.

    Returns:
        HTML without any reference to the network and without scripts.
    """
    colours = {label: COLOURS[index % len(COLOURS)] for index, label in enumerate(facts["classes"])}
    return render_page(
        "dataset_card.html.j2",
        facts=facts,
        colours=colours,
        funnel=_funnel(facts),
        counted=_COUNTS,
        count_rows=[*facts["counts"]["by_class"].items(), ("all classes", facts["counts"]["total"])],
        parts=_parts(facts),
        gallery=_gallery(facts),
        same=_SAME,
        histograms=_histograms(facts["histograms"]),
        aucs=_aucs(facts["shortcuts"]),
        random_split=[(label, share, percent(share)) for label, share in facts["random_split"]["by_class"].items()],
        uris={path: thumbnail_uri(pixels) for path, pixels in thumbnails.items()},
        how_many=how_many,
        percent=percent,
    )


# --- What is shown of the long lists ----------------------------------------------------------------------------------


def _gallery(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of every long list that the page shows, and how much it leaves out."""
    groups, joined, conflicts = facts["duplicate_groups"], facts["joined_groups"], facts["conflicts"]
    files, reasons = facts["quarantine"]["files"], facts["quarantine"]["reasons"]
    largest = _largest_of_each_class(groups)
    chosen = _one_of_each_first(files, "reason")[:_QUARANTINED]
    return {
        "groups": [
            _cut({**group, "copies": _one_of_each_first(group["copies"], "version")}, "copies", _COPIES)
            for group in largest
        ],
        "more_groups": len(groups) - len(largest),
        "joined": [_cut(group, "kept", _JOINED_PICTURES) for group in joined[:_JOINED]],
        "more_joined": max(0, len(joined) - _JOINED),
        "conflicts": [_cut(conflict, "files", _CONFLICT_FILES) for conflict in conflicts[:_CONFLICTS]],
        "more_conflicts": max(0, len(conflicts) - _CONFLICTS),
        "quarantine": chosen,
        "more_quarantined": len(files) - len(chosen),
        "reasons": reasons[:_REASONS],
        "more_reasons": max(0, len(reasons) - _REASONS),
    }


def _cut(entry: Mapping[str, Any], name: str, most: int) -> dict[str, Any]:
    return {**entry, name: entry[name][:most], "more": max(0, len(entry[name]) - most)}


def _largest_of_each_class(groups: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """As many duplicate groups as there is room for, classes in turn, so that no class hides another; largest first."""
    chosen: list[Mapping[str, Any]] = []
    room = _GROUP_PICTURES
    for group in _one_of_each_first(groups, "label"):
        room -= min(group["files"], _COPIES + 1)
        if room < 0 or len(chosen) == _GROUPS:
            break
        chosen.append(group)
    return sorted(chosen, key=lambda group: (-group["files"], group["kept"]))


def _one_of_each_first(files: Iterable[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """Files in an order that shows every value of ``name`` before it shows one twice."""
    seen: Counter[Any] = Counter()
    ranked = []
    for file in files:
        ranked.append((seen[file[name]], file))
        seen[file[name]] += 1
    return [file for _, file in sorted(ranked, key=lambda entry: entry[0])]


# --- What is drawn ----------------------------------------------------------------------------------------------------


def _funnel(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per class the steps from files to groups: name, count and width in per cent of the largest class."""
    by_class = facts["counts"]["by_class"]
    most = max([count["files"] for count in by_class.values()], default=1) or 1
    return [
        {"label": label, "steps": [(title, count[key], _rounded(100 * count[key] / most)) for key, title in _FUNNEL]}
        for label, count in by_class.items()
    ]


def _parts(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two tables, splits and folds; a table of what was never assigned is left out."""
    total = facts["counts"]["total"]
    tables = []
    for key, title, names in (
        ("splits", "Split", {split: split for split in SPLITS}),
        ("folds", "Folds for cross-validation", {fold: f"fold {int(fold) + 1}" for fold in total["folds"]}),
    ):
        rows = [
            *((label, count[key]) for label, count in facts["counts"]["by_class"].items()),
            ("all classes", total[key]),
        ]
        if any(part["files"] for part in total[key].values()):
            tables.append({"title": title, "names": names, "rows": rows})
    return tables


def _histograms(histograms: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Bar heights in per cent of each class's tallest, so that shapes compare between small and large classes."""
    drawn = []
    for histogram in histograms:
        edges, strips = histogram["edges"], []
        for label, counts in histogram["counts"].items():
            highest = max(counts, default=0) or 1
            peak = counts.index(max(counts)) if counts else 0
            strips.append(
                {
                    "label": label,
                    "files": sum(counts),
                    "bars": [_rounded(100 * count / highest) for count in counts],
                    "peak": (edges[peak], edges[peak + 1]),
                }
            )
        middle = edges[len(edges) // 2]
        drawn.append({**histogram, "strips": strips, "ticks": [edges[0], middle, edges[-1]]})
    return drawn


def _aucs(shortcuts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Before and after preparation: positions in per cent of an axis from 0 to 1, and the figure in words."""
    rows = []
    for name, title in (("before", "files as they came"), ("after", "after preparation")):
        result = shortcuts[name]
        auc, interval, best = result["auc"], result["interval"], result["best"]
        if interval and None in interval:
            interval = None
        row: dict[str, Any] = {"title": title, "auc": auc, "reason": result["reason"] or "not measured", "best": best}
        if auc is not None:
            low, high = (auc if end is None else end for end in (interval["low"], interval["high"]))
            text = f"{auc:.2f}" + ("" if interval["low"] is None else f" ({low:.2f} to {high:.2f})")
            row |= {
                "text": text,
                "low": _rounded(100 * low),
                "width": _rounded(100 * (high - low)),
                "at": _rounded(100 * auc),
            }
        rows.append(row)
    return rows


def _rounded(value: float) -> float:
    return round(float(value), 2)

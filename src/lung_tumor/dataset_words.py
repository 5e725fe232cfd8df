"""The facts of a data set in plain sentences: headline, warnings, and what they mean for any score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lung_tumor.bootstrap import LEVEL
from lung_tumor.manifest import TEST
from lung_tumor.shortcuts import CHANCE
from lung_tumor.wording import how_many, listed, percent

_LEAKS = 3
"""Leaks of a given split that the warning spells out, worst first; the table shows all."""


def headline(facts: Mapping[str, Any]) -> str:
    """One sentence: how many pictures stand behind how many files."""
    total = facts["counts"]["total"]
    files, pictures = how_many(total["files"], "file"), how_many(total["pictures"], "different picture")
    copies = total["usable"] > total["pictures"]
    if set_aside := total["quarantined"]:
        shown = f"{'shows' if total['usable'] == 1 else 'show'} {'only ' if copies else ''}{pictures}"
        return f"Of {files}, {set_aside:,} cannot be used; the other {total['usable']:,} {shown}"
    return f"{files} show only {pictures}" if copies else f"{files}, {pictures}, no copies"


def leak_sentence(row: Mapping[str, Any]) -> str:
    """How many files of one class in one given split have a relative in an earlier one."""
    whole = f"{row['leaking']} of {row['files']} {row['split']} files of {row['label']}"
    where = " or ".join(name for name, count in row["earlier"].items() if count) or next(iter(row["earlier"]))
    if row["copies"] == row["leaking"]:
        return f"{whole} {'is' if row['leaking'] == 1 else 'are'} also in {where}"
    return f"{whole} {'is' if row['leaking'] == 1 else 'are'} related to files in {where}, {row['copies']} as the same picture"


def warnings(facts: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing any figure, most important first."""
    found = []
    total, minimum = facts["counts"]["total"], facts["origin"]["minimum_groups"]
    if facts["synthetic"]:
        found.append(_synthetic(facts["synthetic_files"], total["files"]))
    if facts["shortcuts"]["warning"]:
        found.append(facts["shortcuts"]["sentence"])
    found.extend(
        f"{line}. That is fewer than {minimum}: any figure about this class is a rough guess."
        for line in facts["few_groups"]
    )
    if facts["shortcuts"]["before"]["auc"] is None:
        found.append(facts["shortcuts"]["sentence"])
    if leaks := [row for row in facts["given_split"] if row["leaking"]]:
        found.append(_leaks(leaks, facts["origin"]["given_split"]))
    if conflicts := facts["conflicts"]:
        files = sum(len(conflict["files"]) for conflict in conflicts)
        verb = "stands" if len(conflicts) == 1 else "stand"
        found.append(
            f"{how_many(len(conflicts), 'picture')} {verb} under more than one label. No one can say which is right, so all "
            f"{files} files were set aside."
        )
    if copies := total["usable"] - total["pictures"]:
        found.append(
            f"{copies:,} of {how_many(total['usable'], 'usable file')} ({percent(copies / total['usable'])}) "
            f"{'is a copy' if copies == 1 else 'are copies'} of another. They stay on one side of the split and count once."
        )
    return found


def _leaks(rows: list[Mapping[str, Any]], given_split: str | None) -> str:
    worst = sorted(rows, key=lambda row: (-row["leaking"] / row["files"], row["label"], row["split"]))
    told = "; ".join(row["sentence"] for row in worst[:_LEAKS])
    more = f"; {len(worst) - _LEAKS} more like it" if len(worst) > _LEAKS else ""
    done = {"remade": " It was made anew.", "kept": " It was kept without the files that leak."}
    return f"The split that the data came with leaks: {told}{more}.{done.get(given_split or '', '')}"


def _synthetic(drawn: int, files: int) -> str:
    if 0 < drawn < files:
        return (
            f"Synthetic: {drawn:,} of {files:,} files were drawn by the built-in phantom. Figures on such a mixture say "
            "nothing about patients."
        )
    return "Synthetic: every slice was drawn by the built-in phantom. Nothing here says anything about patients."


def meaning(facts: Mapping[str, Any]) -> list[str]:
    """What the numbers mean for any score on this data set: two to four sentences."""
    found = [_random_split(facts["random_split"])]
    tested = {label: count["splits"][TEST]["groups"] for label, count in facts["counts"]["by_class"].items()}
    if any(tested.values()):
        label = min(tested, key=lambda name: (tested[name], name))
        found.append(_smallest_test_class(label, tested[label]))
    after = facts["shortcuts"]["after"]["auc"]
    if after is not None:
        mean = "a mean AUC" if len(facts["classes"]) > 2 else "an AUC"
        bar = "that" if after > CHANCE else f"chance ({CHANCE})"
        found.append(
            f"Without looking at anatomy at all, brightness and a tiny thumbnail of the prepared slices reach {mean} of "
            f"{after:.2f}: only what a network scores clearly above {bar} can be about the chest."
        )
    if facts["synthetic"] and facts["synthetic_files"] < facts["counts"]["total"]["files"]:
        found.append("Part of the slices are synthetic, so no score on this mixture says anything about patients.")
    elif facts["synthetic"]:
        found.append("The slices are synthetic, so even a perfect score would only show that the software works.")
    return found


def _random_split(split: Mapping[str, Any]) -> str:
    shares = sorted(split["by_class"].items(), key=lambda entry: (-entry[1], entry[0]))
    percentages = f"{100 * (1 - split['held_out']):.0f}/{100 * split['held_out']:.0f}"
    if shares[0][1] < 0.005:
        return f"A random {percentages} split of the files would leak next to nothing: hardly a file has a copy or relative."
    worst = listed([f"{percent(share)} of the {label} files" for label, share in shares[:4]])
    more = f" (the other {len(shares) - 4} classes less)" if len(shares) > 4 else ""
    extent = "mostly" if shares[0][1] >= 0.5 else "partly"
    return (
        f"After the usual random {percentages} split of the files, {worst}{more} held back for testing would have a copy or a "
        f"relative in training. A score from such a split {extent} measures memory; here, relatives stay together."
    )


def _smallest_test_class(label: str, groups: int) -> str:
    """The exact 95 % interval of a share when all of n are right begins at 0.025^(1/n) (Clopper and Pearson 1934)."""
    if groups == 0:
        return f"No independent picture of {label} is left for the test: nothing can be said about that class."
    bound = ((1.0 - LEVEL) / 2.0) ** (1.0 / groups)
    rightly = {1: "that one", 2: "both"}.get(groups, f"all {groups:,}")
    return (
        f"The test holds {how_many(groups, 'independent picture')} of {label}. Even a model that gets {rightly} right may be "
        f"right in as few as {percent(bound)} of new cases (lower end of the 95 % interval)."
    )

"""Training, validation and test."""

from __future__ import annotations

import pandas as pd
import pytest

from lung_tumor.errors import LeakError
from lung_tumor.manifest import SPLITS, accepted
from lung_tumor.splits import SplitOptions, assign_splits, require_disjoint
from tests.support.manifests import manifest_of, many, pairs_of

OPTIONS = SplitOptions(validation=0.15, test=0.25)


def counts(manifest: pd.DataFrame, label: str) -> dict[str, int]:
    return manifest[manifest["label"] == label]["split"].value_counts().to_dict()


def in_groups(label: str, sizes: list[int]) -> list[dict[str, str]]:
    """Rows of one class: so many slices in each group."""
    return [
        {"path": f"{label}/{group}/{index}.png", "label": label, "group": f"{label}{group}"}
        for group, size in enumerate(sizes)
        for index in range(size)
    ]


def test_every_class_is_split_by_the_same_shares() -> None:
    split = assign_splits(many({"rare": 20, "common": 200}), OPTIONS, seed=1)
    assert counts(split, "rare") == {"training": 12, "validation": 3, "test": 5}
    assert counts(split, "common") == {"training": 120, "validation": 30, "test": 50}


def test_a_group_never_stands_on_two_sides() -> None:
    manifest = manifest_of([*in_groups("a", [5, 4, 4, 3, 2, 2, 1, 1, 1, 1]), *in_groups("b", [3] * 8)])
    split = assign_splits(manifest, OPTIONS, seed=1)
    assert len(split.drop_duplicates(["group", "split"])) == split["group"].nunique()
    assert set(split["split"]) == set(SPLITS)
    assert require_disjoint(split, pairs_of()) is split


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    manifest = many({"a": 40, "b": 30})
    first, again, other = (assign_splits(manifest, OPTIONS, seed)["split"] for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_the_order_of_the_rows_does_not_matter() -> None:
    manifest = manifest_of([*in_groups("a", [4, 4, 3, 3, 2, 2, 1, 1]), *in_groups("b", [1] * 12)])
    shuffled = manifest.sample(frac=1, random_state=3)
    expected = assign_splits(manifest, OPTIONS, seed=1).set_index("path")["split"]
    received = assign_splits(shuffled, OPTIONS, seed=1).set_index("path")["split"]
    assert received.to_dict() == expected.to_dict()


def test_a_group_larger_than_the_rest_goes_to_training_and_the_rest_is_shared() -> None:
    split = assign_splits(manifest_of([*in_groups("a", [90, *[1] * 10]), *in_groups("b", [1] * 20)]), OPTIONS, seed=1)
    assert set(split[split["group"] == "a0"]["split"]) == {"training"}
    # Ten slices for shares of 15 and 25: test lacks more until both lack the same.
    assert counts(split, "a") == {"training": 90, "test": 10 - counts(split, "a")["validation"], "validation": 1}


@pytest.mark.parametrize("sizes", [[1, 1, 1], [50, 1, 1], [10, 10, 10], [30, 1, 1, 1]])
def test_no_split_of_a_class_stays_empty(sizes: list[int]) -> None:
    split = assign_splits(manifest_of([*in_groups("a", sizes), *in_groups("b", [1] * 9)]), SplitOptions(0.01, 0.01), 7)
    assert counts(split, "a").keys() == set(SPLITS)


def test_quarantined_files_are_in_no_split() -> None:
    manifest = many({"a": 10, "b": 10})
    manifest.loc[[0, 12], "verdict"] = "quarantined"
    split = assign_splits(manifest, OPTIONS, seed=1)
    assert split.index[split["split"] == ""].tolist() == [0, 12]


def test_the_given_manifest_stays_as_it_was() -> None:
    manifest = many({"a": 5, "b": 5})
    before = manifest.copy()
    assign_splits(manifest, OPTIONS, seed=1)
    pd.testing.assert_frame_equal(manifest, before)


def test_a_class_of_two_groups_is_split_as_far_as_it_goes() -> None:
    split = assign_splits(manifest_of([*in_groups("few", [6, 1]), *in_groups("many", [1] * 9)]), OPTIONS, seed=1)
    assert counts(split, "few") == {"training": 6, "test": 1}
    assert counts(split, "many").keys() == set(SPLITS)


def test_a_group_of_two_classes_stands_on_one_side_for_both() -> None:
    patients = [
        {"path": f"{label}/{patient}.png", "label": label, "group": f"patient{patient}"}
        for patient in range(30)
        for label in ("a", "b")
    ]
    split = assign_splits(manifest_of([*patients, *in_groups("b", [1] * 20)]), OPTIONS, seed=1)
    assert (split.groupby("group")["split"].nunique() == 1).all()
    assert (split.groupby("group")["fold"].nunique() == 1).all()
    assert counts(split, "a") == pytest.approx({"training": 18, "validation": 4.5, "test": 7.5}, abs=1)
    assert counts(split, "b") == pytest.approx({"training": 30, "validation": 7.5, "test": 12.5}, abs=1)


def test_folds_keep_groups_together_and_share_every_class() -> None:
    manifest = manifest_of([*in_groups("a", [4, 3, 3, 2, 2, 2, 1, 1, 1, 1]), *in_groups("b", [1] * 40)])
    split = assign_splits(manifest, SplitOptions(folds=4), seed=1)
    assert (split.groupby("group")["fold"].nunique() == 1).all()
    assert split[split["label"] == "a"]["fold"].value_counts().to_dict() == dict.fromkeys(range(4), 5)
    assert split[split["label"] == "b"]["fold"].value_counts().to_dict() == dict.fromkeys(range(4), 10)


def test_what_is_not_accepted_is_in_no_fold_and_copies_show_the_split_of_their_group() -> None:
    manifest = many({"a": 10, "b": 10})
    manifest.loc[0, "verdict"] = "quarantined"
    manifest.loc[1, ["verdict", "group"]] = ["duplicate", manifest.loc[2, "group"]]
    split = assign_splits(manifest, OPTIONS, seed=1)
    assert split.loc[[0, 1], "fold"].tolist() == [-1, -1]
    assert split.loc[0, "split"] == ""
    assert split.loc[1, "split"] == split.loc[2, "split"] != ""
    assert (accepted(split)["fold"] >= 0).all()


def given(label: str, split: str, group: str, **more: str) -> dict[str, str]:
    return {"path": f"{split}/{label}/{group}.png", "label": label, "given_split": split, "group": group, **more}


def test_a_split_that_the_source_came_with_is_remade_by_default() -> None:
    rows = [given(label, "training", f"{label}{index}") for label in "ab" for index in range(20)]
    split = assign_splits(manifest_of(rows), OPTIONS, seed=1)
    assert counts(split, "a") == {"training": 12, "validation": 3, "test": 5}


def test_a_kept_split_loses_the_files_that_leak() -> None:
    rows = [given(label, split, f"{label}{split}{index}") for label in "ab" for split in SPLITS for index in range(5)]
    rows += [
        given("a", "test", "atraining0"),
        given("a", "validation", "atraining1"),
        given("b", "test", "bvalidation2"),
    ]
    split = assign_splits(manifest_of(rows), SplitOptions(given="keep"), seed=1).set_index("path")
    leaking = split[split["verdict"] == "quarantined"]
    assert set(leaking.index) == {"test/a/atraining0.png", "validation/a/atraining1.png", "test/b/bvalidation2.png"}
    assert leaking.loc["test/b/bvalidation2.png", "reason"] == (
        "it leaks: the source puts it in test, and its group also in validation"
    )
    assert (leaking["split"] == "").all()
    kept = split[split["verdict"] == "accepted"]
    assert (kept["split"] == kept["given_split"]).all()
    assert require_disjoint(split.reset_index(), pairs_of()) is not None


def test_with_a_leaking_picture_go_the_copies_that_it_stood_for() -> None:
    rows = [given(label, split, f"{label}{split}{index}") for label in "ab" for split in SPLITS for index in range(5)]
    rows += [
        given("a", "test", "atraining0"),
        given("a", "test", "atraining0", path="copy", verdict="duplicate", copy_of="test/a/atraining0.png"),
        given("a", "test", "atraining1", path="other", verdict="duplicate", copy_of="training/a/atraining1.png"),
    ]
    split = assign_splits(manifest_of(rows), SplitOptions(given="keep"), seed=1).set_index("path")
    assert split.loc["copy", ["verdict", "copy_of", "split"]].tolist() == ["quarantined", "", ""]
    assert split.loc["other", ["verdict", "copy_of", "split"]].tolist() == [
        "duplicate",
        "training/a/atraining1.png",
        "training",
    ]


def test_a_kept_split_without_validation_takes_it_from_training() -> None:
    rows = [
        given(label, split, f"{label}{split}{i}") for label in "ab" for split in ("training", "test") for i in range(20)
    ]
    split = assign_splits(manifest_of(rows), SplitOptions(validation=0.25, given="keep"), seed=1)
    assert counts(split, "a") == {"training": 15, "validation": 5, "test": 20}
    moved = split[split["split"] == "validation"]
    assert set(moved["given_split"]) == {"training"}


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (0.0, 0.2, r"split\.validation must lie in \(0, 1\), received 0"),
        (0.2, 1.0, r"split\.test must lie in \(0, 1\), received 1"),
        (0.5, 0.5, r"split\.validation \+ split\.test must be below 1, received 1"),
    ],
)
def test_impossible_shares_are_named(validation: float, test: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitOptions(validation, test)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"folds": 1}, r"split\.folds must lie in \[2, 20\], received 1"),
        ({"given": "merge"}, r"split\.given must be one of \('remake', 'keep'\), received 'merge'"),
    ],
)
def test_impossible_options_are_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitOptions(**wrong)  # type: ignore[arg-type]


def test_training_takes_the_rest() -> None:
    assert OPTIONS.shares == pytest.approx({"training": 0.6, "validation": 0.15, "test": 0.25})


@pytest.mark.parametrize("column", ["group", "picture", "digest", "pixels"])
def test_a_leak_is_found_by_group_picture_bytes_and_pixels_and_its_files_named(column: str) -> None:
    split = assign_splits(many({"a": 10, "b": 10}), OPTIONS, seed=1)
    one, other = (split.index[split["split"] == name][0] for name in ("training", "test"))
    split.loc[other, column] = split.loc[one, column]
    with pytest.raises(LeakError, match=rf"1 {column} value\(s\) stand in more than one split") as caught:
        require_disjoint(split, pairs_of())
    assert split.loc[one, "path"] in str(caught.value)
    assert split.loc[other, "path"] in str(caught.value)


@pytest.mark.parametrize("kind", ["copy", "window"])
def test_a_verified_pair_across_splits_is_a_leak_whatever_the_groups_say(kind: str) -> None:
    split = assign_splits(many({"a": 10, "b": 10}), OPTIONS, seed=1)
    one, other = (str(split.loc[split["split"] == name, "path"].iloc[0]) for name in ("training", "test"))
    with pytest.raises(LeakError, match=r"1 pair\(s\) of near-duplicates stand in more than one split") as caught:
        require_disjoint(split, pairs_of((one, other), kind=kind))
    assert one in str(caught.value)
    assert other in str(caught.value)


def test_a_verified_pair_within_one_split_is_none() -> None:
    split = assign_splits(many({"a": 10, "b": 10}), OPTIONS, seed=1)
    one, other = split.loc[split["split"] == "training", "path"].iloc[:2]
    assert require_disjoint(split, pairs_of((one, other))) is split


def test_a_quarantined_copy_is_no_leak() -> None:
    split = assign_splits(many({"a": 10, "b": 10}), OPTIONS, seed=1)
    split.loc[1, ["verdict", "split", "pixels"]] = ["quarantined", "", split.loc[0, "pixels"]]
    assert require_disjoint(split, pairs_of(("a/1.png", str(split.loc[0, "path"])))) is split

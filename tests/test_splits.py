"""Training, validation and test."""

from __future__ import annotations

import pandas as pd
import pytest

from lung_tumor.errors import LeakError, SourceError
from lung_tumor.splits import SPLITS, SplitOptions, assign_splits, require_disjoint
from tests.support.manifests import manifest_of, many

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
    assert require_disjoint(split) is split


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


def test_a_class_of_two_pictures_cannot_be_split() -> None:
    manifest = manifest_of([*in_groups("few", [6, 1]), *in_groups("many", [1] * 9)])
    with pytest.raises(SourceError, match=r"class 'few' has 2 distinct picture\(s\)"):
        assign_splits(manifest, OPTIONS, seed=1)


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


def test_training_takes_the_rest() -> None:
    assert OPTIONS.shares == pytest.approx({"training": 0.6, "validation": 0.15, "test": 0.25})


@pytest.mark.parametrize("column", ["group", "digest", "pixels"])
def test_a_leak_is_found_by_group_bytes_and_pixels_and_its_files_named(column: str) -> None:
    split = assign_splits(many({"a": 10, "b": 10}), OPTIONS, seed=1)
    one, other = (split.index[split["split"] == name][0] for name in ("training", "test"))
    split.loc[other, column] = split.loc[one, column]
    with pytest.raises(LeakError, match=rf"1 {column} value\(s\) stand in more than one split") as caught:
        require_disjoint(split)
    assert split.loc[one, "path"] in str(caught.value)
    assert split.loc[other, "path"] in str(caught.value)


def test_a_quarantined_copy_is_no_leak() -> None:
    split = assign_splits(many({"a": 10, "b": 10}), OPTIONS, seed=1)
    split.loc[1, ["verdict", "split", "pixels"]] = ["quarantined", "", split.loc[0, "pixels"]]
    assert require_disjoint(split) is split

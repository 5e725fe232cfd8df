"""What a data set holds, worked out by hand."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from lung_tumor.dataset_facts import audit_given_split, few_groups, share_with_relative_in_training
from tests.support.data_sets import facts_of, files_of, small, small_pairs, trivial_of

FACTS = facts_of(small(), small_pairs())


# --- Counts ---------------------------------------------------------------------------------------------------------


def depths(count: dict[str, object]) -> list[object]:
    names = ("files", "readable", "distinct_bytes", "distinct_pixels", "usable", "pictures", "groups", "quarantined")
    return [count[name] for name in names]


def test_files_are_counted_at_every_depth_by_class_and_in_total() -> None:
    assert depths(FACTS["counts"]["by_class"]["sick"]) == [7, 6, 6, 4, 5, 2, 1, 2]
    assert depths(FACTS["counts"]["by_class"]["well"]) == [4, 4, 4, 4, 3, 3, 3, 1]
    # The conflicting file stands in both classes with the same bytes: once in the total.
    assert depths(FACTS["counts"]["total"]) == [11, 10, 9, 7, 8, 5, 4, 3]


def test_usable_pictures_groups_and_files_are_counted_by_split_and_fold() -> None:
    sick, well = (FACTS["counts"]["by_class"][label] for label in ("sick", "well"))
    assert sick["splits"]["training"] == {"pictures": 2, "groups": 1, "files": 5}
    assert sick["splits"]["test"] == sick["folds"]["1"] == {"pictures": 0, "groups": 0, "files": 0}
    assert well["splits"]["test"] == well["folds"]["1"] == {"pictures": 2, "groups": 2, "files": 2}
    assert FACTS["counts"]["total"]["folds"]["0"] == {"pictures": 3, "groups": 2, "files": 6}


def test_a_data_set_without_folds_has_none() -> None:
    assert facts_of(small().assign(fold=-1))["counts"]["total"]["folds"] == {}


# --- Groups ---------------------------------------------------------------------------------------------------------


def test_copies_are_listed_beside_the_kept_file_with_what_they_share() -> None:
    (group,) = FACTS["duplicate_groups"]
    assert (group["kept"], group["files"], group["versions"], group["label"]) == ("sick/1", 4, 2, "sick")
    assert group["copies"] == [
        {"path": "sick/1 altered", "same": "picture", "version": 1, "mirrored": True},
        {"path": "sick/1 bytes", "same": "bytes", "version": 0, "mirrored": False},
        {"path": "sick/1 pixels", "same": "pixels", "version": 0, "mirrored": False},
    ]


def test_duplicate_groups_stand_largest_first_then_by_name() -> None:
    rows = [{"path": f"a/{picture}{n}", "picture": picture, "verdict": "duplicate" if n else "accepted"}
            for picture, count in (("z", 2), ("y", 3), ("b", 2), ("lonely", 1)) for n in range(count)]  # fmt: skip
    assert [group["kept"] for group in facts_of(files_of(rows))["duplicate_groups"]] == ["a/y0", "a/b0", "a/z0"]


def test_groups_of_several_pictures_are_listed_with_their_window_pairs() -> None:
    assert FACTS["joined_groups"] == [
        {
            "group": "g",
            "labels": ["sick"],
            "pictures": 2,
            "files": 5,
            "kept": ["sick/1", "sick/2 window"],
            "window_pairs": 1,
        }
    ]


def test_a_picture_under_two_labels_is_a_conflict_and_not_told_again_as_quarantined() -> None:
    files = [{"path": "sick/x", "label": "sick"}, {"path": "well/x", "label": "well"}]
    assert FACTS["conflicts"] == [{"picture": "x", "labels": ["sick", "well"], "files": files}]
    assert FACTS["quarantine"] == {
        "reasons": [{"reason": "empty file", "files": 1}],
        "files": [{"path": "sick/3 empty", "label": "sick", "reason": "empty file"}],
    }


def test_quarantined_copies_under_one_label_are_no_conflict() -> None:
    rows = [{"path": f"a/{n}", "picture": "p", "verdict": "quarantined", "reason": "blank"} for n in range(2)]
    facts = facts_of(files_of([*rows, {"path": "a/good"}]))
    assert facts["conflicts"] == []
    assert facts["quarantine"]["reasons"] == [{"reason": "blank", "files": 2}]


# --- Few groups -------------------------------------------------------------------------------------------------------


def test_classes_with_few_groups_are_named_with_groups_and_files() -> None:
    assert few_groups(small(), 4) == [
        "sick: 1 independent picture behind 5 files",
        "well: 3 independent pictures behind 3 files",
    ]
    assert few_groups(small(), 3) == ["sick: 1 independent picture behind 5 files"]
    assert few_groups(small(), 1) == []


# --- The split that came with the data ----------------------------------------------------------------------------------


def test_a_given_split_is_audited_by_class_and_later_split() -> None:
    manifest = files_of(
        [
            {"path": "a/1", "picture": "one", "given_split": "training"},
            {"path": "a/2", "picture": "two", "group": "patient", "given_split": "training"},
            {"path": "a/3", "picture": "three", "given_split": "validation"},
            {"path": "a/4", "picture": "one", "given_split": "test"},
            {"path": "a/5", "picture": "five", "group": "patient", "given_split": "test"},
            {"path": "a/6", "picture": "three", "given_split": "test"},
            {"path": "a/7", "picture": "seven", "given_split": "test"},
            {"path": "a/8", "picture": "one", "given_split": ""},
        ]
    )
    validation, test = audit_given_split(manifest)
    assert validation["leaking"] == 0
    assert {key: test[key] for key in ("label", "split", "files", "leaking", "copies", "earlier")} == {
        "label": "a",
        "split": "test",
        "files": 4,
        "leaking": 3,
        "copies": 2,
        "earlier": {"training": 2, "validation": 1},
    }
    assert test["sentence"] == (
        "3 of 4 test files of a are related to files in training or validation, 2 as the same picture"
    )


def test_copies_across_a_given_split_are_said_in_one_plain_sentence() -> None:
    rows = [{"path": f"a/{n}", "picture": "p", "given_split": "test" if n else "training"} for n in range(3)]
    assert audit_given_split(files_of(rows))[0]["sentence"] == "2 of 2 test files of a are also in training"


def test_a_relative_of_another_class_leaks_too() -> None:
    rows = [
        {"path": "a/1", "group": "patient", "given_split": "training"},
        {"path": "b/1", "group": "patient", "given_split": "test"},
    ]
    assert [(row["label"], row["leaking"]) for row in audit_given_split(files_of(rows))] == [("b", 1)]


def test_data_that_came_unsplit_has_no_such_audit() -> None:
    assert FACTS["given_split"] == []


# --- The usual random split ---------------------------------------------------------------------------------------------


def test_the_share_with_a_relative_in_training_is_that_of_drawing_without_replacement() -> None:
    # 2 of 10 drawn: beside a drawn file its only copy is drawn with probability 1/9, and two copies never both are.
    assert share_with_relative_in_training([2, 2], 10) == pytest.approx(8 / 9)
    assert share_with_relative_in_training([3, 3, 3, 1], 10) == pytest.approx(3 / 4)
    assert share_with_relative_in_training([1] * 10, 10) == 0
    assert share_with_relative_in_training([], 10) == 0
    # Half of 4 drawn, copies in threes: both others would have to be drawn, but one more is.
    assert share_with_relative_in_training([3, 3, 3], 4, held_out=0.5) == 1


def test_a_simulation_of_random_splits_agrees() -> None:
    groups = np.repeat(np.arange(9), [1, 1, 1, 2, 2, 3, 4, 6, 10])
    rng, shares = np.random.default_rng(0), []
    for _ in range(4000):
        held = rng.permutation(len(groups)) < 9
        shares.append(np.isin(groups[held], groups[~held]).mean())
    exact = share_with_relative_in_training(np.bincount(groups)[groups], len(groups), held_out=0.3)
    assert exact == pytest.approx(np.mean(shares), abs=0.01)


def test_each_class_has_its_share_of_the_random_split() -> None:
    # 8 usable files, 2 drawn: the group of five sick ones always leaves one in training.
    assert FACTS["random_split"]["by_class"] == {"sick": 1.0, "well": 0.0}


# --- Histograms -----------------------------------------------------------------------------------------------------------


def test_usable_files_are_counted_in_bins_shared_by_the_classes() -> None:
    trivial = pd.DataFrame(
        {"path": ["a/1", "a/2", "b/1", "b/q"], "width": [100, 300, 200, 900], "height": [200, 100, 50, 900]}
    ).assign(mean=[0.0, 255.0, 128.0, 64.0], deviation=[0.0, 127.5, 10.0, 10.0])
    manifest = files_of(
        [{"path": path, "verdict": "quarantined" if "q" in path else "accepted"} for path in trivial["path"]]
    )
    size, brightness, contrast = facts_of(manifest, trivial=trivial)["histograms"]
    assert (size["edges"][0], size["edges"][-1]) == (200, 300)
    assert [sum(counts) for histogram in (size, brightness, contrast) for counts in histogram["counts"].values()] == [
        2,
        1,
    ] * 3
    assert (brightness["counts"]["a"][0], brightness["counts"]["a"][-1]) == (1, 1)
    assert contrast["counts"]["a"][-1] == 1
    assert (size["counts"]["a"][0], size["counts"]["a"][-1], size["counts"]["b"][0]) == (1, 1, 1)


def test_one_giant_picture_does_not_squeeze_all_others_into_one_bin() -> None:
    trivial = trivial_of(small()).assign(width=[100, 110, 120, 130, 140, 150, 160, 170, 180, 4000])
    counts = facts_of(small(), trivial=trivial)["histograms"][0]["counts"]
    assert sum(np.array(counts["sick"]) > 0) >= 3


def test_without_any_trivial_number_histograms_are_empty() -> None:
    for histogram in facts_of(small(), trivial=trivial_of(small()).iloc[:0])["histograms"]:
        assert {sum(counts) for counts in histogram["counts"].values()} == {0}


# --- As a whole -------------------------------------------------------------------------------------------------------------


def test_facts_are_plain_json_whatever_the_order_of_rows() -> None:
    shuffled = facts_of(small().sample(frac=1, random_state=1), small_pairs().iloc[::-1], trivial=trivial_of(small()))
    assert json.dumps(shuffled, allow_nan=False) == json.dumps(FACTS, allow_nan=False)


def test_a_manifest_read_from_a_csv_file_gives_the_same_facts() -> None:
    read = pd.read_csv(io.StringIO(small().to_csv(index=False)))
    assert facts_of(read, small_pairs(), trivial=trivial_of(small())) == FACTS


def test_what_is_not_a_number_becomes_null() -> None:
    broken = {"auc": np.float64("nan"), "interval": (np.float32(0.5), float("inf")), "best": None, "reason": None}
    shortcuts = {"before": broken, "after": broken, "pictures": np.int64(3), "groups": 3, "warning": np.bool_(False)}
    facts = facts_of(small(), shortcuts={**shortcuts, "sentence": "none"})
    assert facts["shortcuts"]["before"]["auc"] is None
    assert facts["shortcuts"]["before"]["interval"] == [0.5, None]
    json.dumps(facts, allow_nan=False)


def test_one_drawn_file_makes_the_data_set_synthetic() -> None:
    assert FACTS["synthetic"] is False
    assert facts_of(small(), synthetic=True)["synthetic"] is True
    mixed = facts_of(small().assign(synthetic=[True] + [False] * 10))
    assert (mixed["synthetic"], mixed["synthetic_files"]) == (True, 1)

"""Pictures, groups and final verdicts."""

from __future__ import annotations

import logging

import pandas as pd
import pytest

from lung_tumor.groups import GroupOptions, join_groups, origins_of_groups
from tests.support.manifests import manifest_of, pairs_of

NONE = pairs_of()
DEFAULTS = GroupOptions()


def joined(
    rows: list[dict[str, object]],
    pairs: pd.DataFrame = NONE,
    given: dict[str, str] | None = None,
    options: GroupOptions = DEFAULTS,
    **more: bool,
) -> pd.DataFrame:
    files = manifest_of(rows).drop(columns=["picture", "group", "copy_of"])
    return join_groups(files, pairs, given or {}, options, **more).set_index("path")


def files(*paths: str, **more: object) -> list[dict[str, object]]:
    return [{"path": path, "label": path.split("/")[0], **more} for path in paths]


def test_files_of_equal_pixels_are_one_picture_and_one_of_them_stays() -> None:
    found = joined([*files("a/2", "a/1", pixels="same"), *files("a/3")])
    assert found.loc["a/1", ["verdict", "reason", "copy_of"]].tolist() == ["accepted", "", ""]
    assert found.loc["a/2", ["verdict", "reason", "copy_of"]].tolist() == [
        "duplicate",
        "the same picture as a/1",
        "a/1",
    ]
    assert found.loc["a/1", "picture"] == found.loc["a/2", "picture"] == "same"
    assert found["picture"].nunique() == found["group"].nunique() == 2


def test_copies_chain_to_one_picture_and_windows_of_a_slice_to_one_group_only() -> None:
    pairs = pd.concat([pairs_of(("a/1", "a/2"), ("a/2", "a/3")), pairs_of(("a/3", "a/4"), kind="window")])
    found = joined(files("a/1", "a/2", "a/3", "a/4", "a/5"), pairs)
    assert found.loc[["a/1", "a/2", "a/3"], "picture"].nunique() == 1
    assert found.loc["a/4", "picture"] != found.loc["a/1", "picture"]
    assert found.loc[["a/1", "a/2", "a/3", "a/4"], "group"].nunique() == 1
    assert found["verdict"].tolist() == ["accepted", "duplicate", "duplicate", "accepted", "accepted"]


def test_the_file_that_stays_is_the_one_least_drawn_over_then_the_largest_then_the_first() -> None:
    rows = [
        *files("a/1", width=900, coloured=0.01),
        *files("a/2", width=100),
        *files("a/3", width=200),
        *files("a/4", width=200),
    ]
    found = joined(rows, pairs_of(("a/1", "a/2"), ("a/2", "a/3"), ("a/3", "a/4")))
    assert found.index[found["verdict"] == "accepted"].tolist() == ["a/3"]
    assert set(found.loc[["a/1", "a/2", "a/4"], "copy_of"]) == {"a/3"}


def test_where_a_given_split_is_kept_the_earliest_split_decides_which_file_stays() -> None:
    rows = [*files("a/1", width=900, given_split="test"), *files("a/2", given_split="training")]
    pairs = pairs_of(("a/1", "a/2"))
    assert joined(rows, pairs).loc["a/1", "verdict"] == "accepted"
    assert joined(rows, pairs, keep_given_split=True).loc["a/2", "verdict"] == "accepted"


def test_a_picture_under_two_labels_is_quarantined_whole_and_each_file_names_another() -> None:
    found = joined(files("a/1", "a/2", "b/1", "b/2"), pairs_of(("a/1", "b/1"), ("a/1", "a/2")))
    assert found["verdict"].tolist() == ["quarantined", "quarantined", "quarantined", "accepted"]
    assert found.loc["a/2", "reason"] == "the same picture stands under another label: b/1"
    assert found.loc["b/1", "reason"] == "the same picture stands under another label: a/1"
    assert found.loc[["a/1", "a/2", "b/1"], "picture"].nunique() == 1


def test_two_windows_of_a_slice_under_two_labels_are_one_group_but_no_conflict() -> None:
    found = joined(files("a/1", "b/1"), pairs_of(("a/1", "b/1"), kind="window"))
    assert found["verdict"].tolist() == ["accepted", "accepted"]
    assert found["group"].nunique() == 1


def test_slices_of_one_patient_or_study_are_one_group_and_leave_no_digest_behind() -> None:
    rows = [
        *files("a/1", patient="p", study="s1"),
        *files("a/2", patient="p", study="s2"),
        *files("b/1", patient="", study="s2"),
        *files("b/2", patient="q", study="s3"),
    ]
    found = joined(rows)
    assert found.loc[["a/1", "a/2", "b/1"], "group"].nunique() == 1
    assert found["group"].nunique() == 2
    assert found["picture"].nunique() == 4
    assert not {"patient", "study"} & set(found.columns)


def test_one_patient_for_all_studies_is_a_placeholder(caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {**row, "study": f"s{index // 2}"} for index, row in enumerate(files("a/1", "a/2", "b/1", "b/2", patient="p"))
    ]
    with caplog.at_level(logging.WARNING):
        found = joined(rows)
    assert found["group"].nunique() == 2
    assert "taken for a placeholder" in caplog.text


def test_groups_that_the_owner_knows_and_a_pattern_of_names_join_with_copies() -> None:
    rows = files("a/p1_1", "a/p1_2", "a/p2_1", "a/p3_1", "a/x", "a/y", "b/z")
    options = GroupOptions(pattern=r"(p\d)_")
    found = joined(rows, pairs_of(("a/p2_1", "a/p3_1")), {"a/x": "one", "a/y": "one"}, options)
    groups = found.groupby("group").apply(lambda part: sorted(part.index), include_groups=False).tolist()
    assert sorted(groups) == [["a/p1_1", "a/p1_2"], ["a/p2_1", "a/p3_1"], ["a/x", "a/y"], ["b/z"]]


def test_groups_are_called_the_same_in_whatever_order_files_come() -> None:
    rows = [*files("a/1", "a/2", "a/3", "b/1", "b/2")]
    pairs = pairs_of(("a/1", "a/3"), ("b/1", "b/2"))
    one, other = joined(rows, pairs), joined(rows[::-1], pairs[::-1])
    pd.testing.assert_frame_equal(one.sort_index(), other.sort_index())


def test_what_cannot_be_decoded_belongs_nowhere() -> None:
    found = joined([*files("a/1"), *files("a/bad", verdict="quarantined", reason="cut short", pixels="")])
    assert found.loc["a/bad", ["verdict", "reason", "picture", "group"]].tolist() == [
        "quarantined",
        "cut short",
        "",
        "",
    ]


def test_what_groups_were_joined_by_is_said_in_words() -> None:
    plain = manifest_of(files("a/1"))
    assert origins_of_groups(plain, {}, GroupOptions()) == ["copies and windows of one slice"]
    told = origins_of_groups(plain.assign(patient="p"), {"a/1": "x"}, GroupOptions(pattern="(p)"))
    assert told[1:] == ["DICOM patients and studies", "groups.csv", "the file-name pattern (p)"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"minimum": 0}, r"groups\.minimum must be 1 or more, received 0"),
        ({"pattern": "("}, r"groups\.pattern is no regular expression \(.*\): '\('"),
        ({"pattern": 7}, r"groups\.pattern is no regular expression"),
        ({"pattern": "patient"}, r"groups\.pattern must hold a bracket"),
    ],
)
def test_impossible_options_are_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroupOptions(**wrong)  # type: ignore[arg-type]

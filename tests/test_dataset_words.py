"""Sentences say what the numbers say."""

from __future__ import annotations

import pytest

from tests.support.data_sets import LOUD_SHORTCUTS, QUIET_SHORTCUTS, facts_of, files_of, small, small_pairs

FEW = "sick: 1 independent picture behind 5 files. That is fewer than 3: any figure about this class is a rough guess."
CONFLICT = "1 picture stands under more than one label. No one can say which is right, so all 2 files were set aside."
COPIES = "3 of 8 usable files (38 %) are copies of another. They stay on one side of the split and count once."


def distinct(count: int) -> list[dict[str, object]]:
    return [{"path": f"{label}/{n}"} for label in "ab" for n in range(count)]


def test_the_headline_tells_files_from_pictures() -> None:
    assert facts_of(small())["headline"] == "Of 11 files, 3 cannot be used; the other 8 show only 5 different pictures"
    usable = small()[small()["verdict"] != "quarantined"]
    assert facts_of(usable)["headline"] == "8 files show only 5 different pictures"
    assert facts_of(files_of(distinct(3)))["headline"] == "6 files, 6 different pictures, no copies"


def test_warnings_stand_by_weight() -> None:
    facts = facts_of(small(), small_pairs(), shortcuts=LOUD_SHORTCUTS, synthetic=True)
    first, *others = facts["warnings"]
    assert first.startswith("Synthetic: every slice was drawn by the built-in phantom.")
    assert others == [LOUD_SHORTCUTS["sentence"], FEW, CONFLICT, COPIES]


def test_a_mixture_with_drawn_files_is_called_one() -> None:
    facts = facts_of(small().assign(synthetic=[True] + [False] * 10))
    assert facts["warnings"][0].startswith("Synthetic: 1 of 11 files were drawn")


@pytest.mark.parametrize(
    ("given_split", "ending"), [("remade", "It was made anew."), ("kept", "It was kept without the files that leak.")]
)
def test_a_leaking_split_is_warned_of_worst_first_with_what_became_of_it(given_split: str, ending: str) -> None:
    rows = [{"path": f"{label}/{n}", "picture": f"{label}{n % 4}", "given_split": "training" if n < 4 else "test"}
            for label in "abcd" for n in range(6)]  # fmt: skip
    rows.append({"path": "a/new", "given_split": "test"})
    (text,) = (text for text in facts_of(files_of(rows), given_split=given_split)["warnings"] if "split that" in text)
    assert text.startswith(
        "The split that the data came with leaks: 2 of 2 test files of b are also in training; 2 of 2 "
    )
    assert text.endswith(f"; 1 more like it. {ending}")


def test_a_clean_data_set_has_no_warning() -> None:
    quiet = {**LOUD_SHORTCUTS, "warning": False}
    assert facts_of(files_of(distinct(3)), shortcuts=quiet)["warnings"] == []


def test_a_shortcut_that_could_not_be_measured_is_a_warning() -> None:
    assert facts_of(files_of(distinct(3)))["warnings"] == [QUIET_SHORTCUTS["sentence"]]


def test_the_meaning_names_memory_the_smallest_test_class_and_the_shortcut() -> None:
    memory, smallest, shortcut = facts_of(small(), shortcuts=LOUD_SHORTCUTS)["meaning"]
    assert "100 % of the sick files and 0 % of the well files held back" in memory
    assert "mostly measures memory" in memory
    assert smallest.startswith("No independent picture of sick is left for the test")
    assert "AUC of 0.70" in shortcut


@pytest.mark.parametrize(
    # The 95 % interval when all are right begins at 0.025 to the power of 1/n, here and in the report.
    ("count", "said"), [(1, "that one right may be right in as few as 3 %"), (2, "both right may be right in as few as 16 %"),
                        (3, "all 3 right may be right in as few as 29 %")]
)  # fmt: skip
def test_the_bound_of_a_perfect_result_follows_from_the_number_of_test_groups(count: int, said: str) -> None:
    manifest = files_of([*distinct(5), {"path": "a/more"}]).assign(split="test")
    manifest.loc[(manifest["label"] == "b") & (manifest["path"].str[-1].astype(str) >= str(count)), "split"] = (
        "training"
    )
    assert said in facts_of(manifest)["meaning"][1]


def test_without_copies_a_random_split_leaks_next_to_nothing() -> None:
    meaning = facts_of(files_of(distinct(3)))["meaning"]
    assert meaning == [
        "A random 80/20 split of the files would leak next to nothing: hardly a file has a copy or relative."
    ]


def test_a_synthetic_score_says_nothing_about_patients() -> None:
    assert "synthetic" in facts_of(files_of(distinct(3)), synthetic=True)["meaning"][-1]

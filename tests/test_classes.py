"""Folders that mean one class, and folders left out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lung_tumor.classes import ClassOptions, choose_classes
from lung_tumor.errors import SourceError
from tests.support.pictures import source_of

FOLDERS = ("adenocarcinoma", "adenocarcinoma_left.lower.lobe_T2_N0_M0_Ib", "Squamous.cell", "normal")


def chosen(root: Path, folders: dict[str, str | None]) -> dict[str, str]:
    source = source_of(root, {f"{folder}/1.png": b"" for folder in FOLDERS})
    return {file.path.split("/")[0]: file.label for file in choose_classes(source, ClassOptions(folders)).files}


def test_without_a_map_every_folder_is_a_class(tmp_path: Path) -> None:
    assert chosen(tmp_path, {}) == {folder: folder for folder in FOLDERS}


def test_a_pattern_joins_folders_and_null_leaves_one_out(tmp_path: Path) -> None:
    expected = {FOLDERS[0]: "adenocarcinoma", FOLDERS[1]: "adenocarcinoma", "normal": "normal"}
    assert chosen(tmp_path, {"Adeno*": "adenocarcinoma", "squamous*": None}) == expected


def test_the_first_pattern_that_fits_counts(tmp_path: Path) -> None:
    found = chosen(tmp_path, {"adenocarcinoma_*": "staged", "a*": "adenocarcinoma", "*": "other"})
    assert found == dict(zip(FOLDERS, ("adenocarcinoma", "staged", "other", "other"), strict=True))


def test_what_was_left_out_is_counted(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"a/1": b"", "b/1": b"", "c/1": b"", "c/2": b""})
    assert choose_classes(source, ClassOptions({"c": None})).left_out == {"c": 2}


def test_a_pattern_that_fits_no_folder_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        chosen(tmp_path, {"adenocracinoma": "a"})
    assert "no folder of made-up slices fits 'adenocracinoma'" in caplog.text


def test_one_class_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"leaves fewer than two classes of made-up slices: its folders .* become normal"
    ):
        chosen(tmp_path, {"*": "normal"})


@pytest.mark.parametrize("wrong", [["a"], {"a": 1}, {"a": " "}, {1: "a"}])
def test_a_map_of_anything_but_names_is_an_error(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"classes\.folders must map folder names"):
        ClassOptions(wrong)  # type: ignore[arg-type]


def test_an_empty_yaml_map_is_none_at_all() -> None:
    assert ClassOptions(None).folders == {}  # type: ignore[arg-type]

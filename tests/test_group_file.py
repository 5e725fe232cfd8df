"""groups.csv beside the class folders."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lung_tumor.class_folders import list_slices
from lung_tumor.errors import SourceError
from lung_tumor.group_file import read_groups


def groups_of(
    root: Path, text: str | bytes, where: str = "", paths: tuple[str, ...] = ("a/1", "a/2", "b/1")
) -> dict[str, str]:
    for path in paths:
        (root / where / path).parent.mkdir(parents=True, exist_ok=True)
        (root / where / path).write_bytes(b"x")
    content = text if isinstance(text, bytes) else text.encode()
    (root / where / "groups.csv").write_bytes(content)
    return read_groups(root, list_slices(root, "mine", 100), "mine")


def test_a_file_beside_the_class_folders_is_read(tmp_path: Path) -> None:
    assert groups_of(tmp_path, "path,group\na/1,x\nb/1,x\na/2,y\n") == {"a/1": "x", "b/1": "x", "a/2": "y"}


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    groups_of(tmp_path, "path,group\na/1,x\n")
    (tmp_path / "groups.csv").unlink()
    assert read_groups(tmp_path, list_slices(tmp_path, "mine", 100), "mine") == {}


def test_other_columns_a_byte_order_mark_and_windows_paths_do_not_matter(tmp_path: Path) -> None:
    text = "\ufeffgroup,age,path\r\nx,60,a\\1\r\n x ,70, b/1\r\n"
    assert groups_of(tmp_path, text) == {"a/1": "x", "b/1": "x"}


def test_paths_are_relative_to_the_file_wherever_above_the_classes_it_lies(tmp_path: Path) -> None:
    assert groups_of(tmp_path, "path,group\na/1,x\n", where="wrapper/inner") == {"wrapper/inner/a/1": "x"}


def test_lines_that_name_no_file_and_files_without_a_line_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        groups_of(tmp_path, "path,group\na/1,x\nnowhere,x\n,\n")
    assert "knows 1 of 3 files; 1 of its lines name none" in caplog.text


@pytest.mark.parametrize("folder", ["a", "train"])
def test_a_file_that_speaks_for_one_class_or_split_is_an_error(tmp_path: Path, folder: str) -> None:
    inside = "" if folder == "a" else "train"
    groups_of(tmp_path, "path,group\na/1,x\n", where=inside, paths=("a/1", "b/1"))
    if folder == "train":
        (tmp_path / "test/a").mkdir(parents=True)
        (tmp_path / "test/a/2").write_bytes(b"x")
    else:
        (tmp_path / "groups.csv").rename(tmp_path / "a/groups.csv")
    with pytest.raises(SourceError, match=f"in {folder} speaks for a part of the files only"):
        read_groups(tmp_path, list_slices(tmp_path, "mine", 100), "mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/1,DOE^JOHN\n", "must name the columns path and group$"),
        ("", "must name the columns path and group$"),
        ("path,group\n/somewhere/a/1,x\n", "names none of its files"),
        ("path,group\na/1,x\na/1,y\n", "line 3: a/1 stands in two groups"),
        (b"path,group\n\xff\xfe,x\n", "cannot be read as UTF-8 text"),
    ],
)
def test_a_file_that_says_nothing_clear_is_an_error(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        groups_of(tmp_path, text)

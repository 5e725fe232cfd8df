"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from lung_tumor.files import replacing, write_atomically


def test_content_arrives_whole_and_readable_by_others_in_folders_that_did_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "report.bin"
    write_atomically(path, b"\0\1whole")
    assert path.read_bytes() == b"\0\1whole"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_reader_sees_the_old_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_keeps_the_suffix_that_writers_go_by(tmp_path: Path) -> None:
    with replacing(tmp_path / "arrays.npz") as temporary:
        assert temporary.suffix == ".npz"
        assert temporary.parent == tmp_path


@pytest.mark.parametrize("before", [b"old", None])
def test_an_error_half_way_changes_nothing_and_leaves_nothing_behind(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "model.keras"
    if before is not None:
        path.write_bytes(before)

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if before is None else [before])

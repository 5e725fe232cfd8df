"""Files are written whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lung_tumor.errors import StaleError
from lung_tumor.files import replacing, require_recorded, write_atomically, write_recorded


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


def test_a_recorded_file_has_its_sum_beside_it_as_sha256sum_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for content in (b"one", b"two"):
        write_recorded(path, content)
        digest = hashlib.sha256(content).hexdigest()
        assert path.read_bytes() == content
        assert (tmp_path / "model.onnx.sha256").read_text() == f"{digest}  model.onnx\n"
        require_recorded(path, digest)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_sum_is_written_after_the_file_so_that_a_run_cut_short_between_them_vouches_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    write_recorded(path, b"one")
    written = []
    monkeypatch.setattr("lung_tumor.files.write_atomically", lambda target, _: written.append(target.name))
    write_recorded(path, b"two")
    assert written == ["model.onnx", "model.onnx.sha256"]


def test_another_file_than_the_recorded_one_is_an_error_and_one_without_a_record_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    digest = hashlib.sha256(b"another").hexdigest()
    require_recorded(path, digest)
    write_recorded(path, b"one")
    with pytest.raises(StaleError, match=r"model\.onnx is not the file that was saved: .*sha256 names"):
        require_recorded(path, digest)
    (tmp_path / "model.onnx.sha256").write_text("")
    with pytest.raises(StaleError, match="not the file that was saved"):
        require_recorded(path, digest)

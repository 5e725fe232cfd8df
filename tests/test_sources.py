"""Where slices come from: folders, archives, the phantom and URLs; and the cache between."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import requests
from PIL import Image

from lung_tumor.errors import SliceError, SourceError
from lung_tumor.phantom import PhantomOptions
from lung_tumor.source_options import printable, public_name
from lung_tumor.sources import SliceSource, SourceOptions, is_at_hand, open_source, phantom_from_uri
from tests.support.slice_files import LISTED, PICTURE, TWO_CLASSES, leftovers, tarred, visible, write_folder, zipped
from tests.support.web import Site, serve_folder

Open = Callable[..., SliceSource]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def opened(cache: Path, tmp_path: Path) -> Open:
    def call(uri: object, **options: object) -> SliceSource:
        known = SourceOptions(**{"timeout_s": 5.0, "retries": 1, **options})  # type: ignore[arg-type]
        return open_source(str(uri), cache, known, PhantomOptions(slices=4, seed=1), tmp_path)

    return call


def labelled(source: SliceSource) -> list[tuple[str, str]]:
    return [(file.path, file.label) for file in source.files]


# --- Which folders are classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a/1.png", "b/2.png"], {"a/1.png": "a", "b/2.png": "b"}),
        (["w/v/a/1.png", "w/v/b/2.png", "w/v/c/3.png"], {"w/v/a/1.png": "a", "w/v/b/2.png": "b", "w/v/c/3.png": "c"}),
        (["a/p1/s2/1.png", "a/p2/1.png", "b/1.png"], {"a/p1/s2/1.png": "a", "a/p2/1.png": "a", "b/1.png": "b"}),
        (["a/1.png", "b/1.png", "overview.png"], {"a/1.png": "a", "b/1.png": "b"}),
        (["w/a/1.png", "w/b/1.png", "w/readme.txt", "doc/about.md"], {"w/a/1.png": "a", "w/b/1.png": "b"}),
        (["Train/a/1.png", "test/a/2.png", "test/b/3.png"], {"Train/a/1.png": "a", "test/a/2.png": "a", "test/b/3.png": "b"}),
        (["d/train/w/a/1.png", "d/val/w/b/2.png"], {"d/train/w/a/1.png": "a", "d/val/w/b/2.png": "b"}),
        (["train/a/1.png", "train/b/1.png"], {"train/a/1.png": "a", "train/b/1.png": "b"}),
        (["a/IM0001", "a/Thumbs.db", "a/notes.CSV", "b/broken.png"], {"a/IM0001": "a", "b/broken.png": "b"}),
        (["a/1.png", "b/1.png", ".git/x/1.png", "__MACOSX/a/1.png", "b/.hidden.png"], {"a/1.png": "a", "b/1.png": "b"}),
    ],
    ids=["flat", "wrapped", "patients", "file above", "documents", "splits", "wrapped splits", "one split", "no suffix",
         "hidden"],
)  # fmt: skip
def test_the_class_folders_give_the_labels(
    opened: Open, tmp_path: Path, files: list[str], expected: dict[str, str]
) -> None:
    source = opened(write_folder(tmp_path / "slices-of-mine", files))
    assert dict(labelled(source)) == expected
    assert [file.path for file in source.files] == sorted(expected)
    assert source.classes == tuple(sorted(set(expected.values())))
    assert source.name == "folder slices-of-mine"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no files that could be slices; two or more class folders are expected"),
        (["notes.txt", "a/.hidden"], "holds no files that could be slices"),
        (["1.png", "2.png"], "holds 2 files but no class folders"),
        (["normal/1.png", "normal/2.png"], "one class only, 'normal' with 2 files"),
        (["train/a/1.png", "test/b/1.png", "more/1.png"], "split folders test, train beside more"),
        (["train/a/1.png", "test/a/1.png"], "one class only, 'a' with 2 files"),
    ],
)
def test_a_folder_without_two_classes_says_what_was_found(
    opened: Open, tmp_path: Path, files: list[str], message: str
) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(SourceError, match=f"folder mine .*{message}"):
        opened(write_folder(tmp_path / "mine", files))


def test_files_above_the_class_folders_are_reported(
    opened: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened(write_folder(tmp_path / "mine", ["a/1.png", "b/1.png", "1.png", "2.png"]))
    assert "2 files lie above the class folders and are ignored" in caplog.text


def test_links_are_followed_inside_the_folder_only(opened: Open, tmp_path: Path) -> None:
    outside = tmp_path / "private.png"
    outside.write_bytes(PICTURE)
    root = write_folder(tmp_path / "mine", ["a/1.png", "b/1.png"])
    (root / "a" / "out.png").symlink_to(outside)
    (root / "a" / "in.png").symlink_to(root / "b" / "1.png")
    (root / "a" / "gone.png").symlink_to(root / "nowhere")
    (root / "a" / "loop").symlink_to(root, target_is_directory=True)
    os.mkfifo(root / "b" / "pipe.png")
    source = opened(root)
    problems = {file.path: file.problem for file in source.files}
    assert {path for path, problem in problems.items() if not problem} == {"a/1.png", "a/in.png", "b/1.png"}
    assert all("copy what it leads to" in problems[path] for path in ("a/out.png", "a/gone.png", "a/loop"))
    assert problems["b/pipe.png"] == "it is no regular file"
    for file in source.files:
        if file.problem:
            with pytest.raises(SliceError, match=file.problem):
                file.read_bytes()


def test_files_know_in_which_split_they_were_found(opened: Open, tmp_path: Path) -> None:
    files = ["d/Train/a/1.png", "d/VAL/a/2.png", "d/testing/b/3.png", "d/testing/b/test/4.png"]
    source = opened(write_folder(tmp_path / "mine", files))
    assert [file.given_split for file in source.files] == ["training", "validation", "test", "test"]
    unsplit = opened(write_folder(tmp_path / "other", ["a/1.png", "b/test/2.png"]))
    assert [file.given_split for file in unsplit.files] == ["", ""]


def test_a_folder_that_cannot_be_read_is_a_problem_of_its_own_below_a_class_only(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "mine", ["a/1.png", "a/locked/2.png", "b/1.png", "c/1.png"])
    scan, locked = os.scandir, ["a/locked"]

    def scandir(path: Path) -> object:
        # The superuser reads what is locked; so that the test says the same for everyone:
        if any(str(path).endswith(end) for end in locked):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    problems = {file.path: file.problem for file in opened(root).files}
    assert problems["a/locked"] == "the folder cannot be read: Permission denied"
    locked[0] = "/c"
    with pytest.raises(SourceError, match="Permission denied: c; allow reading it"):
        opened(root)


def test_the_owners_groups_come_with_the_source(opened: Open, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", ["a/1.png", "b/1.png"])
    (root / "groups.csv").write_text("path,group\na/1.png,x\nb/1.png,x\n")
    assert opened(root).groups == {"a/1.png": "x", "b/1.png": "x"}


def test_hostile_names_become_distinct_printable_paths(opened: Open, tmp_path: Path) -> None:
    names = [b"new\nline.png", b"caf\xe9.png", b"caf\\xe9.png", b"tab\t.png", "\u202egnp.exe".encode(), b"x" * 255]
    for label in (b"a", b"b\xff"):
        folder = os.fsencode(tmp_path) + b"/mine/" + label
        os.makedirs(folder)  # noqa: PTH103 - pathlib takes no bytes.
        for name in names:
            with open(folder + b"/" + name, "wb") as file:  # noqa: PTH123
                file.write(name)
    source = opened(tmp_path / "mine")
    paths = [file.path for file in source.files]
    assert len(set(paths)) == 12
    assert all(path.isprintable() and path.encode() for path in paths)
    assert {file.read_bytes() for file in source.files} == set(names)
    assert source.classes == ("a", "b\\udcff")


def test_a_file_that_vanishes_is_an_error_of_its_own(opened: Open, tmp_path: Path) -> None:
    source = opened(write_folder(tmp_path / "mine", ["a/1.png", "b/1.png"]))
    (tmp_path / "mine/a/1.png").unlink()
    with pytest.raises(SliceError, match=r"a/1\.png cannot be read"):
        source.files[0].read_bytes()


def test_a_folder_with_too_many_entries_is_refused(opened: Open, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", [f"{label}/{index}.png" for label in "ab" for index in range(5)])
    assert len(opened(root, max_files=12).files) == 10
    with pytest.raises(SourceError, match="more than 11 entries"):
        opened(root, max_files=11)


# --- Local paths and archives ----------------------------------------------------------------------------------------


def test_a_folder_is_read_in_place(opened: Open, tmp_path: Path, cache: Path) -> None:
    root = write_folder(tmp_path / "mine", TWO_CLASSES)
    source = opened(root)
    assert labelled(source) == LISTED
    assert source.files[0].location.is_relative_to(root)
    assert not cache.exists()
    assert opened(root.as_uri()) == source


def test_a_relative_path_is_looked_up_here_then_in_the_project(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    write_folder(tmp_path / "mine", ["a/1.png", "b/1.png"])
    assert opened("mine").classes == ("a", "b")
    write_folder(here / "mine", ["c/1.png", "d/1.png"])
    assert opened("mine").classes == ("c", "d")


def test_a_missing_path_names_both_places(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(SourceError) as caught:
        opened("no/such")
    assert f"{tmp_path / 'elsewhere/no/such'} nor at {tmp_path / 'no/such'}" in str(caught.value)


@pytest.mark.parametrize("uri", ["", "   ", "a\0b", "x" * 5000, "~no-such-user/x"])
def test_a_path_that_cannot_be_one_is_a_clear_error(opened: Open, uri: str) -> None:
    with pytest.raises(SourceError, match=r"source is empty|no source"):
        opened(uri)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_is_unpacked_once(
    opened: Open, tmp_path: Path, cache: Path, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    (tmp_path / "chest ct.bin").write_bytes(pack(TWO_CLASSES))
    source = opened(tmp_path / "chest ct.bin")
    assert labelled(source) == LISTED
    assert source.name == "archive chest ct.bin"
    [entry] = visible(cache)
    written = source.files[0].location.stat().st_mtime_ns
    (tmp_path / "copy.zip").write_bytes((tmp_path / "chest ct.bin").read_bytes())
    assert opened(tmp_path / "chest ct.bin") == source
    assert source.files[0].location.stat().st_mtime_ns == written
    assert leftovers(cache) == []
    facts = json.loads((cache / entry / "source.json").read_text())
    assert facts["synthetic"] is False
    assert facts["files"] == 3


def test_a_changed_archive_is_another_source(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped({"a/1.png": b"1", "b/1.png": b"1"}))
    assert len(opened(tmp_path / "x.zip").files) == 2
    (tmp_path / "x.zip").write_bytes(zipped({"a/1.png": b"1", "b/1.png": b"1", "b/2.png": b"1"}))
    assert len(opened(tmp_path / "x.zip").files) == 3


def test_a_local_archive_can_be_pinned(opened: Open, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped(TWO_CLASSES))
    with pytest.raises(SourceError, match="expected SHA-256 0000"):
        opened(tmp_path / "x.zip", sha256="0" * 64)
    assert visible(cache) == []


@pytest.mark.parametrize("uri", ["mine", "phantom:", "memory://folder/"])
def test_a_digest_that_nothing_can_be_compared_with_is_refused(opened: Open, tmp_path: Path, uri: str) -> None:
    write_folder(tmp_path / "mine", TWO_CLASSES)
    with pytest.raises(SourceError, match="sha256 pins an archive"):
        opened(uri, sha256="0" * 64)


def test_an_archive_that_is_no_source_leaves_nothing(opened: Open, tmp_path: Path, cache: Path) -> None:
    for content in (b"<html>", zipped({"a/1.png": b"1"}), zipped(TWO_CLASSES)[:-50], zipped({"../x": b"1"})):
        (tmp_path / "x.zip").write_bytes(content)
        with pytest.raises(SourceError, match=r"archive x\.zip"):
            opened(tmp_path / "x.zip")
        assert visible(cache) == leftovers(cache) == []


def test_an_edited_cache_entry_is_noticed(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped(TWO_CLASSES))
    opened(tmp_path / "x.zip").files[0].location.unlink()
    with pytest.raises(SourceError, match=r"holds 2 files where 3 were written; remove that folder"):
        opened(tmp_path / "x.zip")


def test_a_cache_that_cannot_be_written_is_said(opened: Open, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped(TWO_CLASSES))
    cache.write_text("a file where the folder should be")
    with pytest.raises(SourceError, match="cannot be written"):
        opened(tmp_path / "x.zip")


def test_a_run_killed_while_unpacking_leaves_nothing_and_the_next_one_does_it_all(
    opened: Open, tmp_path: Path, cache: Path
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        for index in range(4000):
            packed.writestr(f"{'ab'[index % 2]}/{index}.png", b"%d" % index)
    (tmp_path / "x.zip").write_bytes(buffer.getvalue())
    code = (
        "import sys; from pathlib import Path; from lung_tumor.phantom import PhantomOptions\n"
        "from lung_tumor.sources import SourceOptions, open_source\n"
        "open_source(sys.argv[1], Path(sys.argv[2]), SourceOptions(), PhantomOptions(), Path(sys.argv[2]))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "x.zip"), str(cache)])
    deadline = time.monotonic() + 30
    while not leftovers(cache):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert visible(cache) == []
    assert leftovers(cache) != []

    source = opened(tmp_path / "x.zip")
    assert {file.read_bytes() for file in source.files} == {b"%d" % index for index in range(4000)}
    assert leftovers(cache) == []


def test_what_a_killed_run_left_is_removed_by_a_run_for_another_source(
    opened: Open, tmp_path: Path, cache: Path
) -> None:
    write_folder(cache / ".incoming" / "killed-123", ["entry/slices/a/1.png", "download/archiveabc.part"])
    (tmp_path / "x.zip").write_bytes(zipped(TWO_CLASSES))
    opened(tmp_path / "x.zip")
    assert leftovers(cache) == ["killed-123/download/archiveabc.part"]


def test_runs_at_the_same_time_make_one_entry(opened: Open, tmp_path: Path, cache: Path) -> None:
    files = {f"{'ab'[index % 2]}/{index}.png": b"%d" % index for index in range(400)}
    (tmp_path / "x.zip").write_bytes(zipped(files))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        sources = list(pool.map(lambda _: opened(tmp_path / "x.zip"), range(4)))
    assert all(source == sources[0] for source in sources)
    assert len(sources[0].files) == 400
    assert len(visible(cache)) == 1


# --- The phantom -----------------------------------------------------------------------------------------------------


def test_the_phantom_is_drawn_once_and_says_synthetic(opened: Open, cache: Path) -> None:
    source = opened("phantom:")
    assert source.synthetic
    assert source.name == "phantom: 4 slices, seed 1 (synthetic)"
    assert source.classes == ("adenocarcinoma", "normal")
    assert len(source.files) == 4
    facts = json.loads((source.root.parent / "source.json").read_text())
    assert facts["synthetic"] is True
    assert facts["phantom"] == {"slices": 4, "mass_mm": [20.0, 60.0], "seed": 1}
    with Image.open(io.BytesIO(source.files[0].read_bytes())) as picture:
        assert (picture.mode, picture.size) == ("L", (512, 512))
        assert "synthetic" in picture.info["Description"]
    written = source.files[0].location.stat().st_mtime_ns
    assert opened("phantom:") == source
    assert source.files[0].location.stat().st_mtime_ns == written


def test_the_phantoms_masks_lie_beside_and_only_where_there_is_a_mass(opened: Open) -> None:
    source = opened("phantom:")
    for file in source.files:
        mask = source.mask_of(file.path)
        assert (mask is not None) == (file.label == "adenocarcinoma")
        if mask is not None:
            with Image.open(mask) as picture:
                values = np.asarray(picture)
            assert values.shape == (512, 512)
            assert set(np.unique(values)) == {0, 255}


def test_the_same_options_draw_the_same_bytes_and_another_seed_others(opened: Open, tmp_path: Path) -> None:
    first = opened("phantom:?slices=2")
    again = open_source("phantom:?slices=2&seed=1", tmp_path / "other", SourceOptions(), PhantomOptions(), tmp_path)
    other = opened("phantom:?slices=2&seed=2")
    assert [file.read_bytes() for file in first.files] == [file.read_bytes() for file in again.files]
    assert {file.read_bytes() for file in first.files}.isdisjoint(file.read_bytes() for file in other.files)


def test_a_phantom_that_was_copied_or_packed_still_says_synthetic(opened: Open, tmp_path: Path) -> None:
    made = opened("phantom:?slices=2")
    folder = made.root.parent
    files = {
        f"wrapped/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    write_folder(tmp_path / "copy", files)
    (tmp_path / "packed.zip").write_bytes(zipped(files))
    for uri in (folder, folder / "slices", tmp_path / "copy", tmp_path / "packed.zip", tmp_path / "packed.zip"):
        source = opened(uri)
        assert source.synthetic
        assert source.name.endswith("(synthetic)")
        assert labelled(source) == labelled(made)
        assert any(source.mask_of(file.path) for file in source.files)


def test_options_in_the_uri_come_before_the_defaults() -> None:
    defaults = PhantomOptions(slices=10, seed=3)
    assert phantom_from_uri("phantom:", defaults) == defaults
    assert phantom_from_uri("phantom:?seed=7&mass_mm=25-30.5", defaults) == PhantomOptions(10, (25.0, 30.5), 7)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("phantom:?slice=3", "unknown option 'slice'; known are slices, mass_mm, seed"),
        ("phantom:?slices=many", "invalid literal"),
        ("phantom:?slices=1", "at least 2"),
        ("phantom:?mass_mm=20", "mass_mm must satisfy"),
        ("phantom:?mass_mm=60-20", "mass_mm must satisfy"),
        ("phantom:slices=3", "does not start with"),
        ("phantom:?slices", "bad query field"),
    ],
)
def test_a_misspelt_phantom_option_shows_how_it_is_written(uri: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        phantom_from_uri(uri, PhantomOptions())
    assert "phantom:?slices=100&seed=7&mass_mm=20-60" in str(caught.value)


# --- URLs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served = tmp_path / "served"
    write_folder(served / "folder", TWO_CLASSES)
    (served / "slices.zip").write_bytes(zipped(TWO_CLASSES))
    (served / "page.zip").write_bytes(b"<!doctype html><p>log in")
    with serve_folder(served, tmp_path / "authority.pem") as site:
        monkeypatch.setenv("SSL_CERT_FILE", str(site.authority))
        yield site


def test_an_archive_on_the_web_is_fetched_once(opened: Open, site: Site, cache: Path) -> None:
    uri = f"{site.url}/slices.zip?token=secret"
    source = opened(uri)
    assert labelled(source) == LISTED
    assert source.name == f"{site.url}/slices.zip"
    asked = len(site.requests)
    assert opened(uri) == source
    assert len(site.requests) == asked
    assert leftovers(cache) == []
    assert not any(b"secret" in path.read_bytes() for path in cache.rglob("*") if path.is_file())


def test_a_folder_on_the_web_is_mirrored(opened: Open, site: Site) -> None:
    assert labelled(opened(f"{site.url}/folder/")) == LISTED


def test_a_transfer_that_is_cut_is_tried_again(opened: Open, site: Site) -> None:
    site.failures = 1
    assert labelled(opened(f"{site.url}/slices.zip")) == LISTED
    assert len(site.requests) == 2


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({}, "none.zip", "does not exist"),
        ({}, "page.zip", "a web page where an archive was expected"),
        ({"status": 403}, "slices.zip", "may not be read; give credentials"),
        ({"status": 500}, "slices.zip", "answered HTTP 500"),
        ({"failures": 9}, "slices.zip", "broke off before its end"),
        ({"silent": True}, "slices.zip", r"was silent for 0\.3 s"),
    ],
    ids=["missing", "page", "forbidden", "server error", "cut", "silent"],
)
def test_a_failure_on_the_web_is_explained_without_its_token(
    opened: Open, site: Site, cache: Path, change: dict[str, object], path: str, message: str
) -> None:
    for name, value in change.items():
        setattr(site, name, value)
    with pytest.raises(SourceError, match=message) as caught:
        opened(f"{site.url}/{path}?token=secret".replace("//", "//user:secret@"), timeout_s=0.3)
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert visible(cache) == leftovers(cache) == []


def test_an_untrusted_certificate_on_the_web_is_refused(
    opened: Open, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(SourceError, match="certificate is not trusted"):
        opened(f"{site.url}/slices.zip")


def test_a_server_that_is_not_there_is_said(opened: Open) -> None:
    with pytest.raises(SourceError, match="could not be reached"):
        opened("https://localhost:9/slices.zip")


def test_any_file_system_of_fsspecs_serves(opened: Open, cache: Path) -> None:
    memory = fsspec.filesystem("memory")
    try:
        for name, content in TWO_CLASSES.items():
            memory.pipe(f"/bucket/folder/{name}", content)
        memory.pipe("/bucket/slices.tar.gz", tarred(TWO_CLASSES))
        assert labelled(opened("memory://bucket/folder")) == LISTED
        assert labelled(opened("memory://bucket/slices.tar.gz")) == LISTED
        with pytest.raises(SourceError, match=r"memory://bucket/none\.zip does not exist"):
            opened("memory://bucket/none.zip")
        memory.pipe("/bucket/big/a/1.png", bytes(3000))
        memory.pipe("/bucket/big/b/1.png", bytes(3000))
        with pytest.raises(SourceError, match="more than 5,000 bytes"):
            opened("memory://bucket/big/", max_unpacked_bytes=5000)
        with pytest.raises(SourceError, match="more than 1 entries"):
            opened("memory://bucket/big/", max_files=1)
        assert len(visible(cache)) == 2
        assert leftovers(cache) == []
    finally:
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("gs://bucket/slices.zip", "not installed: .*gcsfs"),
        ("nonsense://bucket/slices.zip", "protocol that fsspec does not know"),
    ],
)
def test_a_protocol_that_cannot_be_served_is_said(opened: Open, uri: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        opened(uri)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        # moto keeps its buckets for as long as the process lives.
        requests.post(f"http://{host}:{port}/moto-api/reset", timeout=10).raise_for_status()
        client = boto3.client("s3")
        client.create_bucket(Bucket="slices", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        for key, content in TWO_CLASSES.items():
            client.put_object(Bucket="slices", Key=f"folder/{key}", Body=content)
        client.put_object(Bucket="slices", Key="slices.zip", Body=zipped(TWO_CLASSES))
        client.close()
        yield "s3://slices"
    finally:
        server.stop()


def test_archives_and_folders_of_a_bucket_are_sources(opened: Open, bucket: str, cache: Path) -> None:
    assert labelled(opened(f"{bucket}/slices.zip")) == LISTED
    assert labelled(opened(f"{bucket}/folder/")) == LISTED
    assert opened(f"{bucket}/slices.zip").name == "s3://slices/slices.zip"
    with pytest.raises(SourceError, match=r"s3://slices/none\.zip does not exist"):
        opened(f"{bucket}/none.zip")
    assert leftovers(cache) == []


def test_a_bucket_without_credentials_asks_for_them(opened: Open, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SourceError, match="give credentials through the environment"):
        opened(f"{bucket}/slices.zip")


# --- Names and options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://bucket/a/b.zip", "s3://bucket/a/b.zip"),
        ("https://user:pass@host:8443/a.zip?X-Amz-Signature=1#part", "https://host:8443/a.zip"),
        ("simplecache::https://u:p@host/a.zip?sig=1", "simplecache::https://host/a.zip"),
        ("https://[broken/a.zip?sig=1", "https://…"),
    ],
)
def test_a_name_shows_no_credentials(uri: str, shown: str) -> None:
    assert public_name(uri) == shown


def test_printable_text_is_one_to_one() -> None:
    names = ["a\nb", "a\\nb", "a\\\\nb", "a\udce9", "a\\udce9", "a\u202eb", "aé b"]
    assert len({printable(name) for name in names}) == len(names)
    assert printable("aé b") == "aé b"


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": 0},
        {"timeout_s": float("inf")},
        {"timeout_s": True},
        {"timeout_s": "60"},
        {"retries": -1},
        {"retries": 1.5},
        {"sha256": "abc"},
        {"sha256": 12345},
        {"max_unpacked_bytes": 0},
        {"max_files": 0},
    ],
)
def test_options_out_of_range_are_named_with_their_value(wrong: dict[str, object]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(ValueError, match=rf"source_options\.{name} must be .*received") as caught:
        SourceOptions(**wrong)  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)


def test_a_missing_folder_with_a_long_name_is_not_taken_for_a_drive_id(opened: Open) -> None:
    with pytest.raises(SourceError, match="no source 'chest_ct_slices_of_the_second_ward'"):
        opened("chest_ct_slices_of_the_second_ward")


def test_what_is_at_hand_needs_no_network(opened: Open, tmp_path: Path, cache: Path) -> None:
    def at_hand(uri: str) -> bool:
        return is_at_hand(uri, cache, SourceOptions(), tmp_path)

    write_folder(tmp_path / "mine", ["a/1.png", "b/1.png"])
    assert at_hand("phantom:")
    assert at_hand("mine")
    assert not at_hand("yours")
    assert not at_hand("drive:1z0mreUtRmR-P-magILsDR3T7M6IkGXtY")
    assert not at_hand("drive:")
    memory = fsspec.filesystem("memory")
    memory.pipe("/at-hand.zip", zipped(TWO_CLASSES))
    try:
        assert not at_hand("memory://at-hand.zip")
        opened("memory://at-hand.zip")
        assert at_hand("memory://at-hand.zip")
    finally:
        memory.store.clear()

"""Google Drive through an unmodified gdown, over verified TLS, against a stand-in on loopback."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lung_tumor import drive as drive_module
from lung_tumor.drive import find_id, is_bare_id
from lung_tumor.errors import SourceError
from lung_tumor.phantom import PhantomOptions
from lung_tumor.sources import SliceSource, SourceOptions, open_source
from tests.support.google_drive import Drive, serve_drive
from tests.support.slice_files import LISTED, TWO_CLASSES, leftovers, noise, visible, zipped

ID = "1z0mreUtRmR-P-magILsDR3T7M6IkGXtY"
ARCHIVE = zipped({**TWO_CLASSES, "Chest-CT-Scan-data/normal/n1.png": noise(3_000_000)})
# gdown writes whole chunks of 512 KiB; what comes after the last of them is asked for again.
HALF = 3 * 2**19

Open = Callable[..., SliceSource]


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    with serve_drive(tmp_path, monkeypatch) as drive:
        drive.content = ARCHIVE
        yield drive


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def open_drive(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    # gdown waits a random share of 2 ** attempt seconds between attempts.
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)

    def call(uri: str = f"drive:{ID}", **options: object) -> SliceSource:
        known = SourceOptions(**{"timeout_s": 5.0, "retries": 2, **options})  # type: ignore[arg-type]
        return open_source(uri, cache, known, PhantomOptions(), tmp_path)

    return call


def labelled(source: SliceSource) -> list[tuple[str, str]]:
    return [(file.path, file.label) for file in source.files]


@pytest.mark.parametrize("manner", ["direct", "confirm"])
def test_a_shared_archive_becomes_a_source(google: Drive, open_drive: Open, cache: Path, manner: str) -> None:
    google.manner = manner
    source = open_drive()
    assert labelled(source) == LISTED
    assert source.name == f"drive:{ID}"
    assert source.classes == ("adenocarcinoma", "normal")
    assert not source.synthetic
    assert source.files[2].read_bytes() == noise(3_000_000)
    assert leftovers(cache) == []
    assert google.refused_hosts == []


def test_the_confirmation_is_sent_with_the_cookie_that_came_with_its_page(google: Drive, open_drive: Open) -> None:
    open_drive()
    assert [seen.cookie for seen in google.transfers] == ["NID=from-drive"]
    assert "confirm=t" in google.requests[-1]


@pytest.mark.parametrize(
    "uri",
    [
        ID,
        f"https://drive.google.com/file/d/{ID}/view?usp=sharing",
        f"https://drive.google.com/open?id={ID}",
        f"https://drive.google.com/uc?export=download&id={ID}",
        f"https://drive.usercontent.google.com/download?id={ID}&export=download&confirm=t",
    ],
)
def test_every_form_of_the_link_opens_the_same_cached_source(google: Drive, open_drive: Open, uri: str) -> None:
    first = open_drive()
    asked = len(google.requests)
    assert open_drive(uri) == first
    assert len(google.requests) == asked


@pytest.mark.parametrize(
    ("manner", "happened", "advice"),
    [
        ("quota", "too often", "24 hours"),
        ("private", "private", "share it with anyone"),
        ("forbidden", "private", "share it with anyone"),
        ("missing", "does not exist", "check the id"),
        ("busy", "too many requests", "wait"),
        ("broken", "showed a page instead", "browser"),
    ],
)
def test_a_page_in_place_of_the_file_is_explained(
    google: Drive, open_drive: Open, cache: Path, manner: str, happened: str, advice: str
) -> None:
    google.manner = manner
    with pytest.raises(SourceError) as caught:
        open_drive()
    assert happened in str(caught.value)
    assert advice in str(caught.value)
    assert ID in str(caught.value)
    assert "\n" not in str(caught.value)
    assert visible(cache) == leftovers(cache) == []


def test_a_cut_transfer_goes_on_where_it_broke(google: Drive, open_drive: Open) -> None:
    google.cuts = [HALF]
    assert labelled(open_drive()) == LISTED
    first, second = google.transfers
    assert first.range is None
    assert second.range == f"bytes={HALF}-"
    assert first.sent + second.sent == len(ARCHIVE)


def test_the_next_run_goes_on_where_the_last_one_gave_up(google: Drive, open_drive: Open, cache: Path) -> None:
    google.cuts = [HALF]
    with pytest.raises(SourceError, match=r"broke off.*run again to continue"):
        open_drive(retries=0)
    assert visible(cache) == []
    assert [Path(name).suffix for name in leftovers(cache)] == [".part"]

    # gdown asks for the whole file once more to learn its version, and drops that answer for the range.
    assert labelled(open_drive(retries=0)) == LISTED
    assert google.transfers[-1].range == f"bytes={HALF}-"
    assert google.transfers[-1].sent == len(ARCHIVE) - HALF
    assert leftovers(cache) == []


@pytest.mark.parametrize("change", ["another version", "no ranges"])
def test_a_partial_file_that_cannot_be_continued_is_dropped(
    google: Drive, open_drive: Open, cache: Path, change: str
) -> None:
    google.cuts = [HALF]
    with pytest.raises(SourceError, match="broke off"):
        open_drive(retries=0)
    if change == "no ranges":
        google.ranges = False
    else:
        google.content = zipped({**TWO_CLASSES, "Chest-CT-Scan-data/normal/n1.png": b"newer"})
    assert labelled(open_drive(retries=0)) == LISTED
    assert leftovers(cache) == []


def test_a_partial_file_that_was_whole_does_not_block_the_next_run(
    google: Drive, open_drive: Open, cache: Path
) -> None:
    google.cuts = [HALF]
    with pytest.raises(SourceError, match="broke off"):
        open_drive(retries=0)
    [part] = (cache / ".incoming").rglob("*.part")
    part.write_bytes(ARCHIVE)
    assert labelled(open_drive(retries=0)) == LISTED


def test_the_pinned_digest_is_accepted_in_either_case(google: Drive, open_drive: Open) -> None:
    digest = hashlib.sha256(ARCHIVE).hexdigest()
    assert labelled(open_drive(sha256=digest.upper())) == LISTED


def test_another_digest_is_refused_and_both_are_named(google: Drive, open_drive: Open, cache: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_drive(sha256="0" * 64)
    assert "0" * 64 in str(caught.value)
    assert hashlib.sha256(ARCHIVE).hexdigest() in str(caught.value)
    assert visible(cache) == leftovers(cache) == []


def test_a_digest_pinned_later_is_compared_with_what_is_cached(google: Drive, open_drive: Open) -> None:
    first = open_drive()
    asked = len(google.requests)
    assert open_drive(sha256=hashlib.sha256(ARCHIVE).hexdigest()) == first
    assert len(google.requests) == asked
    with pytest.raises(SourceError, match="expected SHA-256"):
        open_drive(sha256="0" * 64)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>sign in</html>", "a web page where an archive was expected"),
        (b"\x89PNG\r\n", "one picture"),
        (b"Rar!\x1a\x07\x00", "a RAR archive"),
        (ARCHIVE[:-400], "damaged or cut short"),
        (zipped({"normal/n.png": b"n"}), "one class only, 'normal'"),
        (zipped({"../outside.png": b"n"}), "outside its folder"),
    ],
)
def test_a_file_that_is_no_source_leaves_nothing(
    google: Drive, open_drive: Open, cache: Path, content: bytes, message: str
) -> None:
    google.content = content
    with pytest.raises(SourceError, match=message):
        open_drive()
    assert visible(cache) == leftovers(cache) == []


def test_a_file_larger_than_the_bound_is_not_downloaded_to_its_end(
    google: Drive, open_drive: Open, cache: Path
) -> None:
    with pytest.raises(SourceError, match="max_unpacked_bytes"):
        open_drive(max_unpacked_bytes=1_000_000)
    assert visible(cache) == leftovers(cache) == []


def test_a_silent_server_is_given_up_after_the_timeout(google: Drive, open_drive: Open, cache: Path) -> None:
    google.manner = "silent"
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"silent for 0\.3 s"):
        open_drive(timeout_s=0.3, retries=1)
    assert time.monotonic() - started < 5
    assert len(google.requests) == 2
    assert visible(cache) == leftovers(cache) == []


def test_a_transfer_that_falls_silent_is_given_up_after_the_timeout(google: Drive, open_drive: Open) -> None:
    google.cuts, google.hold = [HALF], True
    with pytest.raises(SourceError, match=r"silent for 0\.3 s"):
        open_drive(timeout_s=0.3, retries=0)


def test_a_page_that_confirms_for_ever_is_given_up(
    google: Drive, open_drive: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.manner = "endless"
    monkeypatch.setattr(drive_module, "_PATIENCE_S", 0.1)
    with pytest.raises(SourceError, match="page after page"):
        open_drive(timeout_s=0.5, retries=0)


def test_no_network_is_said_with_what_to_do(
    google: Drive, open_drive: Open, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HTTPS_PROXY")

    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError(-3, "Temporary failure in name resolution")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    with pytest.raises(SourceError, match=r"no connection to Google Drive; check the network, or download it"):
        open_drive()
    assert visible(cache) == leftovers(cache) == []


def test_a_dead_proxy_is_named_as_the_cause(google: Drive, open_drive: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match="HTTPS_PROXY"):
        open_drive()


def test_a_certificate_nobody_vouches_for_is_refused(
    google: Drive, open_drive: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(SourceError, match="certificate is not trusted"):
        open_drive()
    assert google.requests == []


def test_no_message_carries_a_token(google: Drive, open_drive: Open) -> None:
    google.cuts, google.hold = [HALF, HALF], True
    with pytest.raises(SourceError) as caught:
        open_drive(timeout_s=0.3, retries=1)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_run_killed_in_the_transfer_is_continued_by_the_next(google: Drive, open_drive: Open, cache: Path) -> None:
    google.cuts, google.hold = [HALF], True
    code = (
        "import sys; from pathlib import Path; from lung_tumor.phantom import PhantomOptions\n"
        "from lung_tumor.sources import SourceOptions, open_source\n"
        "open_source(sys.argv[1], Path(sys.argv[2]), SourceOptions(), PhantomOptions(), Path(sys.argv[2]))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, f"drive:{ID}", str(cache)], env=os.environ.copy())
    deadline = time.monotonic() + 30
    # gdown writes chunks of 512 KiB.
    while not any(part.stat().st_size >= 2**19 for part in (cache / ".incoming").rglob("*.part")):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert visible(cache) == []

    google.hold = False
    assert labelled(open_drive()) == LISTED
    assert google.transfers[-1].offset >= 2**19
    assert leftovers(cache) == []


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        (f"drive:{ID}", ID),
        (f"DRIVE:{ID}", ID),
        (f"https://drive.google.com/file/u/1/d/{ID}/edit", ID),
        (f"https://docs.google.com/uc?id={ID}", ID),
        ("https://example.org/file/d/1z0mreUtRmR/view", None),
        ("https://drive.google.com.example.org/uc?id=1z0mreUtRmR", None),
        ("s3://bucket/archive.zip", None),
        ("data/chest-ct", None),
    ],
)
def test_only_links_to_google_drive_hold_an_id(uri: str, found: str | None) -> None:
    assert find_id(uri) == found


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("https://drive.google.com/drive/folders/1z0mreUtRmR-P-magILsDR3T7M6IkGXtY?usp=sharing", "leads to a folder"),
        ("https://drive.google.com/drive/my-drive", "names no file"),
        ("drive:", "names no file"),
        ("drive:../../etc/passwd", "names no file"),
        ("https://docs.google.com/document/d/x/edit", "names no file"),
    ],
)
def test_a_link_that_cannot_be_an_archive_is_refused_with_advice(uri: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        find_id(uri)


def test_a_bare_id_has_at_least_25_characters_of_drives_alphabet() -> None:
    assert is_bare_id(ID)
    assert not is_bare_id("chest-ct-slices")
    assert not is_bare_id(ID + ".zip")


def test_a_folder_named_like_an_id_is_a_folder(
    google: Drive, open_drive: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / ID / name).mkdir(parents=True)
        (tmp_path / ID / name / "1.png").write_bytes(b"x")
    assert open_drive(ID).classes == ("a", "b")
    assert google.requests == []

"""Archives: what is unpacked, what is refused, and that a refusal says why."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lung_tumor.archives import member_path, unpack
from lung_tumor.errors import SourceError
from lung_tumor.source_options import SourceOptions
from tests.support.slice_files import TWO_CLASSES, noise, tarred, zipped

VISIBLE = {name: content for name, content in TWO_CLASSES.items() if not name.startswith("__") and ".DS" not in name}

Unpack = Callable[..., dict[str, bytes]]


@pytest.fixture
def unpacked(tmp_path: Path) -> Unpack:
    calls = itertools.count()

    def call(content: bytes, **options: int) -> dict[str, bytes]:
        archive, target = tmp_path / "archive", tmp_path / "inner" / f"target-{next(calls)}"
        target.parent.mkdir(exist_ok=True)
        archive.write_bytes(content)
        before = set(tmp_path.rglob("*"))
        try:
            unpack(archive, target, "archive x", SourceOptions(**options))  # type: ignore[arg-type]
        finally:
            # Whatever happens, nothing is written outside the target.
            strangers = {path for path in set(tmp_path.rglob("*")) - before if not path.is_relative_to(target)}
            assert strangers == set()
            assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
        return {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}

    return call


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def zip_with(name: str, external: int = 0, flags: int = 0) -> bytes:
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, external
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr(member, b"content")
    content = bytearray(buffer.getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= flags
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        zipped(TWO_CLASSES),
        zipped(TWO_CLASSES, zipfile.ZIP_LZMA),
        tarred(TWO_CLASSES, "w"),
        tarred(TWO_CLASSES, "w:gz"),
        tarred(TWO_CLASSES, "w:bz2"),
        tarred(TWO_CLASSES, "w:xz"),
    ],
    ids=["zip", "zip-lzma", "tar", "tar.gz", "tar.bz2", "tar.xz"],
)
def test_every_kind_is_told_by_its_content_and_unpacked_without_what_a_mac_adds(
    unpacked: Unpack, content: bytes
) -> None:
    assert unpacked(content) == VISIBLE


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/tmp/out.png", "C:/out.png", "a/.."])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_name_that_climbs_out_stops_the_archive(
    unpacked: Unpack, pack: Callable[[dict[str, bytes]], bytes], name: str
) -> None:
    with pytest.raises(SourceError, match="outside its folder"):
        unpacked(pack({"a/ok.png": b"x", name: b"evil"}))


def test_a_zip_of_an_old_windows_tool_keeps_its_folders(unpacked: Unpack) -> None:
    assert unpacked(zipped({"normal\\a.png": b"x"})) == {"normal/a.png": b"x"}
    with pytest.raises(SourceError, match="outside its folder"):
        unpacked(zipped({"..\\out.png": b"evil"}))


@pytest.mark.parametrize(
    "member",
    [
        link("a/link.png", "/etc/passwd"),
        link("a/link.png", "ok.png"),
        link("a/link.png", "a/ok.png", tarfile.LNKTYPE),
        link("a/device", "", tarfile.CHRTYPE),
        link("a/pipe", "", tarfile.FIFOTYPE),
    ],
    ids=["symlink out", "symlink inside", "hard link", "device", "pipe"],
)
def test_links_and_devices_in_a_tar_are_refused(unpacked: Unpack, member: tarfile.TarInfo) -> None:
    with pytest.raises(SourceError, match="link or device, 'a/"):
        unpacked(tarred({"a/ok.png": b"x"}, extra=[member]))


def test_a_link_in_a_zip_is_refused(unpacked: Unpack) -> None:
    with pytest.raises(SourceError, match=r"link or device, 'a/link\.png'"):
        unpacked(zip_with("a/link.png", external=0o120777 << 16))
    with pytest.raises(SourceError, match="link or device"):
        unpacked(zip_with("a/pipe", external=0o010644 << 16))


def test_an_encrypted_zip_asks_for_its_folder_instead(unpacked: Unpack) -> None:
    with pytest.raises(SourceError, match="password; unpack it yourself and give the folder"):
        unpacked(zip_with("a/secret.png", flags=1))


def test_an_unknown_compression_is_named(unpacked: Unpack) -> None:
    content = bytearray(zip_with("a/x.png"))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(signature) + offset] = 9  # Deflate64
    with pytest.raises(SourceError, match="compressed in a way that cannot be read"):
        unpacked(bytes(content))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_bomb_is_stopped_at_the_bound(
    unpacked: Unpack, tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]
) -> None:
    content = pack({"a/bomb.png": bytes(50_000_000)})
    assert len(content) < 100_000
    with pytest.raises(SourceError, match="more than 2,000,000 bytes"):
        unpacked(content, max_unpacked_bytes=2_000_000)
    assert sum(path.stat().st_size for path in (tmp_path / "inner").rglob("*") if path.is_file()) <= 2_000_000


def test_a_zip_that_lies_about_its_size_is_damaged_and_not_unpacked_beyond_it(unpacked: Unpack) -> None:
    content = bytearray(zipped({"a/bomb.png": bytes(5_000_000)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(signature) + offset, 10)
    with pytest.raises(SourceError, match="damaged"):
        unpacked(bytes(content), max_unpacked_bytes=1_000_000)


def test_a_bomb_in_members_that_are_skipped_is_stopped_too(unpacked: Unpack) -> None:
    content = tarred({"__MACOSX/bomb": bytes(60_000_000), "a/x.png": b"x"})
    with pytest.raises(SourceError, match="max_unpacked_bytes"):
        unpacked(content, max_unpacked_bytes=1_000_000, max_files=10)


def test_a_tar_header_that_would_fill_the_memory_is_damage(unpacked: Unpack) -> None:
    member = tarfile.TarInfo("a/x.png")
    member.pax_headers = {"comment": "a" * 20_000_000}
    with pytest.raises(SourceError, match="damaged"):
        unpacked(tarred({}, extra=[member]))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_too_many_entries_are_stopped_at_the_bound(unpacked: Unpack, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    files = {f"a/{index}.png": b"" for index in range(11)}
    assert len(unpacked(pack(files), max_files=11)) == 11
    with pytest.raises(SourceError, match="more than 10 entries"):
        unpacked(pack(files), max_files=10)


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.98])
def test_an_archive_cut_anywhere_is_never_taken_for_a_whole_one(unpacked: Unpack, mode: str, share: float) -> None:
    files = {f"a/{index}.png": noise(3000, index) for index in range(20)}
    content = zipped(files) if mode == "zip" else tarred(files, mode)
    # A tar is padded with zeros to 10,240 bytes; the last of them say nothing.
    whole = content.rstrip(b"\0") if mode == "w" else content
    with pytest.raises(SourceError, match="damaged or cut short"):
        unpacked(whole[: int(len(whole) * share)])


def test_a_tar_cut_between_two_members_is_noticed(unpacked: Unpack) -> None:
    content = tarred({"a/1.png": bytes(512), "a/2.png": bytes(512)}, "w")
    with pytest.raises(SourceError, match="damaged or cut short"):
        unpacked(content[:1024])


def test_a_tar_broken_in_a_later_header_is_noticed(unpacked: Unpack) -> None:
    content = bytearray(tarred({"a/1.png": noise(512), "a/2.png": noise(512)}, "w"))
    content[1024 + 150] ^= 0xFF
    with pytest.raises(SourceError, match="damaged or cut short"):
        unpacked(bytes(content))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_flipped_bit_is_noticed_by_the_sum_at_the_end(unpacked: Unpack, compress: Callable[[bytes], bytes]) -> None:
    content = bytearray(compress(tarred({"a/1.png": noise(100_000)}, "w")))
    content[len(content) // 2] ^= 0x10
    with pytest.raises(SourceError, match="damaged or cut short"):
        unpacked(bytes(content))


def test_a_flipped_bit_in_a_zip_is_noticed(unpacked: Unpack) -> None:
    content = bytearray(zipped({"a/1.png": noise(100_000)}, zipfile.ZIP_STORED))
    content[50_000] ^= 0x10
    with pytest.raises(SourceError, match="damaged or cut short"):
        unpacked(bytes(content))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"\n  <!DOCTYPE html><html>", "a web page"),
        (b"\xef\xbb\xbf<HTML>", "a web page"),
        (b"7z\xbc\xaf\x27\x1c\x00", "a 7-Zip archive"),
        (b"\x89PNG\r\n\x1a\n", "one picture"),
        (noise(5000), "no archive that is known"),
    ],
)
def test_what_is_no_archive_is_called_by_its_name(unpacked: Unpack, content: bytes, found: str) -> None:
    with pytest.raises(SourceError, match=f"archive x is {found}"):
        unpacked(content)


def test_a_compressed_file_that_holds_no_tar_is_damage(unpacked: Unpack) -> None:
    with pytest.raises(SourceError, match="damaged"):
        unpacked(gzip.compress(b"hello" * 500))


def test_hostile_names_are_unpacked_or_shortened_and_stay_apart(unpacked: Unpack) -> None:
    long_a, long_b = "a" * 300 + ".png", "a" * 299 + "b.png"
    files = unpacked(zipped({f"x/{long_a}": b"a", f"x/{long_b}": b"b", "x/new\nline.png": b"n", "x/é ü.png": b"u"}))
    assert sorted(files.values()) == [b"a", b"b", b"n", b"u"]
    assert all(len(name.encode()) < 255 and name.endswith(".png") for name in files)


def test_names_that_are_not_utf_8_are_unpacked(unpacked: Unpack) -> None:
    content = tarred({"x/caf\udce9.png": b"latin", "x/cafe.png": b"ascii"}, "w:gz")
    assert sorted(unpacked(content).values()) == [b"ascii", b"latin"]


def test_names_that_clash_are_an_error_and_not_a_crash(unpacked: Unpack) -> None:
    with pytest.raises(SourceError, match="could not be unpacked"):
        unpacked(zipped({"a": b"file", "a/b.png": b"below a file"}))


@pytest.mark.parametrize("name", [".hidden", "a/.DS_Store", "__MACOSX/a/x.png", "a/Thumbs.db", "a/desktop.ini", "./"])
def test_what_an_operating_system_adds_is_left_out(name: str) -> None:
    assert member_path(name, "archive x") is None

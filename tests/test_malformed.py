"""Whatever lies in a folder of slices: no crash, no hang, a verdict each."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import struct
import time
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lung_tumor.audit import ACCEPTED, QUARANTINED, audit
from lung_tumor.errors import SliceError
from lung_tumor.imaging import PreparationOptions, decode
from lung_tumor.phantom import PhantomOptions
from lung_tumor.sources import SliceSource, SourceOptions, open_source
from tests.support.dicom_files import (
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    SECRETS,
    compressed,
    ct_file,
    dataset_of,
    implicit,
    ramp,
)
from tests.support.pictures import encoded, gradient, png_claiming, source_of, speckled
from tests.support.slice_files import noise, zipped

SLOWEST = 10.0
"""Seconds that no single file may take, on a machine that is busy with other things."""


@cache
def whole_files() -> dict[str, bytes]:
    """One good file of every kind that is read."""
    grey = speckled(120, 1, 64, 72)
    colour = np.dstack([grey, grey - 9, grey + 9])
    files = {
        "grey.png": encoded(grey),
        "colour.png": encoded(colour),
        "deep.png": encoded(grey.astype(np.uint16) * 200),
        "baseline.jpg": encoded(grey, "JPEG", quality=90),
        "progressive.jpg": encoded(colour, "JPEG", progressive=True),
        "a.bmp": encoded(grey, "BMP"),
        "a.tif": encoded(grey, "TIFF", compression="tiff_lzw"),
        "float.tif": encoded(grey.astype(np.float32), "TIFF"),
        "a.gif": encoded(grey, "GIF"),
        "a.webp": encoded(grey, "WEBP", lossless=True),
        "explicit.dcm": ct_file(**SECRETS),
        "implicit.dcm": implicit(dataset_of(ramp(), **SECRETS)),
    }
    for name, syntax in {"rle": RLE, "lossless": JPEG_LOSSLESS, "ls": JPEG_LS, "j2k": JPEG_2000}.items():
        files[f"{name}.dcm"] = compressed(dataset_of(ramp(), **SECRETS), syntax)
    return files


def spoiled(content: bytes, rng: random.Random) -> bytes:
    """The content cut, flipped, overwritten, doubled, or with a hole; half of the time near its head."""
    damaged = bytearray(content)
    reach = len(damaged) if rng.random() < 0.5 else min(len(damaged), 400)
    match rng.choice(("cut", "flip", "flip", "overwrite", "hole", "double", "number")):
        case "cut":
            del damaged[rng.randrange(reach) :]
        case "flip":
            for _ in range(rng.choice((1, 3, 10, 60))):
                damaged[rng.randrange(reach)] ^= 1 << rng.randrange(8)
        case "overwrite":
            at = rng.randrange(reach)
            damaged[at : at + 32] = rng.choice((bytes(32), b"\xff" * 32, rng.randbytes(32)))
        case "hole":
            at = rng.randrange(reach)
            del damaged[at : at + rng.randrange(1, 200)]
        case "double":
            at = rng.randrange(reach)
            damaged[at:at] = damaged[at : at + rng.randrange(1, 2000)]
        case "number":
            at = rng.randrange(max(1, reach - 4))
            damaged[at : at + 4] = struct.pack("<L", rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)))
    return bytes(damaged)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(*chunks: bytes, side: int = 64) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


@cache
def hostile_files() -> dict[str, bytes]:
    """Files that are made to crash, swell or mislead; none of them is a slice."""
    swelling = zlib.compress(bytes(64 * 2**20), 9)
    giant_tiff = bytearray(encoded(gradient(), "TIFF"))
    bmp = bytearray(encoded(gradient(), "BMP"))
    bmp[18:26] = struct.pack("<ll", 2**30, -(2**30))
    jpeg = encoded(gradient(), "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    gif = bytearray(encoded(gradient(), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    for tag in (256, 257):
        at = giant_tiff.index(struct.pack("<H", tag))
        giant_tiff[at + 2 : at + 12] = struct.pack("<HLL", 4, 1, 2**31 - 1)
    endless = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return {
        "empty.png": b"",
        "one byte.jpg": b"\xff",
        "text.png": b"no picture but text\n",
        "page.jpg": b"<!DOCTYPE html><html><body>log in</body></html>",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg' width='512' height='512'/>",
        "archive.png": zipped({"bomb": bytes(16 * 2**20)}),
        "zip in zip.jpg": zipped({"inner.zip": zipped({"bomb": bytes(2**20)})}),
        "gzip.tif": gzip.compress(bytes(16 * 2**20)),
        "program.bmp": b"\x7fELF" + noise(400),
        "noise.png": noise(5000),
        "zeros.dcm": bytes(5000),
        "signature.png": b"\x89PNG\r\n\x1a\n",
        "signature.jpg": b"\xff\xd8\xff\xe0",
        "prefix.dcm": bytes(128) + b"DICM",
        "giant.png": png_claiming(60_000, 60_000),
        "largest.png": png_claiming(2**31 - 1, 2**31 - 1),
        "empty frame.png": png_claiming(0, 0),
        "too many bytes.png": png_of(png_chunk(b"IDAT", swelling[: len(swelling) // 2])),
        "text bomb.png": png_of(
            png_chunk(b"zTXt", b"comment\0\0" + swelling), png_chunk(b"IDAT", zlib.compress(b"\0"))
        ),
        "profile bomb.png": png_of(png_chunk(b"iCCP", b"icc\0\0" + swelling), png_chunk(b"IDAT", zlib.compress(b"\0"))),
        "giant.tif": bytes(giant_tiff),
        "circle.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "giant.bmp": bytes(bmp),
        "giant.jpg": jpeg[:frame] + b"\xff\xff\xff\xff" + jpeg[frame + 4 :],
        "giant.gif": bytes(gif),
        "giant.dcm": ct_file(Rows=65535, Columns=65535),
        "flat.dcm": ct_file(Rows=1, Columns=3072),
        "deep.dcm": ct_file()[:132] + endless * 50_000,
        "many.dcm": ct_file()[:132] + b"\x08\x00\x08\x00CS\0\0" * 500_000,
        "frames.dcm": ct_file(NumberOfFrames="999999999"),
        "half.dcm": ct_file()[:-3000],
        "resonance.dcm": ct_file(Modality="MR"),
    }


NAMES = [
    "Schnitt ä ö ü ß.png",
    "胸部CT 一.png",
    "صورة.png",
    "emoji 🫁.png",
    "line\nbreak.png",
    "tab\tand\rreturn.png",
    "\u202egnp.exe.png",
    "quote'\"`$(echo).png",
    "-rf.png",
    " leading and trailing ",
    "%s %n {0}.png",
    "x" * 250 + ".png",
    "no suffix",
    "two.suffixes.tar.gz",
    "UPPER.DCM",
]


def malformed(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """``count`` files, the hostile ones first, then spoiled copies of good ones."""
    rng = random.Random(seed)
    yield from hostile_files().items()
    whole = list(whole_files().items())
    for number in range(count - len(hostile_files())):
        name, content = whole[number % len(whole)]
        yield f"{number:04}-{name}", spoiled(content, rng)


def audited(source: SliceSource) -> pd.DataFrame:
    return audit(source, PreparationOptions())[0].set_index("path")


def assert_verdicts(manifest: pd.DataFrame, paths: set[str]) -> None:
    assert set(manifest.index) == paths
    assert manifest.index.is_unique
    assert set(manifest["verdict"]) <= {ACCEPTED, QUARANTINED}
    refused = manifest[manifest["verdict"] == QUARANTINED]
    assert (refused["reason"].str.len() > 10).all()
    assert not refused["reason"].str.contains("\n").any()
    assert not manifest.to_csv().count("Quux")


def test_every_whole_file_is_accepted_so_that_the_spoiled_ones_are_worth_spoiling() -> None:
    for name, content in whole_files().items():
        assert decode(content).pixels.min() < decode(content).pixels.max(), name


def test_five_hundred_malformed_files_get_a_verdict_each(tmp_path: Path) -> None:
    files = {f"a/{name}": content for name, content in malformed(500, seed=3)}
    files |= {"a/whole.png": encoded(speckled(90, 5)), "b/whole.png": encoded(speckled(90, 6))}
    assert len(files) == 502
    manifest = audited(source_of(tmp_path, files))
    assert_verdicts(manifest, set(files))
    hostile = manifest.loc[[f"a/{name}" for name in hostile_files()]]
    assert dict(hostile.loc[hostile["verdict"] != QUARANTINED, "verdict"]) == {}
    assert (manifest.loc[["a/whole.png", "b/whole.png"], "verdict"] == ACCEPTED).all()
    # Flipped grey values make another picture; most damage is to what holds them together.
    assert (manifest["verdict"] == QUARANTINED).mean() > 0.5


def test_a_hostile_file_is_refused_at_once_with_a_reason() -> None:
    for name, content in hostile_files().items():
        start = time.perf_counter()
        with pytest.raises(SliceError) as caught:
            decode(content)
        assert time.perf_counter() - start < 3.0, name
        assert len(str(caught.value)) < 300, name


def test_a_file_cut_anywhere_never_passes_for_a_whole_one() -> None:
    for name, content in whole_files().items():
        pixels = decode(content).pixels
        for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.995):
            with contextlib.suppress(SliceError):
                # What follows the pixels may be cut: the picture is whole, or it is refused.
                np.testing.assert_array_equal(decode(content[: int(len(content) * share)]).pixels, pixels, name)


def test_names_of_any_script_and_with_line_breaks_are_listed_and_judged(tmp_path: Path) -> None:
    for label in ("adenocarcinoma", "normal"):
        (tmp_path / label).mkdir()
        for number, name in enumerate(NAMES):
            (tmp_path / label / name).write_bytes(encoded(speckled(90, number + 50 * (label == "normal"))))
    (tmp_path / "normal" / os.fsdecode(b"not \xff\xfe unicode.png")).write_bytes(b"broken")
    source = open_source(str(tmp_path), tmp_path / "cache", SourceOptions(), PhantomOptions(), tmp_path)
    assert len(source.files) == 2 * len(NAMES) + 1
    manifest = audited(source)
    assert_verdicts(manifest, {file.path for file in source.files})
    assert (manifest["verdict"] == ACCEPTED).sum() == 2 * len(NAMES)
    manifest.to_csv(tmp_path / "manifest.csv")
    assert len(pd.read_csv(tmp_path / "manifest.csv", keep_default_na=False)) == len(manifest)


def test_folders_named_like_pictures_are_folders_and_empty_ones_get_a_verdict(tmp_path: Path) -> None:
    for label in ("adenocarcinoma", "normal"):
        inner = tmp_path / label / "patient 1.png"
        inner.mkdir(parents=True)
        (tmp_path / label / "empty.dcm").mkdir()
        (inner / "slice.png").write_bytes(encoded(speckled(90, len(label))))
    source = open_source(str(tmp_path), tmp_path / "cache", SourceOptions(), PhantomOptions(), tmp_path)
    verdicts = audited(source)["verdict"].to_dict()
    assert verdicts == {
        "adenocarcinoma/empty.dcm": QUARANTINED,
        "adenocarcinoma/patient 1.png/slice.png": ACCEPTED,
        "normal/empty.dcm": QUARANTINED,
        "normal/patient 1.png/slice.png": ACCEPTED,
    }


def test_what_cannot_be_read_is_quarantined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{label}/{name}.png": encoded(speckled(90, number)) for number, (label, name) in enumerate(
        (label, name) for label in "ab" for name in ("locked", "gone", "folder", "whole")
    )}  # fmt: skip
    source = source_of(tmp_path, files)
    (tmp_path / "a/gone.png").unlink()
    (tmp_path / "a/folder.png").unlink()
    (tmp_path / "a/folder.png").mkdir()
    (tmp_path / "a/locked.png").chmod(0)
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        # The superuser reads what is locked; so that the test says the same for everyone:
        if path.name == "locked.png" and path.parent.name == "a":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    manifest = audited(source)
    assert_verdicts(manifest, set(files))
    refused = manifest[manifest["verdict"] == QUARANTINED]["reason"]
    assert set(refused.index) == {"a/gone.png", "a/folder.png", "a/locked.png"}
    assert refused.str.contains("cannot be read").all()


def test_pipes_and_links_that_lead_nowhere_are_not_opened(tmp_path: Path) -> None:
    for number, label in enumerate(("adenocarcinoma", "normal")):
        (tmp_path / label).mkdir()
        (tmp_path / label / "slice.png").write_bytes(encoded(speckled(90, number)))
    with contextlib.suppress(AttributeError, OSError):
        os.mkfifo(tmp_path / "normal" / "pipe.png")
    (tmp_path / "normal" / "circle.png").symlink_to("circle.png")
    (tmp_path / "normal" / "nowhere.png").symlink_to("missing.png")
    (tmp_path / "normal" / "outside.png").symlink_to("/dev/zero")
    source = open_source(str(tmp_path), tmp_path / "cache", SourceOptions(), PhantomOptions(), tmp_path)
    manifest = audited(source)
    assert_verdicts(manifest, {file.path for file in source.files})
    accepted = manifest.index[manifest["verdict"] == ACCEPTED].tolist()
    assert accepted == ["adenocarcinoma/slice.png", "normal/slice.png"]
    assert len(manifest) == 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_malformed_files_neither_crash_nor_hang(seed: int) -> None:
    for name, content in malformed(5000, seed):
        start = time.perf_counter()
        with contextlib.suppress(SliceError):
            assert decode(content).pixels.dtype == np.uint8
        assert time.perf_counter() - start < SLOWEST, (name, len(content))

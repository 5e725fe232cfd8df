"""From a DICOM file to Hounsfield units, to grey values, or to a verdict; and to nobody's name."""

from __future__ import annotations

import dataclasses
import logging
import os
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from lung_tumor import dicom, dicom_elements
from lung_tumor.dicom import DicomSlice, is_dicom, read_header, read_slice, to_window
from lung_tumor.dicom_patients import PatientDigests, patient_digests
from lung_tumor.errors import LungTumorError, SliceError
from lung_tumor.imaging import PreparationOptions, crop_to_body, decode, prepare
from tests.support.dicom_files import (
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_FIRST_ORDER,
    JPEG_LS,
    MARKER,
    RLE,
    SECRETS,
    compressed,
    ct_file,
    dataset_of,
    dcmtk,
    implicit,
    phantom_hounsfield,
    ramp,
    without_meta,
    written,
)
from tests.support.pictures import encoded, gradient, source_of, speckled

PYDICOM = Path(pydicom.__file__).parent / "data" / "test_files"
REAL = Path(__file__).parents[2] / "shared" / "data" / "lung-pet-ct-dx"

COMPRESSED = [RLE, JPEG_LOSSLESS, JPEG_LOSSLESS_FIRST_ORDER, JPEG_LS, JPEG_2000]


def read(content: bytes) -> DicomSlice:
    return read_slice(read_header(content))


def refused(content: bytes) -> str:
    """The verdict on a file that must not be read."""
    with pytest.raises(SliceError) as caught:
        decode(content)
    return str(caught.value)


# --- Recognition -----------------------------------------------------------------------------------------------------


def test_dicom_is_told_by_its_content_with_and_without_prefix() -> None:
    explicit = ct_file()
    assert is_dicom(explicit)
    assert is_dicom(b"any preamble".ljust(128, b"!") + explicit[128:])
    assert is_dicom(without_meta(explicit))
    assert is_dicom(without_meta(implicit(dataset_of(ramp()))))
    assert is_dicom(without_meta(written(dataset_of(ramp()), ExplicitVRBigEndian)))
    assert is_dicom(explicit[128 + 4 :])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
def test_no_picture_passes_for_dicom(kind: str) -> None:
    content = encoded(gradient(), kind)
    assert not is_dicom(content)
    assert not is_dicom(content[:128] + b"DICM" + content[132:])
    assert decode(content).format == kind


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08\x00", b"\x02\x00" * 64, b"\x08\x00\x05\x00CS" + bytes(999), b"\x00\x08" + b"x" * 99, bytes(131)],
)
def test_what_merely_starts_like_dicom_is_not(content: bytes) -> None:
    assert not is_dicom(content)


# --- Hounsfield units ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "write",
    [
        written,
        implicit,
        lambda dataset: written(dataset, ExplicitVRBigEndian),
        lambda dataset: written(dataset, DeflatedExplicitVRLittleEndian),
        lambda dataset: without_meta(written(dataset)),
        lambda dataset: without_meta(implicit(dataset)),
        *(lambda dataset, syntax=syntax: compressed(dataset, syntax) for syntax in COMPRESSED),
    ],
    ids=["explicit", "implicit", "big", "deflated", "bare", "bare implicit", "RLE", "57", "70", "JPEG-LS", "JPEG 2000"],
)
def test_every_lossless_syntax_gives_the_phantom_back_exactly(write: Callable[..., bytes], signed: bool) -> None:
    hounsfield = phantom_hounsfield()
    bits, intercept = ((16, 13), 0.0) if signed else ((16, 12), -1024.0)
    content = write(dataset_of(hounsfield, signed=signed, intercept=intercept, bits=bits))
    np.testing.assert_array_equal(read(content).hounsfield, hounsfield)
    decoded = decode(content)
    assert (decoded.format, decoded.mode) == ("DICOM", "MONOCHROME2")
    np.testing.assert_array_equal(decoded.pixels, decode(ct_file(hounsfield)).pixels)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("tool", "options", "tolerance"),
    [
        ("dcmcrle", (), 0),
        ("dcmcjpeg", ("+e1",), 0),
        *(("dcmcjpeg", ("+el", "+sv", str(predictor)), 0) for predictor in range(1, 8)),
        ("dcmcjpls", (), 0),
        ("dcmcjpeg", ("+ee",), 40),
        ("dcmcjpeg", ("+eb",), 80),
        ("dcmconv", ("+td",), 0),
        ("dcmconv", ("+tb",), 0),
        ("dcmconv", ("+ti", "+e"), 0),
    ],
    ids=lambda value: "".join(value) if isinstance(value, tuple) else str(value),
)
def test_dcmtk_s_files_are_read(tool: str, options: tuple[str, ...], tolerance: int, signed: bool) -> None:
    hounsfield = phantom_hounsfield()
    bits, intercept = ((16, 16), 0.0) if signed else ((16, 12), -1024.0)
    content = dcmtk(ct_file(hounsfield, signed=signed, intercept=intercept, bits=bits), tool, *options)
    if content is None:
        pytest.skip(f"{tool} is not installed (Debian: dcmtk)")
    assert np.abs(read(content).hounsfield.astype(int) - hounsfield).max() <= tolerance


def test_slope_and_intercept_are_applied() -> None:
    content = ct_file(
        np.array([[-1000, 0], [500, 1000]], np.int16).repeat(16, 0).repeat(16, 1), slope=2.5, intercept=-1000
    )
    assert np.unique(read(content).hounsfield).tolist() == [-1000, 0, 500, 1000]


def test_eight_bit_slices_are_read() -> None:
    hounsfield = ramp()
    received = read(ct_file(hounsfield, bits=(8, 8), slope=8.0)).hounsfield
    assert np.abs(received.astype(int) - hounsfield).max() <= 4


def test_overlays_above_and_below_the_stored_bits_are_ignored() -> None:
    dataset = dataset_of(ramp())
    stored = np.frombuffer(dataset.PixelData, "<u2")
    dataset.PixelData = (stored | 0xA000).tobytes()
    np.testing.assert_array_equal(read(written(dataset)).hounsfield, ramp())
    dataset = dataset_of(ramp(), HighBit=13)
    dataset.PixelData = (stored << 2 | 0x8001).astype("<u2").tobytes()
    np.testing.assert_array_equal(read(written(dataset)).hounsfield, ramp())


@pytest.mark.parametrize(("signed", "value"), [(False, 63536), (True, -2000)])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_becomes_air_whatever_its_value(signed: bool, value: int, photometric: str) -> None:
    dataset = dataset_of(ramp(), signed=signed, intercept=0.0 if signed else -1024.0)
    stored = np.frombuffer(dataset.PixelData, "<i2" if signed else "<u2").reshape(48, 64).copy()
    stored[:8] = value
    dataset.PixelData = stored.tobytes()
    dataset.PhotometricInterpretation = photometric
    dataset.add_new("PixelPaddingValue", "SS" if signed else "US", value)
    ct = read(written(dataset))
    assert (ct.hounsfield[:8] == -1024).all()
    np.testing.assert_array_equal(ct.hounsfield[8:], ramp()[8:])
    # -1024 HU through -600/1500: (-1024 + 1350) * 255 / 1500 = 55.4.
    assert (to_window(ct)[:8] == 55).all()


def test_a_range_of_padding_is_air() -> None:
    dataset = dataset_of(ramp(), PixelPaddingValue=0, PixelPaddingRangeLimit=40)
    ct = read(written(dataset))
    np.testing.assert_array_equal(ct.outside, ramp() <= -984)


def test_what_lies_below_air_is_air() -> None:
    assert read(ct_file(ramp(), signed=True, intercept=-2000.0, bits=(16, 16))).hounsfield.min() == -1024
    dataset = dataset_of(np.full((48, 64), -2000, np.int16), signed=True, intercept=0.0, bits=(16, 16))
    assert (read(written(dataset)).hounsfield == -1024).all()


# --- Windows ---------------------------------------------------------------------------------------------------------


def test_the_lung_window_is_the_default() -> None:
    # (-1350, 150) HU are black and white; -600 lies in the middle: 127.5, rounded to even.
    levels = np.repeat(np.array([-1024, -600, 0, 150, 1000], np.int16), 16)[np.newaxis].repeat(40, axis=0)
    assert decode(ct_file(levels)).pixels[0, ::16].tolist() == [55, 128, 230, 255, 255]


def test_a_window_of_one_s_own_and_the_file_s_are_options() -> None:
    levels = np.repeat(np.array([-1024, -100, 40, 240], np.int16), 16)[np.newaxis].repeat(40, axis=0)
    content = ct_file(levels, WindowCenter=["40", "-500"], WindowWidth=["400", "1200"])
    assert decode(content, (40.0, 400.0)).pixels[0, ::16].tolist() == [0, 38, 128, 255]
    # Of two windows the one nearest to the lung's: -500/1200 makes (-1100, 100) black and white.
    assert decode(content, "file").pixels[0, ::16].tolist() == [16, 212, 242, 255]


@pytest.mark.parametrize(
    "elements", [{}, {"WindowCenter": "40", "WindowWidth": "0"}, {"WindowCenter": "40"}], ids=["none", "flat", "half"]
)
def test_a_file_without_a_usable_window_gets_the_lung_window(elements: dict[str, str]) -> None:
    content = ct_file(**elements)
    np.testing.assert_array_equal(decode(content, "file").pixels, decode(content).pixels)


def test_monochrome1_is_inverted_after_the_window() -> None:
    inverted = decode(ct_file(PhotometricInterpretation="MONOCHROME1"))
    assert inverted.mode == "MONOCHROME1"
    difference = inverted.pixels.astype(int) + decode(ct_file()).pixels - 255
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ([1, 0, 0, 0, 1, 0], lambda pixels: pixels),
        ([-1, 0, 0, 0, -1, 0], lambda pixels: pixels[::-1, ::-1]),
        ([-1, 0, 0, 0, 1, 0], lambda pixels: pixels[:, ::-1]),
        ([1, 0, 0, 0, 0.94, -0.34], lambda pixels: pixels),
    ],
    ids=["supine", "turned", "mirrored", "tilted gantry"],
)
def test_the_patient_s_right_is_on_the_left_and_the_front_at_the_top(
    orientation: list[float], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    plain = decode(ct_file()).pixels
    turned = decode(ct_file(ImageOrientationPatient=orientation)).pixels
    np.testing.assert_array_equal(turned, expected(plain))
    assert turned.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("window", ["bone", (40.0,), (40.0, 0.0), (float("nan"), 400.0), None, 400, {}, ("a", "b")])
def test_an_impossible_window_is_named(window: object) -> None:
    with pytest.raises(ValueError, match="dicom_window must be lung, file, or a level and a width"):
        PreparationOptions(dicom_window=window)  # type: ignore[arg-type]


def test_the_window_survives_json_with_the_other_options() -> None:
    options = PreparationOptions(dicom_window=[40, 400])  # type: ignore[arg-type]
    assert options.dicom_window == (40.0, 400.0)
    assert PreparationOptions(**options.to_dict()) == options
    assert PreparationOptions().dicom_window == "lung"


# --- Verdicts --------------------------------------------------------------------------------------------------------


def cut_fragment(content: bytes) -> bytes:
    """The same file with half of its compressed frame; lengths and delimiters are right."""
    at = content.rindex(b"\xff\xff\xff\xff") + 4
    table = struct.unpack_from("<L", content, at + 4)[0]
    start = at + 8 + table
    length = struct.unpack_from("<L", content, start + 4)[0]
    half = length // 2 & ~1
    return content[: start + 4] + struct.pack("<L", half) + content[start + 8 :][:half] + b"\xfe\xff\xdd\xe0" + bytes(4)


def taller(content: bytes) -> bytes:
    """The same file with a header that claims twice the rows."""
    rows = b"\x28\x00\x10\x00US\x02\x00"
    return content.replace(rows + b"\x30\x00", rows + b"\x60\x00")


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (ct_file(Modality="MR"), "no CT slice, it names modality MR"),
        (ct_file(Modality="PT"), "no CT slice, it names modality PT"),
        (ct_file(Modality="QUUX"), "no CT slice, it names another modality"),
        (ct_file(Modality=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.4"), "it names no modality"),
        (ct_file(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), "secondary capture"),
        (ct_file(SOPClassUID="1.2.840.10008.5.1.4.1.1.7.2"), "secondary capture"),
        (ct_file(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1"), "enhanced, multi-frame CT"),
        (ct_file(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localizer"),
        (ct_file(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "not axial"),
        (ct_file(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "not axial"),
        (ct_file(NumberOfFrames="2"), "several frames"),
        (ct_file(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0), "colour"),
        (ct_file(PhotometricInterpretation="PALETTE COLOR"), "colour"),
        (ct_file(PixelData=None), "holds no pixels"),
        (ct_file(PixelData=b""), "holds no pixels"),
        (ct_file(PixelData=None, FloatPixelData=bytes(64 * 48 * 4)), "floating-point"),
        (ct_file(PixelData=bytes(100)), "pixels are cut short: 100 of 6,144 bytes"),
        (ct_file()[:-100], "pixels are cut short: 6,044 of 6,144 bytes"),
        (ct_file()[:300], "cut short or damaged before its pixels"),
        (ct_file()[:132], "cut short or damaged before its pixels"),
        (ct_file(BitsAllocated=32), "stores 32 bits a pixel; 8 or 16"),
        (ct_file(BitsStored=17), "contradicts itself about its bits"),
        (ct_file(HighBit=3), "contradicts itself about its bits"),
        (ct_file(RescaleSlope=None), "no rescale slope and intercept"),
        (ct_file(RescaleIntercept=None), "no rescale slope and intercept"),
        (ct_file(RescaleSlope=0), "no rescale slope and intercept"),
        (ct_file(Rows=0), "64x0 pixels; both sides must be at least 32"),
        (ct_file(Rows=65535, Columns=65535), "65535x65535 pixels; at most 16,777,216 are read"),
        (ct_file(np.full((48, 64), -1000, np.int16)), "blank"),
        (compressed(dataset_of(ramp()), RLE)[:-60], "pixels are cut short or damaged"),
        (compressed(dataset_of(ramp()), JPEG_LS)[:-60], "pixels are cut short or damaged"),
        *((cut_fragment(compressed(dataset_of(ramp()), syntax)), "pixels are cut short") for syntax in COMPRESSED),
        *((taller(compressed(dataset_of(ramp()), syntax)), "cut short|but its header says") for syntax in COMPRESSED),
    ],
)
def test_what_is_no_ct_slice_is_refused_with_the_reason(content: bytes, verdict: str) -> None:
    with pytest.raises(SliceError, match=verdict):
        decode(content)


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.102", "MPEG video"),
        ("1.2.840.10008.1.2.4.202", "high-throughput JPEG 2000"),
        ("1.2.840.10008.1.2.4.94", "JPIP"),
        ("1.2.840.10008.1.2.1.98", "encapsulated, uncompressed pixels"),
        ("1.2.3.4.5", "an unknown transfer syntax"),
    ],
)
def test_a_syntax_that_cannot_be_read_is_named_if_it_is_known(syntax: str, name: str) -> None:
    content = compressed(dataset_of(ramp()), RLE)
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    at = content.index(b"\x02\x00\x10\x00UI") + 6
    # The group length is wrong now, as it is in some real files.
    content = content[:at] + struct.pack("<H", len(value)) + value + content[at + 2 + 20 :]
    verdict = refused(content)
    assert f"is written in {name}" in verdict
    assert "1.2.3.4.5" not in verdict


def test_native_pixels_under_a_compressed_syntax_are_a_contradiction() -> None:
    content = ct_file().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    assert "contradicts itself about its compression" in refused(content)


def test_a_size_is_refused_before_a_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("pixels were read")

    monkeypatch.setattr(dicom, "read_slice", never)
    assert "at most" in refused(ct_file(Rows=5000, Columns=5000))


# --- Hostile files ---------------------------------------------------------------------------------------------------


def nested(depth: int) -> Dataset:
    dataset = Dataset()
    for _ in range(depth):
        outer = Dataset()
        outer.is_undefined_length_sequence_item = True
        outer.add_new(0x00081140, "SQ", Sequence([dataset]))
        outer[0x00081140].is_undefined_length = True
        dataset = outer
    return dataset


def with_elements(raw: bytes) -> bytes:
    """A CT slice whose data set starts with ``raw``."""
    content = ct_file()
    at = len(content) - len(without_meta(content))
    return content[:at] + raw + content[at:]


def test_sequences_are_stepped_over_down_to_a_depth() -> None:
    dataset = dataset_of(ramp())
    dataset.update(nested(8))
    np.testing.assert_array_equal(read(written(dataset)).hounsfield, ramp())
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    assert "nests sequences more than 64 deep" in refused(with_elements(opened * 100_000))


def test_an_icon_inside_a_sequence_is_not_taken_for_the_slice() -> None:
    icon = Dataset()
    icon.Rows, icon.Columns, icon.PixelData = 2, 2, bytes(4)
    icon["PixelData"].VR = "OB"
    dataset = dataset_of(ramp(), IconImageSequence=Sequence([icon]))
    np.testing.assert_array_equal(read(written(dataset)).hounsfield, ramp())
    dataset["IconImageSequence"].is_undefined_length = True
    np.testing.assert_array_equal(read(written(dataset)).hounsfield, ramp())
    np.testing.assert_array_equal(read(implicit(dataset)).hounsfield, ramp())


def deflated(plain: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = written(dataset_of(ramp()), DeflatedExplicitVRLittleEndian)
    at = 144 + struct.unpack_from("<L", head, 140)[0]
    return head[:at] + packer.compress(plain) + packer.flush()


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (deflated(bytes(200 * 2**20)), "inflates to more than"),
        (deflated(without_meta(ct_file()))[:-40], "cut short or damaged"),
        (written(dataset_of(ramp()), DeflatedExplicitVRLittleEndian)[:400] + b"\xff" * 400, "cut short or damaged"),
        (with_elements(b"\x08\x00\x08\x00CS\0\0" * 2_000_000), "more than 50,000 elements"),
        (
            with_elements(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000),
            "elements",
        ),
        (with_elements(b"\x08\x00\x08\x00UT\0\0\xf0\xff\xff\xff"), "cut short or damaged before its pixels"),
        (with_elements(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"), "cut short or damaged before its pixels"),
    ],
    ids=["deflated bomb", "deflated, cut", "deflated noise", "many elements", "many items", "endless value", "no end"],
)
def test_a_hostile_header_costs_little_and_gets_a_verdict(content: bytes, verdict: str) -> None:
    start = time.perf_counter()
    assert verdict in refused(content)
    assert time.perf_counter() - start < 3.0


def swapped(syntax: str, old: bytes, new: bytes) -> bytes:
    content = compressed(dataset_of(ramp()), syntax)
    assert old in content
    return content.replace(old, new, 1)


def test_a_codestream_that_claims_another_size_is_refused_before_its_decoder_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lung_tumor.dicom_codecs._decode", lambda *_: pytest.fail("a decoder was called"))
    size = struct.pack(">HH", 48, 64)
    for syntax in (JPEG_LS, JPEG_LOSSLESS):
        assert "65500x65500, 1 of" in refused(swapped(syntax, size, struct.pack(">HH", 65500, 65500)))
    size = struct.pack(">LL", 64, 48) + bytes(8)
    assert "640x480, 1 of" in refused(swapped(JPEG_2000, size, struct.pack(">LL", 640, 480) + bytes(8)))
    tiles = struct.pack(">LL", 64, 48) + bytes(8) + struct.pack(">LL", 64, 48)
    assert "damaged" in refused(swapped(JPEG_2000, tiles, tiles[:16] + struct.pack(">LL", 1, 1)))


def test_a_progressive_jpeg_is_not_decoded_scan_by_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lung_tumor.dicom_codecs._decode", lambda *_: pytest.fail("a decoder was called"))
    dataset = dataset_of(ramp(), bits=(8, 8), slope=8.0)
    stream = encoded(gradient(), "JPEG", progressive=True)
    dataset.PixelData = pydicom.encaps.encapsulate([stream])
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    assert "damaged" in refused(written(dataset))


def test_jpeg_ls_parameters_outside_the_standard_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lung_tumor.dicom_codecs._decode", lambda *_: pytest.fail("a decoder was called"))
    content = compressed(dataset_of(ramp()), JPEG_LS)
    at = content.index(b"\xff\xda\x00\x08")
    # Found by fuzzing: a largest value of 65535 in a stream of fewer bits kept CharLS busy for 20 seconds.
    preset = b"\xff\xf8\x00\x0d\x01" + struct.pack(">5H", 65535, 18, 67, 276, 64)
    bits = content.index(b"\xff\xf7") + 4
    content = content[:bits] + bytes([12]) + content[bits + 1 : at] + preset + content[at:]
    fragment = content.rindex(b"\xfe\xff\x00\xe0") + 4
    content = content[:fragment] + struct.pack("<L", len(content) - fragment - 4 - 8) + content[fragment + 4 :]
    assert "damaged" in refused(content)


def test_a_run_length_bomb_stops_where_the_slice_is_full() -> None:
    swelling = b"\x81\x00" * 4_000_000
    stream = struct.pack("<16L", 2, 64, 64 + len(swelling), *[0] * 13) + swelling * 2
    dataset = dataset_of(ramp())
    dataset.PixelData = pydicom.encaps.encapsulate([stream])
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(RLE)
    start = time.perf_counter()
    assert "blank" in refused(written(dataset))
    assert time.perf_counter() - start < 2.0


def test_runs_across_rows_are_unpacked() -> None:
    # 48 x 64 equal high bytes in runs of 128, two rows each; low bytes literal.
    hounsfield = (np.arange(48 * 64) % 256 - 1024).astype(np.int16).reshape(48, 64)
    high = b"\x81\x00" * 24
    literal = b"".join(b"\x7f" + bytes(range(start, start + 128)) for start in (0, 128)) * 12
    stream = struct.pack("<16L", 2, 64, 64 + len(high), *[0] * 13) + high + literal
    dataset = dataset_of(hounsfield)
    dataset.PixelData = pydicom.encaps.encapsulate([stream])
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(RLE)
    np.testing.assert_array_equal(read(written(dataset)).hounsfield, hounsfield)


# --- Patients --------------------------------------------------------------------------------------------------------

SALT = bytes(range(16))


def everything_said_about(content: bytes, caplog: pytest.LogCaptureFixture) -> str:
    """All that reading a file leaves in logs, warnings, exceptions and representations."""
    said: list[str] = []
    caplog.clear()
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            said.append(repr(decode(content)))
            header = read_header(content)
            said += [repr(header), str(header), repr(read_slice(header))]
        except LungTumorError as error:
            said += [repr(error), repr(error.__cause__), repr(error.args)]
        said += [repr(patient_digests(content, SALT))]
    return "\n".join([*said, caplog.text, *(str(one.message) for one in warned)])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content,
        lambda content: content[:-200],
        lambda content: content[: content.index(b"Quux") + 300],
        lambda content: content.replace(b"CS\x02\x00CT", b"CS\x02\x00MR"),
        lambda content: content.replace(b"OW\0\0", b"OB\0\1"),
    ],
    ids=["whole", "cut pixels", "cut header", "MR", "odd pixels"],
)
@pytest.mark.parametrize("syntax", [None, JPEG_LS, JPEG_2000, JPEG_LOSSLESS, RLE])
def test_no_name_leaves_the_file(
    spoil: Callable[[bytes], bytes], syntax: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = dataset_of(ramp(), **SECRETS)
    content = spoil(written(dataset) if syntax is None else compressed(dataset, syntax))
    assert MARKER.encode() in content
    said = everything_said_about(content, caplog)
    assert "Quux" not in said
    assert "0815" not in said
    assert "19510203" not in said


@pytest.mark.parametrize(
    "keyword", ["Modality", "SOPClassUID", "ImageType", "PhotometricInterpretation", "RescaleSlope"]
)
def test_a_name_typed_into_a_technical_element_is_not_repeated(keyword: str, caplog: pytest.LogCaptureFixture) -> None:
    dataset = dataset_of(ramp())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset[keyword]._value = "QUUX1234"
        dataset[keyword].VR = "LO"
        content = written(dataset)
    assert "QUUX" not in everything_said_about(content, caplog).upper()


def test_the_manifest_of_an_audit_names_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from lung_tumor.audit import audit

    files = {
        "a/1.dcm": ct_file(**SECRETS),
        "a/2": compressed(dataset_of(ramp()[::-1].copy(), **SECRETS), JPEG_LS),
        "a/3.dcm": ct_file(Modality="MR", **SECRETS),
        "b/4.png": encoded(speckled(120, 3)),
        "b/5.dcm": ct_file(**SECRETS)[:-9],
    }
    with caplog.at_level(logging.DEBUG):
        manifest, _ = audit(source_of(tmp_path, files), PreparationOptions())
    verdicts = dict(zip(manifest["path"], manifest["verdict"], strict=True))
    assert verdicts == {
        "a/1.dcm": "accepted",
        "a/2": "accepted",
        "a/3.dcm": "quarantined",
        "b/4.png": "accepted",
        "b/5.dcm": "quarantined",
    }
    assert dict(zip(manifest["path"], manifest["format"], strict=True))["a/2"] == "DICOM"
    assert "Quux" not in manifest.to_csv() + caplog.text


def test_digests_tell_patients_and_studies_apart_and_no_more() -> None:
    one = patient_digests(ct_file(PatientID="A 1"), SALT)
    assert one == patient_digests(ct_file(phantom_hounsfield(), PatientID=" a 1 "), SALT)
    assert one == patient_digests(implicit(dataset_of(ramp(), PatientID="A 1")), SALT)
    other = patient_digests(ct_file(PatientID="A 2"), SALT)
    assert one.study == other.study
    assert one.patient != other.patient
    again = patient_digests(ct_file(PatientID="A 1", StudyInstanceUID="1.2.3"), SALT)
    assert one.patient == again.patient
    assert one.study != again.study
    assert len({one.patient, one.study, patient_digests(ct_file(PatientID="A 1"), SALT[::-1]).patient}) == 3
    assert len(one.patient or "") == 32


@pytest.mark.parametrize("name", ["", "Anonymous", "0", "0000", "XXX", "--", "UNKNOWN", None])
def test_a_placeholder_is_no_patient(name: str | None) -> None:
    content = ct_file() if name is None else ct_file(PatientID=name)
    assert patient_digests(content, SALT).patient is None
    assert patient_digests(content, SALT).study is not None


def test_a_salt_that_can_be_guessed_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="16 bytes or more, received 6") as caught:
        patient_digests(ct_file(), b"secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", encoded(gradient()), ct_file()[:200], b"\x08\x00" * 40])
def test_of_what_is_not_dicom_nobody_is_known(content: bytes) -> None:
    assert patient_digests(content, SALT) == PatientDigests()


# --- Against others --------------------------------------------------------------------------------------------------


def test_the_walk_finds_what_pydicom_finds_in_pydicom_s_own_files() -> None:
    compared = 0
    for path in sorted(PYDICOM.glob("*.dcm")):
        content = path.read_bytes()
        if not is_dicom(content) or "truncated" in path.name:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable(logging.CRITICAL)
            try:
                dataset = pydicom.dcmread(path, force=True)
                expected = [str(dataset.get(key) or "").strip() for key in ("Modality", "PatientID", "SOPClassUID")]
                pixels = dataset.get("PixelData")
            finally:
                logging.disable(logging.NOTSET)
        elements = dicom_elements.read_elements(content, frozenset((0x00080060, 0x00100020, 0x00080016)))
        received = [
            elements.values.get(tag, b"").decode("latin-1").strip(" \0") for tag in (0x00080060, 0x00100020, 0x00080016)
        ]
        assert received == expected, path.name
        assert (elements.pixels is None) == (pixels is None), path.name
        if pixels is not None:
            assert bytes(elements.pixels or b"").startswith(pixels), path.name
        compared += 1
    assert compared >= 50


def test_hounsfield_units_agree_with_pydicom_s() -> None:
    content = (PYDICOM / "CT_small.dcm").read_bytes()
    dataset = pydicom.dcmread(PYDICOM / "CT_small.dcm")
    expected = np.clip(pydicom.pixels.apply_rescale(dataset.pixel_array, dataset), -1024, None)
    np.testing.assert_array_equal(read(content).hounsfield, expected)


def test_pictures_pay_nothing_for_dicom() -> None:
    program = (
        "import sys; from lung_tumor.imaging import decode; from tests.support.pictures import encoded, gradient; "
        "decode(encoded(gradient())); print([name for name in ('imagecodecs', 'pydicom') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.strip() == "[]"


def test_a_header_can_be_compared_and_does_not_show_the_file() -> None:
    header = read_header(ct_file())
    assert header == read_header(ct_file())
    assert "elements" not in repr(header)
    assert header.spacing_mm == 0.7
    assert dataclasses.replace(header, slope=2.0) != header


# --- Real slices -----------------------------------------------------------------------------------------------------

real = [
    pytest.mark.real,
    pytest.mark.skipif(not REAL.is_dir(), reason="no real slices: ../shared/data/lung-pet-ct-dx is missing"),
]


class TestRealSlices:
    pytestmark = real

    def test_all_decode_to_two_patients(self) -> None:
        contents = [path.read_bytes() for path in sorted(REAL.glob("*.dcm"))]
        assert len(contents) == 12
        digests = [patient_digests(content, SALT) for content in contents]
        assert [digests.count(one) for one in dict.fromkeys(digests)] == [6, 6]
        for content in contents:
            pixels = decode(content).pixels
            assert pixels.shape == (512, 512)
            # A window that fits the lungs shows them dark, the body bright, and little at the ends of the scale.
            assert 0.15 < np.mean(pixels > 200) < 0.6
            assert np.mean((pixels > 5) & (pixels < 250)) > 0.8

    def test_they_agree_with_pydicom(self) -> None:
        for path in sorted(REAL.glob("*.dcm")):
            dataset = pydicom.dcmread(path)
            expected = np.clip(pydicom.pixels.apply_rescale(dataset.pixel_array, dataset), -1024, None)
            np.testing.assert_array_equal(read(path.read_bytes()).hounsfield, expected)

    def test_the_table_below_the_patient_is_cropped_away(self) -> None:
        for path in sorted(REAL.glob("*.dcm")):
            pixels = decode(path.read_bytes()).pixels
            height, width = crop_to_body(pixels).shape
            assert 250 <= height <= 400
            assert 350 <= width <= 512
            assert prepare(pixels, PreparationOptions()).shape == (224, 224)

"""Multi-frame CT files are taken apart into slices that read like single ones."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from lung_tumor.dicom import read_header, read_slice
from lung_tumor.dicom_frames import split_frames
from lung_tumor.dicom_series import place_of
from lung_tumor.errors import SliceError
from tests.support.dicom_files import JPEG_LS, MARKER, SECRETS, dataset_of, ramp, written

ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"
HEIGHTS = (4.0, -1.5, 9.25)


def stack(count: int = 3) -> list[np.ndarray]:
    return [ramp() + np.int16(10 * index) for index in range(count)]


def multi_frame(**elements: object):
    """A CT file of three frames with one rescaling for all."""
    frames = stack()
    dataset = dataset_of(frames[0], SeriesInstanceUID="1.2.3", **SECRETS, **elements)
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = b"".join((frame + 1024).astype("<u2").tobytes() for frame in frames)
    return dataset


def item(**elements: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def enhanced(heights: tuple[float, ...] = HEIGHTS, shared_rescale: bool = True):
    """An enhanced CT: what differs between frames stands in functional groups."""
    dataset = multi_frame(SOPClassUID=ENHANCED, RescaleSlope=None, RescaleIntercept=None, PixelSpacing=None)
    rescale = {"PixelValueTransformationSequence": Sequence([item(RescaleSlope="1", RescaleIntercept="-1024")])}
    orientation = {"PlaneOrientationSequence": Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])}
    shared = {**orientation, **(rescale if shared_rescale else {})}
    dataset.SharedFunctionalGroupsSequence = Sequence([item(**shared)])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [
            item(
                PlanePositionSequence=Sequence([item(ImagePositionPatient=[-100, -100, height])]),
                **({} if shared_rescale else rescale),
            )
            for height in heights
        ]
    )
    return dataset


def opened(content: bytes) -> list[bytes]:
    return [frame() for frame in split_frames(content, 10).files]


def assert_frames(content: bytes) -> list[bytes]:
    frames = opened(content)
    assert len(frames) == 3
    for frame, expected in zip(frames, stack(), strict=True):
        np.testing.assert_array_equal(read_slice(read_header(frame)).hounsfield, expected)
    return frames


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_multi_frame_file_becomes_its_slices(syntax):
    assert_frames(written(multi_frame(), syntax))


def test_only_a_deflated_file_of_several_frames_says_what_its_frames_hold_beside_it():
    plain, packed = (written(multi_frame(), syntax) for syntax in (None, DeflatedExplicitVRLittleEndian))
    single = written(dataset_of(ramp()), DeflatedExplicitVRLittleEndian)
    assert [split_frames(content, 10).inflated for content in (plain, single)] == [0, 0]
    pixels = 3 * ramp().nbytes
    assert pixels < split_frames(packed, 10).inflated < pixels + 2000


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
@pytest.mark.parametrize("shared_rescale", [True, False])
def test_an_enhanced_file_becomes_slices_with_rescaling_and_position(syntax, shared_rescale):
    frames = assert_frames(written(enhanced(shared_rescale=shared_rescale), syntax))
    places = [place_of(frame) for frame in frames]
    assert [place.position_mm for place in places] == list(HEIGHTS)
    assert {place.series for place in places} == {b"1.2.3"}


def test_sequences_of_undefined_length_are_read_too():
    dataset = enhanced()
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        dataset[name].is_undefined_length = True
        for part in dataset[name].value:
            part.is_undefined_length_sequence_item = True
    frames = assert_frames(written(dataset))
    assert [place_of(frame).position_mm for frame in frames] == list(HEIGHTS)


@pytest.mark.parametrize("per_frame", [1, 2])
def test_compressed_frames_are_taken_apart_by_fragment_or_by_offset_table(per_frame):
    import imagecodecs

    dataset = multi_frame()
    streams = [bytes(imagecodecs.jpegls_encode((frame + 1024).astype(np.uint16))) for frame in stack()]
    dataset.PixelData = encapsulate(streams, fragments_per_frame=per_frame)
    dataset.file_meta.TransferSyntaxUID = UID(JPEG_LS)
    assert_frames(written(dataset))


def test_no_frame_holds_what_could_name_a_patient():
    for dataset in (multi_frame(), enhanced()):
        content = written(dataset)
        assert MARKER.encode() in content
        assert all(MARKER.encode() not in frame for frame in opened(content))


@pytest.mark.parametrize("content", [b"", b"no dicom", written(dataset_of(ramp()))])
def test_anything_else_is_given_back_as_it_is(content):
    assert opened(content) == [content]


def test_a_big_endian_file_is_left_to_those_who_refuse_it():
    content = written(multi_frame(), ExplicitVRBigEndian)
    assert opened(content) == [content]
    with pytest.raises(SliceError, match="several frames"):
        read_header(content)


def test_too_many_frames_are_refused_before_anything_is_copied():
    with pytest.raises(SliceError, match="3 frames; export it as files of at most 2 each"):
        split_frames(written(multi_frame()), 2)


def test_frames_that_are_not_all_there_are_refused():
    dataset = multi_frame()
    dataset.NumberOfFrames = 4
    with pytest.raises(SliceError, match="cut short"):
        split_frames(written(dataset), 10)


@pytest.mark.parametrize("number", [b"0 ", b"x ", b"-1", b"  "])
def test_an_enhanced_file_of_no_number_of_frames_is_refused(number):
    content = written(enhanced())
    at = content.index(b"\x28\x00\x08\x00IS\x02\x00") + 8
    with pytest.raises(SliceError, match="does not say how many frames"):
        split_frames(content[:at] + number + content[at + 2 :], 10)


def test_frames_are_written_one_by_one_as_they_are_asked_for():
    dataset = multi_frame()
    dataset.NumberOfFrames = 300
    dataset.PixelData = 100 * dataset.PixelData
    content = written(dataset)
    tracemalloc.start()
    frames = split_frames(content, 300).files
    sizes = [len(frame()) for frame in frames]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(sizes) > len(content)
    assert most < len(content) / 4


def test_damage_is_a_slice_error_and_nothing_else():
    random = np.random.default_rng(3)
    content = written(enhanced())
    for _ in range(300):
        broken = bytearray(content)
        for at in random.integers(132, len(content) - 3 * 48 * 64 * 2, 3):
            broken[at] = int(random.integers(256))
        try:
            for frame in opened(bytes(broken)):
                read_slice(read_header(frame))
        except SliceError:
            pass


def read_all(content: bytes) -> list[np.ndarray]:
    return [read_slice(read_header(part)) for part in opened(content)]


@pytest.mark.parametrize("frames", [1, 2])
def test_encapsulated_pixels_without_a_single_item_are_damaged(frames: int) -> None:
    dataset = multi_frame()
    dataset.NumberOfFrames = frames
    dataset.PixelData = encapsulate([b"\0\0"])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    whole = written(dataset, syntax=JPEG_LS)
    cut = whole[: whole.index(b"\xfe\xff\x00\xe0")] + b"\xfe\xff\xdd\xe0\0\0\0\0"
    with pytest.raises(SliceError, match="cut short or damaged"):
        read_all(cut)


def test_a_transfer_syntax_of_seventy_thousand_characters_is_none_of_ours() -> None:
    dataset = multi_frame()
    whole = written(dataset)
    start = whole.index(b"\x02\x00\x10\x00UI")
    length = int.from_bytes(whole[start + 6 : start + 8], "little")
    named = b"\x02\x00\x10\x00OB\0\0" + (70_000).to_bytes(4, "little") + b"9" * 70_000
    with pytest.raises(SliceError):
        read_all(whole[:start] + named + whole[start + 8 + length :])

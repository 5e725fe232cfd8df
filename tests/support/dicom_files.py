"""DICOM files of the phantom: written by pydicom, compressed by imagecodecs, and by dcmtk where that is installed."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lung_tumor import phantom

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_FIRST_ORDER = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"

MARKER = "Zacharias^Quux"
"""A name that stands in every element that could tell who a patient is, and must stand nowhere else."""

SECRETS = {
    "PatientName": MARKER,
    "PatientID": f"{MARKER} 0815",
    "PatientBirthDate": "19510203",
    "PatientAddress": f"{MARKER} street",
    "OtherPatientIDs": f"{MARKER} other",
    "InstitutionName": f"{MARKER} hospital",
    "ReferringPhysicianName": MARKER,
    "OperatorsName": MARKER,
    "AccessionNumber": MARKER[:16],
    "StudyDescription": f"{MARKER} study",
    "SeriesDescription": f"{MARKER} series",
    "ImageComments": f"{MARKER} comment",
    "PatientComments": f"{MARKER} comment",
}

Hounsfield = npt.NDArray[np.int16]


@cache
def phantom_hounsfield(index: int = 0) -> Hounsfield:
    """The phantom's slice ``index``, (512, 512) int16 HU."""
    return phantom.draw_slice(index, phantom.PhantomOptions(slices=8, seed=7)).hounsfield


def ramp(height: int = 48, width: int = 64) -> Hounsfield:
    """A small slice whose HU rise from -1024 to 1000, odd rows a little higher."""
    row = np.linspace(-1024, 1000, width)
    return (row[np.newaxis] + 7 * (np.arange(height)[:, np.newaxis] % 2)).astype(np.int16)


def dataset_of(
    hounsfield: Hounsfield,
    *,
    signed: bool = False,
    slope: float = 1.0,
    intercept: float = -1024.0,
    bits: tuple[int, int] = (16, 12),
    **elements: Any,
) -> FileDataset:
    """A CT slice. ``bits`` are allocated and stored; ``elements`` take the place of others by keyword, None removes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.826.0.1.3680043.10.5.1")
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.10.5.2"
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows, dataset.Columns = hounsfield.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = bits
    dataset.HighBit = bits[1] - 1
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    dataset.PixelSpacing = [0.7, 0.7]
    stored = np.rint((hounsfield - intercept) / slope).astype(f"<{'i' if signed else 'u'}{bits[0] // 8}")
    dataset.PixelData = stored.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def written(dataset: FileDataset, syntax: str | None = None) -> bytes:
    """The file's content; ``syntax`` is one of the uncompressed ones."""
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.set_original_encoding(False, False)
    if syntax is not None:
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def ct_file(hounsfield: Hounsfield | None = None, **options: Any) -> bytes:
    """A CT slice's file in Explicit VR Little Endian; see :func:`dataset_of`."""
    return written(dataset_of(ramp() if hounsfield is None else hounsfield, **options))


def compressed(dataset: FileDataset, syntax: str) -> bytes:
    """The file, compressed by pydicom (RLE) or imagecodecs; signed values as two's complements of the bits stored."""
    stored = dataset.pixel_array.astype(np.uint16) & np.uint16((1 << dataset.BitsStored) - 1)
    if syntax == RLE:
        dataset.compress(UID(RLE), generate_instance_uid=False)
        return written(dataset)
    if syntax == JPEG_LS:
        stream = imagecodecs.jpegls_encode(stored)
    elif syntax == JPEG_2000:
        stream = imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k")
    else:
        predictor = 1 if syntax == JPEG_LOSSLESS_FIRST_ORDER else 4
        stream = imagecodecs.jpeg8_encode(stored, lossless=True, predictor=predictor, bitspersample=16)
    dataset.PixelData = encapsulate([bytes(stream)])
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return written(dataset)


def dcmtk(content: bytes, tool: str, *arguments: str) -> bytes | None:
    """What one of dcmtk's tools makes of the file; None where dcmtk is not installed."""
    program = shutil.which(tool)
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.dcm"), Path(folder, "out.dcm")
        source.write_bytes(content)
        subprocess.run([program, *arguments, source, target], check=True, capture_output=True, timeout=60)
        return target.read_bytes()


def without_meta(content: bytes) -> bytes:
    """The same data set without preamble, prefix and file meta information."""
    length = struct.unpack_from("<L", content, 140)[0]
    return content[144 + length :]


def implicit(dataset: FileDataset) -> bytes:
    """The file in Implicit VR Little Endian."""
    return written(dataset, ImplicitVRLittleEndian)

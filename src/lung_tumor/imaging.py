"""One way from a file's bytes to the pixels that the network sees.

Training, evaluation, the app and batch scoring all call :func:`decode` and then :func:`prepare`, so they cannot differ.
What can live in the network (RGB to BGR, mean-centring) lives there instead.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from lung_tumor import dicom
from lung_tumor.body import find_body
from lung_tumor.dicom_window import Window, checked_window
from lung_tumor.errors import SliceError
from lung_tumor.intensity import Normalisation, standardise
from lung_tumor.options import as_tuple, require_types
from lung_tumor.picture_parts import check_parts
from lung_tumor.strokes import fill_strokes, find_strokes

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

Denoising = Literal["none", "median", "bilateral", "non_local_means"]

# Pillow refuses truncated files unless told otherwise; a half slice must never pass for a whole one.
ImageFile.LOAD_TRUNCATED_IMAGES = False
# Pillow's own bound warns first and raises much later; decode() checks the size before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

MAX_PIXELS = 4096 * 4096
"""Largest picture that is decoded, in pixels: 64 times a CT slice; more costs a server hundreds of megabytes each."""

MIN_SIDE = 32
"""Shortest side, in pixels, at which a chest is still recognisable."""

SYNTHETIC_NOTE = "synthetic: drawn by the phantom, no patient"
"""Text that every PNG of the phantom carries."""

_WORKING_SIDE = 1024
"""Longest side, in pixels, at which a slice is prepared: twice a CT slice's, and a bound to what a huge scan costs."""

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")


@dataclass(frozen=True)
class DecodedSlice:
    """One decoded picture.

    Attributes:
        pixels: grey values, shape (height, width), uint8, 0 to 255.
        format: container found in the content, such as ``PNG`` or ``DICOM``; never guessed from a file name.
        mode: Pillow's mode of the stored picture, such as ``RGBA`` or ``I;16``; of DICOM ``MONOCHROME1`` or ``2``.
        synthetic: whether the picture's own text says that the phantom drew it, wherever it was copied since.
        coloured: share of clearly coloured pixels, 0 to 1.
        strokes: where coloured strokes are burnt in, (height, width) bool; None where there are none.
    """

    pixels: Pixels
    format: str
    mode: str
    synthetic: bool = False
    coloured: float = 0.0
    strokes: Mask | None = None


@dataclass(frozen=True)
class PreparationOptions:
    """How a decoded slice becomes the network's input (``params:data_ingestion.preparation``).

    Attributes:
        size: side of the square output, pixels.
        suppress_strokes: fill coloured strokes from around them.
        crop_to_body: cut to the bounding box of the body before resizing.
        blank_outside: make black what lies outside the body's convex outline, and count greys within it alone.
        denoise: filter against noise, applied at the slice's own resolution, up to 1024 pixels a side.
        denoise_strength: kernel side in pixels for ``median`` (odd), otherwise the filter's grey-value sigma, 0 to 255.
        normalise: how grey values are standardised, see :func:`lung_tumor.intensity.standardise`.
        percentiles: lower and upper percentile, used by ``percentile``.
        window: lower and upper grey value, used by ``window``.
        dicom_window: what :func:`decode` makes of Hounsfield units: ``lung``, ``file``, or (level, width) in HU.
    """

    size: int = 224
    suppress_strokes: bool = True
    crop_to_body: bool = True
    blank_outside: bool = False
    denoise: Denoising = "median"
    denoise_strength: int = 3
    normalise: Normalisation = "landmarks"
    percentiles: tuple[float, float] = (1.0, 99.0)
    window: tuple[float, float] = (0.0, 255.0)
    dicom_window: Window = "lung"

    def __post_init__(self) -> None:
        # Kedro hands over YAML lists; tuples keep the options hashable.
        object.__setattr__(self, "percentiles", as_tuple(self.percentiles))
        object.__setattr__(self, "window", as_tuple(self.window))
        require_types(self, "preparation")
        object.__setattr__(self, "dicom_window", checked_window(self.dicom_window))
        if not MIN_SIDE <= self.size <= 1024:
            raise ValueError(f"preparation.size must lie in [{MIN_SIDE}, 1024], received {self.size}")
        if self.denoise not in get_args(Denoising):
            raise ValueError(f"preparation.denoise must be one of {get_args(Denoising)}, received {self.denoise!r}")
        if self.normalise not in get_args(Normalisation):
            raise ValueError(
                f"preparation.normalise must be one of {get_args(Normalisation)}, received {self.normalise!r}"
            )
        if self.denoise == "median" and self.denoise_strength not in (3, 5, 7):
            raise ValueError(
                f"preparation.denoise_strength must be 3, 5 or 7 for median, received {self.denoise_strength}"
            )
        if not 1 <= self.denoise_strength <= 255:
            raise ValueError(f"preparation.denoise_strength must lie in [1, 255], received {self.denoise_strength}")
        for name, (low, high), top in (("percentiles", self.percentiles, 100.0), ("window", self.window, 255.0)):
            if not 0.0 <= low < high <= top:
                raise ValueError(f"preparation.{name} must satisfy 0 <= low < high <= {top:g}, received {(low, high)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, from which the same options can be made again."""
        return dataclasses.asdict(self)


Hold = Callable[[int, int], AbstractContextManager[object]]
"""Takes a picture's width and height, and gives what is to be held while its pixels are decoded."""


def _nothing(_width: int, _height: int) -> AbstractContextManager[object]:
    return nullcontext()


def decode(content: bytes, dicom_window: Window = "lung", hold: Hold = _nothing) -> DecodedSlice:
    """Decode a picture or a DICOM slice by its content.

    Alpha is dropped, colour becomes luma (ITU-R 601), 16-bit and float greys are stretched linearly from their own
    minimum and maximum to 0 to 255, of several frames the first is taken. Of DICOM only single CT slices are read.

    Args:
        content: the file's bytes.
        dicom_window: :attr:`PreparationOptions.dicom_window`; of no meaning for anything but DICOM.
        hold: asked once the header is read; whatever it raises, this raises.

    Raises:
        SliceError: the content is no picture, is cut short, too small, too large, blank or not greyscale-like.
    """
    if not content:
        raise SliceError("the file is empty")
    decoded = _decode_dicom(content, dicom_window, hold) if dicom.is_dicom(content) else _decode_picture(content, hold)
    if int(decoded.pixels.max()) - int(decoded.pixels.min()) < 8:
        raise SliceError("the picture is blank: its grey values hardly differ")
    return decoded


def _decode_dicom(content: bytes, window: Window, hold: Hold) -> DecodedSlice:
    header = dicom.read_header(content)
    _check_size(header.width, header.height)
    with hold(header.width, header.height):
        pixels = dicom.to_window(dicom.read_slice(header), window)
    return DecodedSlice(pixels, "DICOM", "MONOCHROME1" if header.inverted else "MONOCHROME2")


def _decode_picture(content: bytes, hold: Hold) -> DecodedSlice:
    check_parts(content)
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise SliceError(f"not a picture that can be read; use {', '.join(FORMATS)} or DICOM") from None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise nearly anything on hostile bytes.
        raise _damaged(error) from None
    with picture:
        _check_size(*picture.size)
        with hold(*picture.size):
            return _loaded(picture)


def _loaded(picture: Image.Image) -> DecodedSlice:
    kind, mode = str(picture.format), picture.mode
    try:
        picture.load()
        synthetic = str(picture.info.get("Description", "")).startswith(SYNTHETIC_NOTE)
        grey, coloured, strokes = _to_grey(picture)
    except SliceError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise nearly anything on hostile bytes.
        raise _damaged(error) from None
    return DecodedSlice(grey, kind, mode, synthetic, coloured, strokes)


def _damaged(error: Exception) -> SliceError:
    return SliceError(f"the picture is damaged or cut short ({type(error).__name__}: {error})")


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise SliceError(f"the picture is {width}x{height} pixels; both sides must be at least {MIN_SIDE}")
    if width * height > MAX_PIXELS:
        raise SliceError(f"the picture is {width}x{height} pixels; at most {MAX_PIXELS:,} are read")


def _to_grey(picture: Image.Image) -> tuple[Pixels, float, Mask | None]:
    """Grey values of a loaded picture, (height, width) uint8, and what :func:`find_strokes` says of its colours."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        values = np.asarray(picture, dtype=np.float32)
        if not np.isfinite(values).all():
            raise SliceError("the picture holds values that are not finite numbers")
        low, high = values.min(), values.max()
        grey = np.asarray(np.rint((values - low) * (255.0 / max(high - low, 1e-12))), dtype=np.uint8)
        return grey, 0.0, None
    if picture.mode in ("1", "L", "LA"):
        return np.array(picture if picture.mode == "L" else picture.convert("L")), 0.0, None
    # Pillow's conversions discard alpha without blending: a transparent border keeps the value stored under it.
    picture = picture.convert("RGBA" if picture.mode in ("P", "PA") else "RGB").convert("RGB")
    return np.array(picture.convert("L")), *find_strokes(np.asarray(picture))


def prepare(pixels: Pixels, options: PreparationOptions, strokes: Mask | None = None) -> Pixels:
    """Fill strokes, crop, de-noise, standardise and resize one slice.

    Args:
        pixels: grey values, (height, width) uint8, 0 to 255.
        options: what to do, in the order of the fields.
        strokes: :attr:`DecodedSlice.strokes`.

    Returns:
        (size, size) uint8, 0 to 255; the aspect ratio is kept, the border filled with black.
    """
    return prepare_and_place(pixels, options, strokes)[0]


def prepare_and_place(
    pixels: Pixels, options: PreparationOptions, strokes: Mask | None = None
) -> tuple[Pixels, Placement]:
    """:func:`prepare`, and where in the picture the prepared slice lies."""
    pixels, strokes = _bounded(pixels, strokes, max(_WORKING_SIDE, 2 * options.size))
    height, width = pixels.shape
    if options.suppress_strokes and strokes is not None:
        pixels = fill_strokes(pixels, strokes)
    body = find_body(pixels) if options.crop_to_body or options.blank_outside else None
    inside = body.inside(*pixels.shape) if body and options.blank_outside else None
    box = ((0, height), (0, width))
    if body and options.crop_to_body:
        pixels, inside = body.crop(pixels), None if inside is None else body.crop(inside)
        box = (body.rows, body.columns)
    pixels = standardise(_denoise(pixels, options), options.normalise, options.percentiles, options.window, inside)
    if inside is not None:
        pixels = np.where(inside, pixels, np.uint8(0))
    return _resize(pixels, options.size), Placement((height, width), *box, options.size)


@dataclass(frozen=True)
class Placement:
    """Which part of a picture a prepared slice shows.

    Attributes:
        picture: height and width of the picture as it was prepared: its own, or smaller where it was huge.
        rows: first row that is shown, and the row after the last.
        columns: first column that is shown, and the column after the last.
        size: side of the prepared slice, whose middle they fill.
    """

    picture: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]
    size: int

    def mask(self, mask: Mask) -> Mask:
        """Where in the prepared slice, (size, size) bool, something of the picture lies, (height, width) bool."""
        values = mask.astype(np.uint8) * np.uint8(255)
        if values.shape != self.picture:
            values = np.asarray(cv2.resize(values, self.picture[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return _resize(np.ascontiguousarray(values[slice(*self.rows), slice(*self.columns)]), self.size) > 127


def to_network_input(prepared: Pixels) -> npt.NDArray[np.float32]:
    """Stack prepared slices, (n, size, size) uint8, to the network's input, (n, size, size, 3) float32, 0 to 255."""
    return np.repeat(prepared[..., np.newaxis], 3, axis=-1).astype(np.float32)


def crop_to_body(pixels: Pixels) -> Pixels:
    """Cut to the bounding box of the body, or return the slice where there is none.

    The border around a patient differs from archive to archive and says nothing about the lungs.
    """
    body = find_body(pixels)
    return pixels if body is None else body.crop(pixels)


def _bounded(pixels: Pixels, strokes: Mask | None, side: int) -> tuple[Pixels, Mask | None]:
    """Both no longer than ``side``; a stroke shrinks to whatever it touches."""
    height, width = pixels.shape
    if max(height, width) <= side:
        return pixels, strokes
    size = (max(1, round(width * side / max(height, width))), max(1, round(height * side / max(height, width))))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if strokes is None:
        return small, None
    touched = cv2.resize(strokes.astype(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    return small, np.asarray(touched > 0)


def _denoise(pixels: Pixels, options: PreparationOptions) -> Pixels:
    match options.denoise:
        case "median":
            filtered = cv2.medianBlur(pixels, options.denoise_strength)
        case "bilateral":
            filtered = cv2.bilateralFilter(pixels, 5, float(options.denoise_strength), 3.0)
        case "non_local_means":
            filtered = cv2.fastNlMeansDenoising(pixels, None, float(options.denoise_strength), 5, 15)
        case "none":
            return pixels
    return np.asarray(filtered, dtype=np.uint8)


def _resize(pixels: Pixels, size: int) -> Pixels:
    """Fit into a black square of ``size``; area averaging when shrinking, so that fine structures do not alias."""
    scale = size / max(pixels.shape)
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    top, left = (size - height) // 2, (size - width) // 2
    shrinks = size < max(pixels.shape)
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    square = np.zeros((size, size), dtype=np.uint8)
    square[top : top + height, left : left + width] = resized
    return square

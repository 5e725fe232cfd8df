"""Small pictures of files for pages that people read, of quarantined files too where they hold a picture at all."""

from __future__ import annotations

import io
from collections.abc import Iterable

import cv2
import numpy as np
from PIL import Image

from lung_tumor import dicom
from lung_tumor.dicom_window import Window
from lung_tumor.errors import SliceError
from lung_tumor.imaging import FORMATS, MAX_PIXELS, Pixels, decode
from lung_tumor.pages import THUMBNAIL_SIDE
from lung_tumor.sources import SliceSource


def thumbnails(source: SliceSource, paths: Iterable[str], window: Window) -> dict[str, Pixels]:
    """Thumbnail, (height, width) uint8, of every path that can be drawn; one file is read at a time."""
    located = {file.path: file for file in source.files}
    drawn: dict[str, Pixels] = {}
    for path in paths:
        try:
            drawn[path] = draw_thumbnail(located[path].read_bytes(), window)
        except SliceError:
            continue
    return drawn


def draw_thumbnail(content: bytes, window: Window) -> Pixels:
    """A small grey copy, also of what is blank, too small or in colour.

    Raises:
        SliceError: there is no picture in the content.
    """
    if dicom.is_dicom(content):
        return _shrunk(decode(content, window).pixels)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise SliceError(
                    f"the picture is {picture.width}x{picture.height} pixels; at most {MAX_PIXELS:,} are read"
                )
            picture.draft("L", (THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            return _shrunk(np.asarray(picture.convert("L"), dtype=np.uint8))
    except SliceError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise nearly anything on hostile bytes.
        raise SliceError(f"the picture cannot be drawn ({type(error).__name__})") from None


def _shrunk(pixels: Pixels) -> Pixels:
    scale = min(1.0, THUMBNAIL_SIDE / max(pixels.shape))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

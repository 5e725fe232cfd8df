"""From the bytes of one upload to the model's answer."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image
from werkzeug.exceptions import HTTPException, UnprocessableEntity, UnsupportedMediaType

from app.model import ServedModel
from lung_tumor.dicom import is_dicom
from lung_tumor.errors import SliceError
from lung_tumor.imaging import Pixels, decode, prepare

_SIGNATURES = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff"}

MAX_SIDE = 4096
"""Longest side that is judged, in pixels: eight times a CT slice's, so that no upload takes minutes or gigabytes."""

WRONG_TYPE = "The file is not a PNG, JPEG or DICOM picture. Save the slice as PNG and send that file."


@dataclass(frozen=True)
class Prediction:
    """What the model answers for one slice.

    Attributes:
        label: the class with the highest probability.
        probabilities: class name to probability, in the model's order; they sum to 1.
        prepared: the slice as the network saw it, (size, size) uint8, 0 to 255.
    """

    label: str
    probabilities: dict[str, float]
    prepared: Pixels


def judge(content: bytes, model: ServedModel) -> Prediction:
    """Decode, prepare and classify one upload, with the same ``imaging`` functions as training.

    Raises:
        UnsupportedMediaType: the content is not PNG, JPEG or DICOM, whatever its name says.
        UnprocessableEntity: it is, but not a picture that can be used; the description says why.
        ServiceUnavailable: there is no model.
    """
    predictor = model.require()
    _check_type(content)
    _check_side(content)
    with model.turns:
        try:
            decoded = decode(content, predictor.metadata.preparation.dicom_window)
        except SliceError as error:
            raise UnprocessableEntity(_sentence(str(error))) from None
        prepared = prepare(decoded.pixels, predictor.metadata.preparation, decoded.strokes)
        del decoded
        (row,) = predictor.predict(prepared[None])
    classes = predictor.metadata.classes
    probabilities = {name: float(value) for name, value in zip(classes, row, strict=True)}
    return Prediction(max(probabilities, key=probabilities.__getitem__), probabilities, prepared)


def judge_each(contents: list[bytes], model: ServedModel) -> list[Prediction | HTTPException]:
    """Judge several uploads, each on its own: one bad file does not take the others' answers.

    Raises:
        ServiceUnavailable: there is no model.
    """
    model.require()
    answers: list[Prediction | HTTPException] = []
    for content in contents:
        try:
            answers.append(judge(content, model))
        except (UnsupportedMediaType, UnprocessableEntity) as error:
            answers.append(error)
    return answers


def _check_type(content: bytes) -> None:
    if not content:
        raise UnprocessableEntity("The file is empty. Export the slice again and send the new file.")
    if not content.startswith(tuple(_SIGNATURES.values())) and not is_dicom(content):
        raise UnsupportedMediaType(WRONG_TYPE)


def _check_side(content: bytes) -> None:
    """Read the header alone: what it claims decides what decoding costs."""
    try:
        with Image.open(io.BytesIO(content), formats=tuple(_SIGNATURES)) as picture:
            width, height = picture.size
    except Exception:  # noqa: BLE001 - decode() meets the same hostile bytes next, and has the words for them.
        return
    if max(width, height) > MAX_SIDE:
        raise UnprocessableEntity(
            f"The picture is {width}x{height} pixels; no side may be longer than {MAX_SIDE}. "
            "Export the slice at its own size, often 512x512, and send that file."
        )


def _sentence(reason: str) -> str:
    """The library's reason as a sentence, with the fix; without the decoder's own words, which stand in parentheses."""
    reason = reason.partition(" (")[0]
    return (
        f"{reason[0].upper()}{reason[1:]}. Export the whole slice again, as PNG, JPEG or DICOM, and send the new file."
    )

"""Pictures for who has no slice at hand.

``python -c "from app.samples import main; main()"`` draws them into ``app/static/samples``: three slices of the phantom, by a
seed that no model of this project learns from, and a drawing that any model must refuse. They are small JPEGs, so that the
page stays light, and each says in its own text that no patient is in it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lung_tumor.imaging import SYNTHETIC_NOTE, Pixels

FOLDER = Path(__file__).parent / "static" / "samples"

_SEED = 60_223
_SIDE = 400
_QUALITY = 82


@dataclass(frozen=True)
class Sample:
    """One picture to try.

    Attributes:
        name: file name under ``static/samples``.
        title: what it shows, in a few words.
        phantom: index of the phantom's slice, None for the drawing.
    """

    name: str
    title: str
    phantom: int | None = None


SAMPLES = (
    Sample("mass.jpg", "Synthetic slice with a mass", 10),
    Sample("no-mass.jpg", "Synthetic slice without a mass", 6),
    Sample("small-mass.jpg", "Synthetic slice with a small mass", 1),
    Sample("drawing.jpg", "A drawing, no CT: to be refused"),
)


def draw(sample: Sample) -> bytes:
    """The picture as JPEG."""
    # Here, since the app only shows what was drawn before.
    from lung_tumor.phantom import PhantomOptions, draw_slice

    options = PhantomOptions(slices=64, seed=_SEED)
    pixels = _house() if sample.phantom is None else draw_slice(sample.phantom, options).pixels
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=_QUALITY, optimize=True, comment=SYNTHETIC_NOTE)
    return buffer.getvalue()


def _house() -> Pixels:
    """A house under the sun, (512, 512) uint8."""
    picture = np.full((512, 512), 235, np.uint8)
    cv2.rectangle(picture, (0, 380), (512, 512), 150, -1)
    cv2.circle(picture, (410, 100), 48, 255, -1)
    cv2.rectangle(picture, (130, 230), (350, 410), 190, -1)
    cv2.fillPoly(picture, [np.array([(105, 235), (240, 110), (375, 235)], np.int32)], 70)
    cv2.rectangle(picture, (215, 310), (270, 410), 50, -1)
    for left in (150, 290):
        cv2.rectangle(picture, (left, 265), (left + 42, 307), 110, -1)
        cv2.line(picture, (left + 21, 265), (left + 21, 307), 220, 3)
    return picture


def main() -> None:
    """Write all samples."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        (FOLDER / sample.name).write_bytes(draw(sample))

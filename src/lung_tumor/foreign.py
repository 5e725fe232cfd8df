"""Pictures that are no chest CT slice: what a model must refuse, made here or shipped with libraries that training has.

Foreign pictures are what :func:`lung_tumor.imaging.decode` would give, grey uint8, and go through
:func:`lung_tumor.imaging.prepare` like any upload; altered slices come prepared.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import fill

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lung_tumor.imaging import MIN_SIDE, Pixels, PreparationOptions, prepare
from lung_tumor.other_regions import REGIONS, WINDOWS, draw_region

Draw = Callable[[np.random.Generator, int], Pixels]

_WORDS = [
    "patient",
    "chest",
    "report",
    "findings",
    "lung",
    "normal",
    "the",
    "of",
    "no",
    "is",
    "with",
    "slice",
    "Impression:",
]


def foreign_pictures(seed: int) -> Iterator[tuple[str, Pixels]]:
    """Kinds and pictures, those of one kind one after the other; the same for the same seed.

    Args:
        seed: 0 or more.

    Yields:
        The kind, one of :data:`KINDS`, and grey values, (height, width) uint8.
    """
    for kind, (count, draw) in _DRAW.items():
        for number in range(count):
            stream = np.random.SeedSequence([seed, zlib.crc32(kind.encode()), number])
            yield kind, draw(np.random.Generator(np.random.PCG64(stream)), number)


def altered_slices(prepared: Pixels, options: PreparationOptions) -> Iterator[tuple[str, Pixels]]:
    """What a chest slice becomes when it is turned, inverted or cut so far that it cannot be judged; all prepared.

    Turned and upside down: the preparation knows no direction, so that a turned picture, prepared, is the prepared slice
    turned, but for a row or a column of its black border. Nothing is prepared twice. An inverted and a cut picture are prepared
    in another way than the slice they come from; so these two are what becomes of the inverted, or cut, prepared slice
    when it is uploaded: a picture cropped to the body, as archives hold them.

    A slice mirrored left to right is not among them: archives hold such slices, and an answer holds for them.

    Args:
        prepared: a prepared chest slice, (size, size) uint8.
        options: how it was prepared.

    Yields:
        The kind, one of :data:`ALTERATIONS`, and (size, size) uint8.
    """
    size = len(prepared)
    side = max(MIN_SIDE, size // 5)
    top, left = (size - side) // 2, max(0, int(0.3 * size) - side // 2)
    altered = (
        np.rot90(prepared, 1),
        np.rot90(prepared, 2),
        np.rot90(prepared, 3),
        prepared[::-1],
        prepare(np.uint8(255) - prepared, options),
        prepare(np.ascontiguousarray(prepared[top : top + side, left : left + side]), options),
    )
    for kind, picture in zip(ALTERATIONS, altered, strict=True):
        yield kind, np.ascontiguousarray(picture)


def _photograph(rng: np.random.Generator, number: int) -> Pixels:
    """scikit-learn's and Matplotlib's photographs: first whole, then parts of them."""
    from matplotlib import cbook
    from sklearn.datasets import load_sample_image

    which = number % 3
    if which < 2:
        picture = Image.fromarray(load_sample_image(("china.jpg", "flower.jpg")[which]))
    else:
        picture = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    with picture:
        grey = np.asarray(picture.convert("L"), dtype=np.uint8)
    return grey if number < 3 else _part(grey, rng)


def _part(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = (int(side * rng.uniform(0.3, 0.7)) for side in pixels.shape)
    top, left = (int(rng.integers(whole - part)) for whole, part in zip(pixels.shape, (height, width), strict=True))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _magnetic_resonance(rng: np.random.Generator, number: int) -> Pixels:
    """Matplotlib's slice of a head, whole or a part of it."""
    from matplotlib import cbook

    path = Path(cbook.get_sample_data("s1045.ima.gz", asfileobj=False))
    values = np.frombuffer(gzip.decompress(path.read_bytes()), "<u2").reshape(256, 256).astype(np.float32)
    grey = np.rint(np.clip(values / np.percentile(values, 99.5), 0.0, 1.0) * 255.0).astype(np.uint8)
    return grey if number == 0 else _part(grey, rng)


def _text(rng: np.random.Generator, number: int) -> Pixels:
    """A page of text, dark on light or light on dark, in one column or as a form."""
    width, height = int(rng.integers(500, 900)), int(rng.integers(500, 1100))
    size = int(rng.integers(12, 34))
    ink, paper = (20, 245) if number % 2 == 0 else (235, 10)
    page = Image.new("L", (width, height), paper)
    draw = ImageDraw.Draw(page)
    font, heading = ImageFont.load_default(size), ImageFont.load_default(2 * size)
    draw.text((30, 20), " ".join(rng.choice(_WORDS, 3)).title(), ink, heading)
    words = " ".join(rng.choice(_WORDS, 900))
    draw.multiline_text((30, 30 + 3 * size), fill(words, int(1.9 * (width - 60) / size)), ink, font, spacing=size // 2)
    if number % 3 == 2:
        for row in range(3 * size + 20, height, 3 * size):
            draw.line((20, row, width - 20, row), ink, 2)
    return np.asarray(page, dtype=np.uint8).copy()


def _plot(rng: np.random.Generator, number: int) -> Pixels:
    """A figure such as a report holds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=tuple(rng.uniform(3.5, 7.0, 2)), dpi=100)
    axes, values = figure.add_subplot(), rng.normal(size=(60, 3)).cumsum(axis=0)
    match number % 6:
        case 0:
            axes.plot(values)
        case 1:
            axes.bar(list("abcdefg"), rng.uniform(1.0, 9.0, 7), color="0.3")
        case 2:
            axes.scatter(values[:, 0], values[:, 1], c=values[:, 2])
        case 3:
            axes.hist(values, bins=12)
        case 4:
            axes.imshow(values[:30].T @ values[:30] + rng.normal(size=(3, 3)), cmap="viridis")
        case _:
            axes.pie(rng.uniform(1.0, 4.0, 5))
    axes.set_title(" ".join(rng.choice(_WORDS, 3)))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with Image.open(buffer) as picture:
        return np.asarray(picture.convert("L"), dtype=np.uint8).copy()


def _white_noise(rng: np.random.Generator, number: int) -> Pixels:
    side = int(rng.integers(200, 600))
    if number % 2 == 0:
        return rng.integers(0, 256, (side, side), dtype=np.uint8)
    return np.rint(np.clip(rng.normal(128.0, rng.uniform(10.0, 40.0), (side, side)), 0.0, 255.0)).astype(np.uint8)


def _smooth_noise(rng: np.random.Generator, number: int) -> Pixels:
    """Clouds, from coarse to fine."""
    cells = (4, 10, 25, 60)[number % 4]
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    smooth = cv2.resize(coarse, (400, 400), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.rint(np.clip(128.0 + 60.0 * smooth, 0.0, 255.0)), dtype=np.uint8)


def _plain(rng: np.random.Generator, number: int) -> Pixels:
    """One grey with as much noise as it takes not to be refused as blank."""
    return np.rint((40.0, 128.0, 220.0)[number % 3] + rng.uniform(-6.0, 6.0, (300, 400))).astype(np.uint8)


def _gradient(rng: np.random.Generator, number: int) -> Pixels:
    """From dark to bright along one direction, or from the middle outwards."""
    y, x = np.mgrid[-1.0:1.0:320j, -1.0:1.0:400j]
    angle = rng.uniform(0.0, 2.0 * np.pi)
    values = np.hypot(x, y) if number % 4 == 3 else x * np.cos(angle) + y * np.sin(angle)
    values = (values - values.min()) / np.ptp(values)
    return np.asarray(np.rint(255.0 * values), dtype=np.uint8)


def _checkerboard(rng: np.random.Generator, number: int) -> Pixels:
    cell = (8, 20, 40, 90)[number % 4]
    y, x = np.indices((360, 360)) // cell
    dark, bright = rng.integers(0, 80), rng.integers(170, 256)
    return np.where((x + y) % 2 == 0, dark, bright).astype(np.uint8)


def _region(region: str) -> Draw:
    def draw(rng: np.random.Generator, number: int) -> Pixels:
        return draw_region(region, WINDOWS[number % len(WINDOWS)], rng)

    return draw


_DRAW: dict[str, tuple[int, Draw]] = {
    "photograph": (10, _photograph),
    "magnetic resonance of a head": (2, _magnetic_resonance),
    "page of text": (6, _text),
    "plot": (6, _plot),
    "white noise": (4, _white_noise),
    "smooth noise": (4, _smooth_noise),
    "plain grey": (3, _plain),
    "gradient": (4, _gradient),
    "checkerboard": (4, _checkerboard),
    **{f"drawn CT of {region}": (8, _region(region)) for region in REGIONS},
}
"""How many pictures of each kind there are, and what draws one."""

KINDS = tuple(_DRAW)

ALTERATIONS = ("turned by 90°", "turned by 180°", "turned by 270°", "upside down", "inverted", "cut to a fifth")

"""Drawn axial CT slices of what is no chest: abdomen, pelvis, head, legs. What the model must refuse, made at home.

Lengths are millimetres, axes as in :mod:`lung_tumor.anatomy`; sizes and order are those of any atlas of cross-sectional
anatomy, no patient's picture went into them. They need not fool a radiologist: outline, bones, organs, gas and fat stand
where a network sees that they are not those of a chest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lung_tumor.anatomy import SIDE, Canvas, Field, Points, blob, cloud, grow
from lung_tumor.imaging import Pixels

WINDOWS = ((40.0, 400.0), (50.0, 350.0), (-600.0, 1500.0), (300.0, 1500.0))
"""Level and width in HU of the windows that a slice is shown through: twice soft tissue, lung (which is what
:func:`lung_tumor.imaging.decode` takes), bone."""

_AIR, _FAT, _WATER, _MUSCLE, _GAS = -1000.0, -100.0, 8.0, 52.0, -930.0

Organ = tuple[float, float, float, float, float, float]
"""Middle (x, y), half-axes, turn in radians, HU."""


@dataclass(frozen=True)
class _Drawing:
    canvas: Canvas
    rng: np.random.Generator

    def ellipse(self, organ: Organ, rough: float = 0.05) -> Points:
        x, y, wide, high, turn, value = organ
        size = self.rng.uniform(0.93, 1.07)
        centre = (x + self.rng.normal(0.0, 1.5), y + self.rng.normal(0.0, 1.5))
        outline = blob(self.rng, centre, (wide * size, high * size), turn, rough)
        self.canvas.paint(outline, value + self.rng.normal(0.0, 4.0))
        return outline

    def both(self, organ: Organ, rough: float = 0.05) -> None:
        """On either side, mirrored."""
        x, y, wide, high, turn, value = organ
        self.ellipse(organ, rough)
        self.ellipse((-x, y, wide, high, -turn, value), rough)

    def bone(self, x: float, y: float, wide: float, high: float, turn: float = 0.0, shell: float = 2.0) -> None:
        outline = self.ellipse((x, y, wide, high, turn, 650.0), 0.04)
        self.canvas.paint(grow(outline, -shell), self.rng.uniform(180.0, 260.0))

    def bones(self, x: float, y: float, wide: float, high: float, turn: float = 0.0, shell: float = 2.0) -> None:
        self.bone(x, y, wide, high, turn, shell)
        self.bone(-x, y, wide, high, -turn, shell)

    def loops(self, centre: tuple[float, float], spread: tuple[float, float], count: int) -> None:
        """Bowel: walls around fluid, stool or gas; gas rises to the front."""
        for _ in range(count):
            x, y = (middle + self.rng.uniform(-1.0, 1.0) * half for middle, half in zip(centre, spread, strict=True))
            wide, high = self.rng.uniform(9.0, 19.0, 2)
            turn = self.rng.uniform(0.0, np.pi)
            outline = self.ellipse((x, y, wide, high, turn, 60.0), 0.1)
            self.canvas.paint(grow(outline, -2.5), self.rng.uniform(0.0, 40.0))
            if self.rng.uniform() < 0.45:
                self.ellipse((x, y - 0.35 * high, 0.55 * wide, 0.45 * high, 0.0, _GAS), 0.1)

    def dots(self, centre: tuple[float, float], spread: tuple[float, float], count: int, value: float) -> None:
        """Small vessels in fat."""
        for _ in range(count):
            x, y = (self.rng.normal(middle, half) for middle, half in zip(centre, spread, strict=True))
            self.ellipse((x, y, self.rng.uniform(1.0, 2.6), self.rng.uniform(1.0, 2.6), 0.0, value), 0.1)

    def trunk(self, half_width: float, half_depth: float, fat: float, wall: float) -> None:
        """Skin, the fat beneath it, a ring of muscle, and fat within."""
        skin = blob(self.rng, (0.0, 0.0), (half_width, half_depth), 0.0, 0.015)
        layers = ((0.0, 5.0), (-2.0, _FAT), (-2.0 - fat, _MUSCLE), (-2.0 - fat - wall, _FAT))
        for inwards, value in layers:
            self.canvas.paint(grow(skin, inwards), value)

    def table(self, top: float) -> None:
        """The curved table top: two shells and foam."""
        x = np.linspace(-215.0, 215.0, 60)
        sag = -22.0 * (x / 200.0) ** 2
        for depth, thick, value in ((0.0, 2.5, -250.0), (2.5, 15.0, -940.0), (17.5, 2.5, -300.0)):
            upper = np.stack([x, top + sag + depth], axis=1)
            self.canvas.paint(np.concatenate([upper, (upper + np.array([0.0, thick]))[::-1]]), value)

    def spine(self, y: float) -> None:
        self.both((32.0, y + 36.0, 27.0, 17.0, -0.2, _MUSCLE))
        self.bones(31.0, y + 14.0, 17.0, 4.0, 0.25, 1.5)
        self.bone(0.0, y + 42.0, 3.5, 15.0, 0.0, 1.5)
        self.bone(0.0, y + 20.0, 16.0, 13.0)
        self.ellipse((0.0, y + 19.0, 9.0, 7.5, 0.0, 25.0))
        self.bone(0.0, y, 22.0, 16.5)


def _abdomen(drawing: _Drawing) -> None:
    rng = drawing.rng
    half_width = rng.uniform(150.0, 178.0)
    half_depth, fat = half_width * rng.uniform(0.64, 0.76), rng.uniform(8.0, 30.0)
    drawing.table(half_depth - 2.0)
    drawing.trunk(half_width, half_depth, fat, 13.0)
    w, d = half_width - fat - 15.0, half_depth - fat - 15.0
    contrast = float(rng.integers(2))
    blood, liver, kidney = 45.0 + 120.0 * contrast, 58.0 + 48.0 * contrast, 34.0 + 130.0 * contrast
    y = 0.62 * d
    drawing.spine(y)
    drawing.both((0.25 * w, 0.64 * d, 15.0, 18.0, 0.2, _MUSCLE))
    for x, value in ((-0.5 * w, kidney), (0.5 * w, kidney)):
        drawing.ellipse((x, 0.46 * d, 25.0, 31.0, 0.3 * np.sign(-x), value), 0.06)
        drawing.ellipse((x * 0.9, 0.46 * d, 8.0, 12.0, 0.0, -60.0), 0.15)
    drawing.dots((0.0, 0.0), (0.35 * w, 0.3 * d), 45, 30.0 + 0.6 * blood)
    if rng.uniform() < 0.5:
        _upper_abdomen(drawing, w, d, liver)
    else:
        drawing.ellipse((-0.76 * w, -0.05 * d, 0.2 * w, 0.4 * d, 0.1, liver))
        drawing.loops((0.05 * w, -0.35 * d), (0.62 * w, 0.38 * d), 17)
        for x in (-0.8, 0.8):
            colon = drawing.ellipse((x * w, 0.22 * d, 21.0, 24.0, 0.0, 50.0), 0.1)
            drawing.canvas.paint(grow(colon, -3.0), -40.0)
            drawing.ellipse((x * w, 0.22 * d - 8.0, 12.0, 9.0, 0.0, _GAS), 0.15)
    drawing.ellipse((0.06 * w, y - 31.0, 10.5, 10.5, 0.0, blood), 0.03)
    drawing.ellipse((-0.17 * w, y - 27.0, 13.0, 9.5, 0.2, blood), 0.04)
    for angle in np.deg2rad([-35.0, -12.0, 12.0, 36.0, 58.0]):
        wall = (half_width - fat - 8.0, half_depth - fat - 8.0)
        drawing.bones(wall[0] * np.cos(angle), wall[1] * np.sin(angle), 4.0, 9.0, 0.6 * angle, 1.5)


def _upper_abdomen(drawing: _Drawing, w: float, d: float, liver: float) -> None:
    vessels = liver + 0.25 * liver
    drawing.ellipse((0.8 * w, 0.2 * d, 0.15 * w, 0.45 * d, -0.25, liver), 0.06)
    stomach = drawing.ellipse((0.47 * w, -0.42 * d, 0.34 * w, 0.38 * d, 0.3, 60.0), 0.07)
    drawing.canvas.paint(grow(stomach, -4.0), drawing.rng.uniform(5.0, 35.0))
    drawing.ellipse((0.46 * w, -0.6 * d, 0.22 * w, 0.13 * d, 0.0, _GAS), 0.05)
    drawing.ellipse((0.12 * w, 0.02 * d, 0.36 * w, 0.1 * d, -0.2, 45.0), 0.12)
    drawing.ellipse((-0.52 * w, -0.08 * d, 0.44 * w, 0.76 * d, 0.15, liver), 0.05)
    drawing.ellipse((-0.1 * w, -0.5 * d, 0.34 * w, 0.32 * d, 0.2, liver), 0.06)
    drawing.dots((-0.45 * w, -0.1 * d), (0.2 * w, 0.3 * d), 18, vessels)
    drawing.ellipse((-0.3 * w, 0.1 * d, 13.0, 10.0, 0.4, _WATER), 0.06)


def _pelvis(drawing: _Drawing) -> None:
    rng = drawing.rng
    half_width, fat = rng.uniform(165.0, 190.0), rng.uniform(12.0, 30.0)
    half_depth = half_width * rng.uniform(0.6, 0.68)
    drawing.table(half_depth - 3.0)
    drawing.trunk(half_width, half_depth, fat, 6.0)
    s, front, back = (half_width - fat) / 155.0, -half_depth + fat + 12.0, half_depth - fat
    drawing.both((28.0 * s, front, 27.0 * s, 6.0, 0.0, _MUSCLE))
    drawing.dots((0.0, -10.0), (45.0 * s, 22.0), 30, 70.0)
    if rng.uniform() < 0.5:
        _hips(drawing, s, back)
    else:
        _iliac_wings(drawing, s, back)
    drawing.both((78.0 * s, front + 22.0, 6.0, 6.0, 0.0, 100.0), 0.03)


def _hips(drawing: _Drawing, s: float, back: float) -> None:
    drawing.both((84.0 * s, back - 28.0, 66.0 * s, 24.0, -0.4, _MUSCLE), 0.07)
    drawing.both((132.0 * s, -18.0, 18.0, 40.0, 0.0, _MUSCLE), 0.07)
    drawing.both((66.0 * s, -44.0, 25.0, 20.0, 0.3, _MUSCLE))
    drawing.both((108.0 * s, -58.0, 17.0, 13.0, 0.0, _MUSCLE))
    drawing.both((52.0 * s, 12.0, 9.0, 38.0, 0.1, _MUSCLE))
    drawing.bones(72.0 * s, -26.0, 17.0, 8.0, -0.5)
    drawing.bones(70.0 * s, 27.0, 12.0, 18.0, 0.3)
    drawing.bones(122.0 * s, 10.0, 16.0, 20.0, 0.2)
    drawing.bones(96.0 * s, 0.0, 25.0, 25.0)
    drawing.ellipse((0.0, -28.0, 44.0 * s, 32.0, 0.0, _WATER), 0.04)
    drawing.ellipse((0.0, 14.0, 27.0, 15.0, 0.0, 45.0))
    drawing.ellipse((0.0, 46.0, 20.0, 15.0, 0.0, 40.0))
    drawing.ellipse((0.0, 43.0, 10.0, 7.0, 0.0, _GAS), 0.1)
    drawing.bone(0.0, back - 22.0, 9.0, 6.0, 0.0, 1.5)


def _iliac_wings(drawing: _Drawing, s: float, back: float) -> None:
    drawing.both((92.0 * s, back - 32.0, 52.0 * s, 24.0, -0.5, _MUSCLE), 0.07)
    drawing.both((122.0 * s, 0.0, 22.0, 48.0, 0.25, _MUSCLE), 0.07)
    drawing.both((84.0 * s, -8.0, 18.0, 44.0, 0.3, _MUSCLE), 0.06)
    drawing.both((52.0 * s, 4.0, 20.0, 23.0, 0.0, _MUSCLE))
    drawing.bones(96.0 * s, 12.0, 6.5, 58.0 * s, 0.45, 2.0)
    drawing.bone(0.0, back - 34.0, 52.0 * s, 21.0)
    drawing.ellipse((0.0, back - 24.0, 12.0, 6.0, 0.0, 20.0))
    drawing.loops((0.0, -26.0), (48.0 * s, 24.0), 9)


def _head(drawing: _Drawing) -> None:
    canvas, rng = drawing.canvas, drawing.rng
    scalp = blob(rng, (0.0, 0.0), (rng.uniform(72.0, 80.0), rng.uniform(90.0, 100.0)), 0.0, 0.012)
    across = np.linspace(-1.0, 1.0, 40)
    holder = np.stack([105.0 * across, 62.0 + 50.0 * np.sqrt(1.0 - across**2)], axis=1)
    canvas.paint(np.concatenate([holder, (holder + np.array([0.0, 7.0]))[::-1]]), -300.0)
    skull = rng.uniform(6.0, 9.0)
    layers = ((0.0, 10.0), (-2.0, -70.0), (-5.0, 1300.0), (-7.0, 700.0), (-3.0 - skull, 1300.0), (-5.0 - skull, 38.0))
    for inwards, value in layers:
        canvas.paint(grow(scalp, inwards), value)
    brain = grow(scalp, -5.0 - skull)
    if rng.uniform() < 0.6:
        _cerebrum(drawing, brain)
    else:
        _skull_base(drawing)


def _cerebrum(drawing: _Drawing, brain: Points) -> None:
    rng = drawing.rng
    drawing.canvas.paint(grow(brain, -9.0), 27.0)
    for point in grow(brain, -4.0)[rng.permutation(len(brain))[:34]]:
        drawing.ellipse((float(point[0]), float(point[1]), 1.6, 5.0, float(np.arctan2(-point[0], point[1])), 10.0), 0.1)
    drawing.both((22.0, 0.0, 11.0, 20.0, -0.3, 37.0))
    drawing.both((46.0, -8.0, 9.0, 3.5, 0.3, 12.0))
    drawing.both((11.0, -24.0, 6.0, 17.0, -0.35, 8.0))
    drawing.both((25.0, 26.0, 6.0, 17.0, -0.5, 8.0))
    drawing.ellipse((0.0, 2.0, 2.5, 12.0, 0.0, 8.0))
    drawing.ellipse((0.0, -62.0, 1.2, 18.0, 0.0, 62.0), 0.02)
    drawing.ellipse((0.0, 58.0, 1.4, 20.0, 0.0, 62.0), 0.02)


def _skull_base(drawing: _Drawing) -> None:
    drawing.both((33.0, -58.0, 21.0, 22.0, 0.0, -85.0))
    drawing.both((33.0, -66.0, 12.0, 12.5, 0.0, 10.0), 0.02)
    drawing.both((33.0, -74.0, 4.5, 2.5, 0.0, 75.0), 0.02)
    drawing.bones(28.0, -34.0, 26.0, 3.0, -0.5, 1.0)
    drawing.ellipse((0.0, -62.0, 12.0, 20.0, 0.0, -880.0))
    for x in (-6.0, 0.0, 6.0):
        drawing.ellipse((x, -62.0, 0.8, 19.0, 0.0, 350.0), 0.02)
    drawing.ellipse((0.0, -28.0, 13.0, 9.0, 0.0, -850.0))
    drawing.ellipse((0.0, 48.0, 48.0, 30.0, 0.0, 35.0))
    drawing.bones(42.0, 14.0, 25.0, 8.0, -0.6, 3.0)
    for _ in range(30):
        drawing.both((drawing.rng.normal(56.0, 5.0), drawing.rng.normal(24.0, 6.0), 1.6, 1.6, 0.0, -700.0))
    drawing.ellipse((0.0, 14.0, 15.0, 13.0, 0.0, 34.0))


def _legs(drawing: _Drawing) -> None:
    knees = drawing.rng.uniform() < 0.5
    half = drawing.rng.uniform(56.0, 64.0) if knees else drawing.rng.uniform(66.0, 80.0)
    apart = half + drawing.rng.uniform(6.0, 18.0)
    fat = drawing.rng.uniform(5.0, 16.0)
    drawing.table(half + 4.0)
    for x in (-apart, apart):
        skin = blob(drawing.rng, (x, 0.0), (half, half * drawing.rng.uniform(0.98, 1.1)), 0.0, 0.02)
        drawing.canvas.paint(skin, 5.0)
        drawing.canvas.paint(grow(skin, -2.0), _FAT)
        (_knee if knees else _thigh)(drawing, x, grow(skin, -2.0 - fat))


def _thigh(drawing: _Drawing, x: float, inner: Points) -> None:
    drawing.canvas.paint(inner, _MUSCLE)
    middle = np.array([x, 0.0])
    ends = inner[drawing.rng.permutation(len(inner))[:9]]
    starts = middle + (ends - middle) * 0.35
    seams = drawing.canvas.strokes(starts, ends, np.full(9, 0.9), np.full(9, 0.8))
    drawing.canvas.blend(seams, _FAT)
    femur = drawing.ellipse((x, -6.0, 15.0, 15.5, 0.0, 1350.0), 0.02)
    drawing.canvas.paint(grow(femur, -6.0), -20.0)
    drawing.ellipse((x - 24.0 * np.sign(x), 4.0, 4.5, 4.5, 0.0, 70.0), 0.03)


def _knee(drawing: _Drawing, x: float, inner: Points) -> None:
    drawing.canvas.paint(inner, -40.0)
    for side in (-1, 1):
        drawing.ellipse((x + side * 24.0, 36.0, 17.0, 12.0, 0.0, _MUSCLE), 0.08)
    drawing.ellipse((x, -2.0, 44.0, 27.0, 0.0, 40.0), 0.04)
    for side in (-1, 1):
        drawing.bone(x + side * 20.0, 2.0, 20.0, 25.0, 0.2 * side)
    drawing.bone(x, -8.0, 24.0, 14.0, 0.0, 0.5)
    drawing.bone(x, -43.0, 20.0, 9.0)
    drawing.ellipse((x, 38.0, 4.5, 4.5, 0.0, 80.0), 0.03)


_DRAW: dict[str, tuple[Callable[[_Drawing], None], float]] = {
    "abdomen": (_abdomen, 0.84),
    "pelvis": (_pelvis, 0.88),
    "head": (_head, 0.46),
    "legs": (_legs, 0.74),
}
"""What draws a region, and about how many mm a pixel has when it fills the field of view."""

REGIONS: Sequence[str] = tuple(_DRAW)


def draw_region(region: str, window: tuple[float, float], rng: np.random.Generator) -> Pixels:
    """Draw one slice.

    Args:
        region: one of :data:`REGIONS`.
        window: level and width in HU.
        rng: draws the patient, the scan and the noise.

    Returns:
        (512, 512) uint8.

    Raises:
        ValueError: the region is none of them.
    """
    if region not in _DRAW:
        raise ValueError(f"region must be one of {list(_DRAW)}, received {region!r}")
    draw, spacing = _DRAW[region]
    centre = tuple(SIDE / 2.0 + rng.normal(0.0, 6.0, 2))
    canvas = Canvas(
        spacing * rng.uniform(0.95, 1.1),
        (float(centre[0]), float(centre[1])),
        float(rng.normal(0.0, 0.05)),
        np.full((SIDE, SIDE), _AIR, np.float32),
    )
    draw(_Drawing(canvas, rng))
    hu = _scanned(canvas.hu, rng)
    level, width = window
    return np.asarray(np.rint(np.clip((hu - (level - width / 2.0)) * (255.0 / width), 0.0, 255.0)), dtype=np.uint8)


def _scanned(hu: Field, rng: np.random.Generator) -> Field:
    """Blur by the scanner's kernel, texture of tissue, and noise with a grain."""
    body = hu > -500.0
    sharp = rng.uniform(0.6, 1.0)
    grain = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE), dtype=np.float32), (0, 0), sharp)
    grain *= np.float32(rng.uniform(8.0, 22.0)) / grain.std()
    textured = hu + (cloud(rng, 64, 6.0) + cloud(rng, 16, 4.0)) * body
    return np.asarray(cv2.GaussianBlur(textured, (0, 0), sharp) + grain, dtype=np.float32)

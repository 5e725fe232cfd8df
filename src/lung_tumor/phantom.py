"""The phantom: seeded axial chest CT slices, the data this project runs on when it is given none.

A slice is built from random streams that never meet: one draws the patient, the scanner and the window, one the noise,
one the mass, and the class decides only whether the last is used. So body, lungs, vessels, noise, format and name cannot
tell the classes apart: nothing but the mass does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lung_tumor.anatomy import (
    SIDE,
    Canvas,
    Field,
    Patient,
    Points,
    blob,
    cloud,
    draw_chest,
    draw_patient,
    grow,
    rotated,
)
from lung_tumor.dicom_window import LUNG_WINDOW
from lung_tumor.imaging import Pixels

Hounsfield = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]

CLASSES = ("adenocarcinoma", "normal")
"""Class names in alphabetical order."""

_ANATOMY, _NOISE, _MASS, _LABEL = range(4)


@dataclass(frozen=True)
class PhantomOptions:
    """What to draw (``phantom`` in ``globals.yml``, or in the URI).

    Attributes:
        slices: number of slices of both classes together, at least 2; half of them hold a mass.
        mass_mm: shortest and longest mass, by its longest diameter in mm, within [10, 70].
        seed: 0 or more; another seed draws other patients.
    """

    slices: int = 400
    mass_mm: tuple[float, float] = (20.0, 60.0)
    seed: int = 20261123

    def __post_init__(self) -> None:
        # Kedro hands over YAML lists; tuples keep the options hashable.
        object.__setattr__(self, "mass_mm", tuple(self.mass_mm))
        if self.slices < 2:
            raise ValueError(f"phantom.slices must be at least 2, one of each class, received {self.slices}")
        if len(self.mass_mm) != 2 or not 10.0 <= self.mass_mm[0] <= self.mass_mm[1] <= 70.0:
            raise ValueError(f"phantom.mass_mm must satisfy 10 <= shortest <= longest <= 70, received {self.mass_mm}")
        if self.seed < 0:
            raise ValueError(f"phantom.seed must be 0 or more, received {self.seed}")


@dataclass(frozen=True)
class PhantomSlice:
    """One slice with its truth.

    Attributes:
        hounsfield: (512, 512) int16, -1024 to 3071 HU.
        spacing_mm: side of a pixel in mm.
        label: one of ``CLASSES``.
        mask: (512, 512) bool, true on the mass without its spicules; all false for a normal slice.
        pixels: (512, 512) uint8, the slice through the lung window.
    """

    hounsfield: Hounsfield
    spacing_mm: float
    label: str
    mask: Mask
    pixels: Pixels


def slice_label(index: int, options: PhantomOptions) -> str:
    """Class of a slice. Of each pair of neighbours a coin of its own picks the one with a mass: balanced at any length."""
    coin = int(_stream(options.seed, index // 2, _LABEL).integers(2))
    return CLASSES[(index + coin) % 2]


def slice_name(index: int, options: PhantomOptions) -> str:
    """File name that says nothing about the class, such as ``3f2a90c1d7e4b856.png``."""
    return hashlib.sha256(f"phantom {options.seed} {index}".encode()).hexdigest()[:16] + ".png"


def draw_slice(index: int, options: PhantomOptions) -> PhantomSlice:
    """Draw one slice, a pure function of its arguments whatever was drawn before.

    Raises:
        ValueError: ``index`` lies outside [0, ``options.slices``).
    """
    if not 0 <= index < options.slices:
        raise ValueError(f"index must lie in [0, {options.slices}), received {index}")
    return _render(index, options, slice_label(index, options))


def _stream(seed: int, index: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, purpose])))


def _render(index: int, options: PhantomOptions, label: str) -> PhantomSlice:
    """Draw slice ``index`` as if it had the class ``label``; the two classes differ by the mass alone."""
    rng = _stream(options.seed, index, _ANATOMY)
    patient = draw_patient(rng)
    canvas, lungs = draw_chest(patient, rng)
    level, width = LUNG_WINDOW[0] + rng.normal(0.0, 15.0), LUNG_WINDOW[1] * rng.uniform(0.95, 1.05)
    body = canvas.hu > -500.0
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    if label == CLASSES[0]:
        mask = _paint_mass(canvas, patient, lungs, options, _stream(options.seed, index, _MASS))
    hu = _scan(canvas, patient, body, _stream(options.seed, index, _NOISE))
    grey = np.clip((hu - (level - width / 2.0)) * (255.0 / width), 0.0, 255.0)
    hounsfield = np.rint(np.clip(hu, -1024.0, 3071.0)).astype(np.int16)
    return PhantomSlice(hounsfield, patient.spacing, label, mask, np.rint(grey).astype(np.uint8))


def _paint_mass(
    canvas: Canvas, patient: Patient, lungs: Field, options: PhantomOptions, rng: np.random.Generator
) -> Mask:
    """Paint a lobulated, spiculated mass into a lung, solid or with a ground-glass rim; return where it is."""
    longest = rng.uniform(*options.mass_mm)
    centre = _mass_centre(canvas, lungs, longest, rng)
    shape = blob(rng, (0.0, 0.0), (1.0, rng.uniform(0.58, 0.88)), rng.uniform(0.0, np.pi), 0.07)
    outline, mask = _fit_mass(canvas, lungs, centre, shape, longest)
    solid = rng.uniform(0.65, 0.85) if rng.uniform() < 0.2 else 1.0
    blur = (0, 0)
    halo = cv2.GaussianBlur(canvas.coverage(grow(outline, 3.0)), blur, rng.uniform(2.0, 4.0) / canvas.spacing)
    canvas.blend(lungs * halo * np.float32(rng.uniform(0.2, 0.5)), -450.0)
    if solid < 1.0:
        canvas.blend(lungs * canvas.coverage(outline), rng.uniform(-450.0, -250.0) + cloud(rng, 48, 40.0))
    core = centre + (outline - centre) * solid
    value = rng.uniform(20.0, 60.0) + 0.2 * (min(patient.blood, 160.0) - 42.0)
    canvas.blend(lungs * canvas.strokes(*_spicules(core, centre, rng)), value - 40.0)
    canvas.blend(lungs * canvas.coverage(core), value + cloud(rng, 40, 10.0))
    if rng.uniform() < 0.35:
        start = centre + rng.normal(0.0, longest / 10.0, (2, 2))
        end = start + rng.normal(0.0, longest / 6.0, (2, 2))
        bronchi = canvas.strokes(start, end, rng.uniform(0.6, 1.4, 2), np.full(2, 0.9))
        canvas.blend(lungs * bronchi * mask, -850.0)
    return mask


def _mass_centre(canvas: Canvas, lungs: Field, longest: float, rng: np.random.Generator) -> Points:
    """A point of the lungs at least a third of the mass away from their edge, so that some masses touch the pleura."""
    depth = cv2.distanceTransform((lungs > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    places = np.flatnonzero(depth >= min(0.34 * longest / canvas.spacing, 0.9 * float(depth.max())))
    row, column = divmod(int(places[rng.integers(len(places))]), SIDE)
    offset = (np.array([[column, row]]) - canvas.centre) * canvas.spacing
    return np.asarray(rotated(offset, -canvas.tilt)[0])


def _fit_mass(canvas: Canvas, lungs: Field, centre: Points, shape: Points, longest: float) -> tuple[Points, Mask]:
    """Scale the mass until what lies inside the lung is ``longest`` mm long."""
    scale = longest / 2.0
    for _ in range(4):
        outline = centre + shape * scale
        mask = (canvas.coverage(outline) * lungs) > 0.5
        scale *= longest / max(1.0, longest_diameter(mask) * canvas.spacing)
    return outline, mask


def longest_diameter(mask: Mask) -> float:
    """Longest diameter of a mask in pixels, from outer edge to outer edge; 0 where it is empty (RECIST's measure)."""
    if not mask.any():
        return 0.0
    points = cv2.findNonZero(mask.astype(np.uint8))
    hull = cv2.convexHull(points)[:, 0].astype(np.float64)
    return float(np.linalg.norm(hull[:, None] - hull[None], axis=-1).max()) + 1.0


def _spicules(outline: Points, centre: Points, rng: np.random.Generator) -> tuple[Points, Points, Points, Points]:
    """Strands that leave the edge of the mass; a few run far enough to tether it to the pleura."""
    count = int(rng.integers(28, 48))
    roots = outline[rng.integers(len(outline), size=count)]
    ray = (roots - centre) / np.linalg.norm(roots - centre, axis=1, keepdims=True)
    ray = ray + rng.normal(0.0, 0.25, (count, 2))
    length = np.where(rng.uniform(size=count) < 0.15, 2.5, 1.0) * rng.uniform(4.0, 13.0, count)
    bends = roots + ray * length[:, None] * 0.5
    tips = bends + (ray + rng.normal(0.0, 0.2, (count, 2))) * length[:, None] * 0.5
    radii, opacity = rng.uniform(0.6, 1.2, count), rng.uniform(0.6, 1.0, count)
    return (
        np.concatenate([roots - ray, bends]),
        np.concatenate([bends, tips]),
        np.concatenate([radii, 0.5 * radii]),
        np.concatenate([opacity, 0.6 * opacity]),
    )


def _scan(canvas: Canvas, patient: Patient, body: Mask, rng: np.random.Generator) -> Field:
    """Blur by the scanner's kernel, add noise with the kernel's grain and faint streaks; HU, (512, 512) float32."""
    blur = (0, 0)
    sharp = rng.uniform(0.55, 0.95)
    white = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    grain = cv2.GaussianBlur(white, blur, sharp) - 0.6 * cv2.GaussianBlur(white, blur, 2.2 * sharp)
    grain *= np.float32(rng.uniform(8.0, 28.0)) / grain.std()
    streaks = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(rng.integers(0, 10)):
        turn, shift = rng.normal(0.0, 0.35), rng.uniform(-0.9, 0.9) * patient.half_depth
        ends = np.array([[-260.0, shift - 260.0 * np.tan(turn)], [260.0, shift + 260.0 * np.tan(turn)]])
        first, last = np.rint(canvas.to_pixels(ends) * 16).astype(int).tolist()
        cv2.line(streaks, first, last, rng.normal(0.0, 16.0), 2, cv2.LINE_8, 4)
    inside = cv2.resize(body.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(cv2.GaussianBlur(inside, blur, 1.5), (SIDE, SIDE))
    noise = grain * (0.35 + 0.65 * inside) + cv2.GaussianBlur(streaks, blur, 1.3) * inside
    texture = cloud(rng, 64, 7.0) * body
    return np.asarray(cv2.GaussianBlur(canvas.hu + texture, blur, sharp) + noise, dtype=np.float32)

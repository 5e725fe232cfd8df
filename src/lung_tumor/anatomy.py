"""A drawn chest: the anatomy of one axial CT slice in Hounsfield units (HU), from a random generator and nothing else.

Lengths are millimetres, x towards the patient's left (the picture's right), y towards the back, the origin in the middle
of the chest. Air is -1000 HU, lung about -850, fat -100, muscle 50, bone above 150. Sizes and order of the organs are
those of any atlas of cross-sectional anatomy; no patient's picture went into them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Pair = tuple[float, float]

SIDE = 512
"""Side of a slice in pixels: the matrix of nearly every clinical CT."""

_CORNERS = 120
_THETA: Points = np.linspace(0.0, 2.0 * np.pi, _CORNERS, endpoint=False)
_BACK, _FRONT = _CORNERS // 4, 3 * _CORNERS // 4


@dataclass(frozen=True)
class Canvas:
    """HU values, (512, 512) float32, and where the patient lies on them."""

    spacing: float
    centre: tuple[float, float]
    tilt: float
    hu: Field

    def to_pixels(self, points: Points) -> Points:
        """Points (n, 2) in mm to pixel coordinates (x, y)."""
        return np.asarray(rotated(points, self.tilt) / self.spacing + np.asarray(self.centre))

    def _fixed_point(self, points: Points) -> npt.NDArray[np.int32]:
        """Pixel coordinates in sixteenths, as OpenCV takes them with ``shift=4``."""
        return np.asarray(np.rint(self.to_pixels(points) * 16), dtype=np.int32)

    def coverage(self, *outlines: Points) -> Field:
        """Share of each pixel, 0 to 1, that polygons cover together."""
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for points in outlines:
            cv2.fillPoly(mask, [self._fixed_point(points)], 255, cv2.LINE_AA, 4)
        return mask.astype(np.float32) / np.float32(255)

    def paint(self, points: Points, value: float, opacity: float = 1.0) -> None:
        """Fill a polygon, working in its bounding box alone: a slice is some hundred polygons."""
        corners = self._fixed_point(points)
        x, y, width, height = cv2.boundingRect(corners)
        left, top = max(0, (x >> 4) - 2), max(0, (y >> 4) - 2)
        right, bottom = min(SIDE, ((x + width) >> 4) + 3), min(SIDE, ((y + height) >> 4) + 3)
        if right <= left or bottom <= top:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [corners - np.array([left * 16, top * 16], np.int32)], 255, cv2.LINE_AA, 4)
        view = self.hu[top:bottom, left:right]
        view += mask * np.float32(opacity / 255) * (np.float32(value) - view)

    def strokes(self, starts: Points, ends: Points, radii: Points, opacity: Points) -> Field:
        """Coverage, 0 to 1, of round-ended lines; drawn at twice the resolution, the faintest first."""
        fine = np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
        first = np.rint(self.to_pixels(starts) * 32).astype(int)
        last = np.rint(self.to_pixels(ends) * 32).astype(int)
        thick = np.maximum(1, np.rint(radii * 4 / self.spacing)).astype(int)
        for i in np.argsort(opacity, kind="stable"):
            line = (first[i].tolist(), last[i].tolist(), int(255 * opacity[i]), int(thick[i]))
            cv2.line(fine, *line, cv2.LINE_AA, 4)
        return cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)

    def blend(self, share: Field, value: Field | float) -> None:
        """Move every pixel towards ``value`` by ``share``, 0 to 1."""
        self.hu[...] += share * (value - self.hu)


@dataclass(frozen=True)
class Patient:
    """Habitus, level and scan of one slice. ``level`` runs from 0, the aortic arch, to 1, the domes of the diaphragm."""

    level: float
    half_width: float
    half_depth: float
    cage: Points
    muscle: Points
    skin: Points
    blood: float
    lung: float
    spacing: float
    centre: tuple[float, float]
    tilt: float


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw who is scanned, at which level, and how the scanner frames it."""
    level = rng.uniform()
    half_width = rng.uniform(108.0, 140.0) * (0.86 + 0.14 * min(1.0, 2.5 * level))
    half_depth = half_width * rng.uniform(0.62, 0.82)
    power = rng.uniform(2.0, 2.3)
    cage = (np.abs(np.cos(_THETA) / half_width) ** power + np.abs(np.sin(_THETA) / half_depth) ** power) ** (-1 / power)
    cage *= 1.0 + _wobble(rng, 5, 0.02) - 0.05 * _bump(270, 14) + 0.07 * (_bump(55, 15) + _bump(125, 15))
    shoulder = max(0.0, 0.45 - level) / 0.45
    muscle = cage + 10.0 + rng.uniform(4.0, 10.0) * (1.0 + _wobble(rng, 6, 0.12)) + 32.0 * _bump(90, 20)
    muscle += rng.uniform(4.0, 12.0) * (1.0 - level) * (_bump(232, 16) + _bump(308, 16))
    muscle += (6.0 + 22.0 * shoulder) * (_bump(38, 20) + _bump(142, 20)) - 7.0 * _bump(90, 5)
    fat = rng.gamma(2.0, 5.0) + 3.0
    breasts = max(0.0, rng.uniform(-30.0, 26.0)) * (level > 0.25)
    skin = muscle + fat * (1.0 + _wobble(rng, 4, 0.15) + 0.4 * _bump(0, 30) + 0.4 * _bump(180, 30))
    skin += breasts * (_bump(230, 14) + _bump(310, 14)) * (1.0 + _wobble(rng, 3, 0.1))
    # Half of the fields are zoomed to the lungs, off centre, and cut the chest wall; the others leave air around it.
    spacing = float(np.clip(2.25 * half_width * rng.uniform(1.0, 1.33) / SIDE, 0.5, 0.977))
    slack = SIDE / 2.0 - 1.08 * half_width / spacing, SIDE / 2.0 - 1.25 * half_depth / spacing
    centre = (SIDE / 2.0 + rng.uniform(-0.9, 0.9) * slack[0], SIDE / 2.0 + rng.uniform(-0.8, 0.8) * slack[1])
    return Patient(
        level=level,
        half_width=half_width,
        half_depth=half_depth,
        cage=cage,
        muscle=muscle,
        skin=skin + 2.0,
        blood=42.0 + float(rng.integers(2)) * rng.uniform(40.0, 220.0),
        lung=rng.uniform(-905.0, -725.0),
        spacing=spacing,
        centre=centre,
        tilt=float(np.deg2rad(rng.normal(0.0, 6.0))),
    )


def draw_chest(patient: Patient, rng: np.random.Generator) -> tuple[Canvas, Field]:
    """Draw one slice without noise: its canvas and the lungs' coverage of each pixel, (512, 512) float32, 0 to 1."""
    canvas = Canvas(patient.spacing, patient.centre, patient.tilt, np.full((SIDE, SIDE), -1000.0, np.float32))
    _paint_wall(canvas, patient, rng)
    lungs = _paint_mediastinum(canvas, patient, rng)
    _paint_lungs(canvas, patient, lungs, rng)
    return canvas, lungs


def _paint_wall(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Table, skin, fat, muscle, scapulae, sternum, ribs; the chest's inside is left filled with fat."""
    back = (patient.skin * np.sin(_THETA)).max()
    _paint_table(replace(canvas, tilt=0.0), back + rng.uniform(-2.0, 4.0), rng)
    canvas.paint(_polar(patient.skin), 5.0)
    canvas.paint(_polar(patient.skin - 2.0), rng.uniform(-115.0, -90.0))
    gland = patient.muscle + 0.55 * (patient.skin - patient.muscle)
    for side in (230, 310):
        canvas.paint(_polar(gland * _bump(side, 9) + (patient.muscle - 3.0) * (1.0 - _bump(side, 9))), 20.0, 0.5)
    canvas.paint(_polar(patient.muscle), rng.uniform(35.0, 55.0))
    for share in (0.35, 0.7):
        seam = patient.cage + 9.0 + share * (patient.muscle - patient.cage - 9.0) * (1.0 + _wobble(rng, 9, 0.1))
        for _ in range(6):
            arc = (np.arange(rng.integers(7, 17)) + rng.integers(_CORNERS)) % _CORNERS
            ring = np.concatenate([_polar(seam)[arc], _polar(seam + rng.uniform(1.0, 3.0))[arc][::-1]])
            canvas.paint(ring, -90.0, rng.uniform(0.4, 0.9))
    canvas.paint(_polar(patient.cage + 11.0), -40.0, 0.6)
    canvas.paint(_polar(patient.cage + 10.0), 45.0)
    for side in (-1, 1):
        if patient.level < 0.5:
            _paint_scapula(canvas, patient, side, rng)
        _paint_ribs(canvas, patient, side, rng)
    sternum = (rng.normal(0.0, 2.0), -patient.cage[_FRONT] - 7.0)
    size = (rng.uniform(13.0, 20.0), rng.uniform(5.0, 7.5))
    _paint_bone(canvas, blob(rng, sternum, size, rng.normal(0.0, 0.06), 0.05), 2.0)
    canvas.paint(_polar(patient.cage + 1.2), 30.0)
    canvas.paint(_polar(patient.cage), -95.0)


def _paint_table(canvas: Canvas, top: float, rng: np.random.Generator) -> None:
    x = np.linspace(-rng.uniform(190.0, 230.0), 210.0, 60)
    sag = -rng.uniform(0.0, 28.0) * (x / 200.0) ** 2
    for depth, thick, value in ((0.0, 2.5, -250.0), (3.0, 14.0, -930.0), (17.0, 2.5, -300.0)):
        upper = np.stack([x, top + sag + depth], axis=1)
        lower = np.stack([x, top + sag + depth + thick], axis=1)
        canvas.paint(np.concatenate([upper, lower[::-1]]), value)


def _paint_bone(canvas: Canvas, outline: Points, cortex: float) -> None:
    """Cortical shell of ``cortex`` mm around cancellous bone."""
    canvas.paint(outline, 550.0)
    canvas.paint(grow(outline, -cortex), 190.0)


def _paint_scapula(canvas: Canvas, patient: Patient, side: int, rng: np.random.Generator) -> None:
    angle = np.deg2rad(rng.uniform(28.0, 48.0))
    at = int(np.rint((angle if side > 0 else np.pi - angle) / (2 * np.pi) * _CORNERS)) % _CORNERS
    centre = _polar(patient.cage + 0.55 * (patient.muscle - patient.cage) + 6.0)[at]
    size = (rng.uniform(18.0, 46.0), rng.uniform(2.6, 4.5))
    _paint_bone(canvas, blob(rng, centre, size, side * (np.pi / 2 + angle) + rng.normal(0.0, 0.1), 0.12), 1.4)


def _paint_ribs(canvas: Canvas, patient: Patient, side: int, rng: np.random.Generator) -> None:
    count = int(rng.integers(6, 9))
    for i in range(count):
        middle = -68.0 + (i + rng.uniform(0.2, 0.8)) * 136.0 / count
        length = rng.uniform(14.0, 42.0) / patient.half_width
        u = np.linspace(-1.0, 1.0, 15)
        theta = np.deg2rad(middle) + u * length / 2.0
        theta = theta if side > 0 else np.pi - theta
        inner = np.interp(theta % (2 * np.pi), _THETA, patient.cage, period=2 * np.pi)
        radius = inner + 5.0 + side * u * rng.uniform(0.0, 2.0)
        half = rng.uniform(3.0, 4.6) * np.sqrt(np.clip(1.0 - u**4, 0.02, 1.0))
        ray = np.stack([np.cos(theta), np.sin(theta)], axis=1)
        outline = np.concatenate([ray * (radius + half)[:, None], (ray * (radius - half)[:, None])[::-1]])
        if middle < -50.0:
            canvas.paint(outline, 100.0)  # the front ends are cartilage
            continue
        canvas.paint(outline, 600.0)
        thin = np.clip(half - 1.3, 0.0, None)[:, None]
        canvas.paint(np.concatenate([ray * (radius[:, None] + thin), (ray * (radius[:, None] - thin))[::-1]]), 200.0)


def _paint_mediastinum(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> Field:
    """Paint heart, vessels, airways, spine and diaphragm; return the lungs' coverage of each pixel, 0 to 1."""
    organs = _organs(patient, rng)
    spine = (rng.normal(0.0, 2.0), patient.cage[_BACK] - rng.uniform(13.0, 19.0))
    vertebra = blob(rng, spine, (rng.uniform(15.0, 19.0), rng.uniform(13.0, 15.5)), 0.0, 0.03)
    front = blob(rng, (0.0, -0.8 * patient.half_depth), (rng.uniform(4, 20), 0.35 * patient.half_depth), 0.0, 0.05)
    column = blob(rng, (spine[0] + 3.0, spine[1] - 10.0), (rng.uniform(17.0, 22.0), 26.0), 0.0, 0.05)
    flare = blob(rng, (0.0, -0.97 * patient.half_depth), (rng.uniform(10.0, 36.0), rng.uniform(6.0, 16.0)), 0.0, 0.05)
    wrapped = [grow(outline, margin) for outline, _, margin in organs if margin > 0.0]
    for outline in wrapped:
        canvas.paint(outline, -90.0)
    kept = canvas.coverage(grow(vertebra, 4.0), front, flare, column, *wrapped)
    inside = canvas.coverage(_polar(patient.cage - 0.8)) * (1.0 - _rounded(kept, 4.0 / canvas.spacing))
    for outline, value, _ in organs:
        canvas.paint(outline, value)
    _paint_spine(canvas, spine, vertebra, rng)
    return _rounded(inside, 2.2 / canvas.spacing)


def _paint_spine(canvas: Canvas, spine: tuple[float, float], vertebra: Points, rng: np.random.Generator) -> None:
    x, y = spine
    for side in (-1, 1):
        canvas.paint(blob(rng, (x + side * 24.0, y + 40.0), (20.0, 15.0), side * -0.4, 0.06), 55.0)
        wing = (x + side * rng.uniform(19.0, 24.0), y + 21.0)
        _paint_bone(canvas, blob(rng, wing, (14.0, 4.2), side * rng.uniform(0.3, 0.6), 0.1), 1.5)
        head = (x + side * rng.uniform(24.0, 30.0), y + rng.uniform(6.0, 12.0))
        _paint_bone(canvas, blob(rng, head, (11.0, 4.0), side * rng.uniform(0.4, 0.9), 0.08), 1.4)
    _paint_bone(canvas, blob(rng, (x, y + 41.0), (3.2, rng.uniform(9.0, 15.0)), rng.normal(0.0, 0.1), 0.1), 1.3)
    _paint_bone(canvas, blob(rng, (x, y + 21.0), (14.0, 12.5), 0.0, 0.04), 2.0)
    _paint_bone(canvas, vertebra, 1.6)
    canvas.paint(blob(rng, (x, y + 20.5), (9.0, 7.5), 0.0, 0.04), -10.0)
    canvas.paint(blob(rng, (x, y + 20.5), (5.5, 4.5), 0.0, 0.04), 40.0)


def _organs(patient: Patient, rng: np.random.Generator) -> list[tuple[Points, float, float]]:
    """Outline in mm, HU and the fat around it in mm (0: lies inside another organ), painted in this order."""
    deep, blood, tissue, air, fat = patient.half_depth, patient.blood, 45.0, -985.0, 5.0
    size, left = rng.uniform(0.85, 1.15) * patient.half_width / 126.0, rng.normal(0.0, 10.0)
    table: list[tuple[float, ...]]
    if patient.level < 0.2:
        table = [
            (10, -0.1, 36, 12, 1.05, blood, fat), (-20, -0.28, 10, 9, 0, blood, 6), (7, 0.36, 8, 6, 0, tissue, fat),
            (-3, 0.12, 11, 12, 0, tissue, fat), (-3, 0.12, 9, 10, 0, air, 0),
        ]  # fmt: skip
    elif patient.level < 0.45:
        table = [
            (-24, 0.02, 34, 9, 0.1, blood, 4), (20, -0.28, 26, 13, 0.9, blood, fat), (38, 0.02, 17, 9, 0.5, blood, 4),
            (-13, -0.36, 17, 16, 0, blood, fat), (-35, -0.24, 10, 9, 0, blood, fat), (22, 0.5, 13, 13, 0, blood, fat),
            (3, 0.36, 8, 6, 0, tissue, fat), (-20, 0.19, 11, 8, 0.5, tissue, 4), (-20, 0.19, 9, 6, 0.5, air, 0),
            (19, 0.21, 11, 8, -0.4, tissue, 4), (19, 0.21, 9, 6, -0.4, air, 0),
        ]  # fmt: skip
    else:
        grown = min(1.0, 0.62 + 0.9 * (patient.level - 0.45))
        long, short = 57 * grown * size, 44 * grown * size
        table = [
            (12, -0.3, long, short, 0.6, tissue, 6), (30, -0.2, 0.5 * long, 0.5 * short, 0.6, blood, 0),
            (-18, -0.3, 0.36 * long, 0.5 * short, 0.3, 0.8 * blood + 8, 0), (2, 0.0, 26, 13, 0.0, blood, 4),
            (20, 0.5, 12, 12, 0, blood, fat), (1, 0.36, 8, 6, 0, tissue, fat),
        ]  # fmt: skip
        if patient.level > 0.75:
            table.append((-22.0, 0.08, 14.0, 12.0, 0.0, blood, fat))
        for side, first in ((-1, 0.65), (1, rng.uniform(0.7, 1.1))):  # liver; spleen and stomach, usually lower
            dome = min(rng.uniform(36.0, 60.0) * (0.4 + 0.6 * patient.level), 0.4 * patient.half_width)
            at = (side * rng.uniform(0.4, 0.52) * patient.half_width, rng.uniform(-0.2, 0.2))
            if patient.level > first:
                table.append((*at, dome, rng.uniform(0.75, 1.0) * dome, 0.0, 55.0 + 0.3 * (blood - 42.0), 0.5))
    return [
        (
            blob(rng, (x + left + rng.normal(0, 2), y * deep), (wide * size, high * size), turn, 0.04),
            hu + rng.normal(0.0, 4.0),
            margin * rng.uniform(0.6, 1.6),
        )
        for x, y, wide, high, turn, hu, margin in table
    ]


def _paint_lungs(canvas: Canvas, patient: Patient, lungs: Field, rng: np.random.Generator) -> None:
    """Parenchyma, denser towards the back where blood settles, with lobules, vessels, bronchi and fissures."""
    down = (np.arange(SIDE, dtype=np.float32)[:, None] - np.float32(canvas.centre[1])) * np.float32(canvas.spacing)
    tissue = patient.lung + cloud(rng, 128, 14.0) + cloud(rng, 24, 14.0) + cloud(rng, 6, rng.uniform(25.0, 120.0))
    tissue += down * np.float32(rng.uniform(0.1, 1.2))
    tissue = np.minimum(tissue, -580.0).astype(np.float32)  # denser lung would be a finding of its own
    inner = Canvas(canvas.spacing, canvas.centre, canvas.tilt, tissue)
    for side in (-1, 1):
        hilum = np.array([31.0 * side, rng.uniform(0.05, 0.2) * patient.half_depth])
        _paint_fissure(inner, patient, hilum, side, rng)
        inner.blend(inner.strokes(*_vessels(patient, hilum, side, rng)), min(patient.blood, 120.0))
        for _ in range(rng.integers(2, 6)):
            lumen = rng.uniform(1.2, 3.6)
            place = hilum + rng.normal(0.0, 11.0, 2) + [side * 16.0, 0.0]
            inner.paint(blob(rng, place, (lumen + 1.2, lumen + 1.0), 0.0, 0.05), -50.0)
            inner.paint(blob(rng, place, (lumen, lumen), 0.0, 0.05), -960.0)
    canvas.blend(lungs, inner.hu)


def _paint_fissure(canvas: Canvas, patient: Patient, hilum: Points, side: int, rng: np.random.Generator) -> None:
    end = np.array([side * patient.half_width, rng.uniform(-0.7, 0.5) * patient.half_depth])
    along = np.linspace(0.0, 1.0, 9)[:, None]
    bow = np.sin(np.pi * along) * rng.normal(0.0, 8.0) * np.array([0.3, 1.0])
    path = hilum + along * (end - hilum) + bow
    canvas.blend(canvas.strokes(path[:-1], path[1:], np.full(8, 0.6), np.full(8, rng.uniform(0.05, 0.25))), -300.0)


def _vessels(
    patient: Patient, hilum: Points, side: int, rng: np.random.Generator
) -> tuple[Points, Points, Points, Points]:
    """Trees from the hilum and the dots where vessels cross the slice: starts, ends (n, 2), radii and opacity (n,)."""
    trunks = int(rng.integers(5, 7))
    heading = (0.0 if side > 0 else np.pi) + np.linspace(-1.9, 1.9, trunks) + rng.normal(0.0, 0.15, trunks)
    starts = np.repeat(hilum[None], trunks, axis=0) + rng.normal(0.0, 5.0, (trunks, 2))
    radii = rng.uniform(1.2, 3.1, trunks)
    pieces = []
    for generation in range(9):
        step = 15.0 * 0.93**generation * rng.uniform(0.6, 1.3, len(radii))
        ends = starts + step[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1)
        pieces.append((starts, ends, radii))
        branch = rng.uniform(size=len(radii)) < 0.52
        fork = rng.choice([-1.0, 1.0], int(branch.sum())) * rng.uniform(0.5, 1.0, int(branch.sum()))
        starts = np.concatenate([ends, ends[branch]])
        heading = np.concatenate([heading + rng.normal(0.0, 0.22, len(radii)), heading[branch] + fork])
        radii = np.concatenate([radii * rng.uniform(0.78, 0.92, len(radii)), radii[branch] * 0.62])
        kept = rng.uniform(size=len(radii)) < np.minimum(0.95, 0.77 + 0.05 * radii)  # the others leave the slice
        starts, heading, radii = starts[kept], heading[kept], radii[kept]
    dots = hilum + rng.normal(0.0, 1.0, (36, 2)) * [0.42 * patient.half_width, 0.42 * patient.half_depth]
    dots[:, 0] += side * 0.25 * patient.half_width
    away = np.linalg.norm(dots - hilum, axis=1)
    sizes = rng.gamma(2.5, 0.26, 36) * (1.0 + 1.5 * np.exp(-away / 30.0))
    pieces.append((dots, dots + rng.normal(0.0, 1.0, (36, 2)), np.clip(sizes, 0.4, 3.5)))
    first, last, wide = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return first, last, np.clip(wide, 0.35, None), np.clip(0.1 + 0.4 * wide, 0.2, 1.0)


def cloud(rng: np.random.Generator, cells: int, deviation: float) -> Field:
    """Smooth random field, (512, 512) float32, ``cells`` bumps across, standard deviation about ``deviation``."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32) * np.float32(1.3 * deviation)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _rounded(share: Field, radius: float) -> Field:
    """Round a coverage's corners to about ``radius`` pixels and keep its edge about two pixels wide."""
    half = cv2.resize(share, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cv2.GaussianBlur(half, (0, 0), radius / 2.0), (SIDE, SIDE))
    return np.asarray(np.clip((smooth - 0.5) * np.float32(radius * 1.25) + 0.5, 0.0, 1.0), dtype=np.float32)


def _bump(degrees: float, width: float) -> Points:
    """Bell of height 1 around one direction; 0 is the patient's left, 90 the back, 270 the front."""
    away = (np.rad2deg(_THETA) - degrees + 180.0) % 360.0 - 180.0
    return np.asarray(np.exp(-0.5 * (away / width) ** 2))


def _wobble(rng: np.random.Generator, orders: int, size: float) -> Points:
    """Smooth periodic curve around 0 with harmonics 1 to ``orders``."""
    order = np.arange(1, orders + 1)[:, None]
    phase, amplitude = rng.uniform(0.0, 2 * np.pi, (orders, 1)), rng.normal(0.0, size, (orders, 1)) / np.sqrt(order)
    return np.asarray((amplitude * np.cos(order * _THETA + phase)).sum(axis=0))


def blob(rng: np.random.Generator, centre: Pair | Points, radii: Pair, turn: float, rough: float) -> Points:
    """Ellipse of half-axes ``radii``, turned by ``turn`` radians, its outline off by the share ``rough``: (120, 2)."""
    ellipse = np.stack([radii[0] * np.cos(_THETA), radii[1] * np.sin(_THETA)], axis=1)
    ellipse *= 1.0 + _wobble(rng, 7, rough)[:, None]
    return np.asarray(rotated(ellipse, turn) + np.asarray(centre))


def grow(outline: Points, by: float) -> Points:
    """Move a star-shaped outline ``by`` mm away from its middle, or towards it."""
    middle = outline.mean(axis=0)
    reach = np.linalg.norm(outline - middle, axis=1, keepdims=True)
    return np.asarray(middle + (outline - middle) * np.maximum(0.0, 1.0 + by / np.maximum(reach, 1e-6)))


def _polar(radius: Points) -> Points:
    return np.stack([radius * np.cos(_THETA), radius * np.sin(_THETA)], axis=1)


def rotated(points: Points, angle: float) -> Points:
    """Points (n, 2) turned by ``angle`` radians, from the patient's left towards the back."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cosine, sine], [-sine, cosine]]))

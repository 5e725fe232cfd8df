"""Near-duplicates among phantom slices whose truth is known: time per slice, recall per distortion, precision.

A collection of n files holds originals, one distorted copy of every other original, and neighbours: slices of the same
patients that share body, ribs and part of the vessels, and must stay apart. Drawing is not timed; reading is.
Target: the time per slice grows no faster than log n from 250 to 4,000 files. Growth is taken from processor seconds,
which other work on the machine disturbs less than the clock.

    python benchmarks/near_duplicates.py --sizes 60            # a minute
    python benchmarks/near_duplicates.py --sizes 250 1000 4000 --output benchmarks/results/DATE-near-duplicates.json

Sizes measured in several runs into one ``--output`` are joined there; ``--keep`` lets them share the drawn slices.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lung_tumor.anatomy import SIDE, draw_chest, draw_patient
from lung_tumor.duplicates import DuplicateOptions, find_duplicates
from lung_tumor.imaging import Pixels, decode

Hounsfield = npt.NDArray[np.float32]
Change = Callable[[Pixels, np.random.Generator], Pixels]

LUNG, WIDE, MEDIASTINUM = (-600.0, 1500.0), (-300.0, 1900.0), (40.0, 400.0)
NEIGHBOUR = "neighbour"


def draw(seed: int) -> Hounsfield:
    """One chest without a mass, (512, 512) float32, HU, with grain."""
    rng = np.random.default_rng(seed)
    canvas, _ = draw_chest(draw_patient(rng), rng)
    return _grained(canvas.hu, rng)


def draw_neighbour(seed: int) -> Hounsfield:
    """The slice beside ``draw(seed)``: the same body, half other vessels and organs, shifted by up to some mm, new grain."""
    rng, other = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    patient = draw_patient(rng)
    first, _ = draw_chest(patient, rng)
    second, _ = draw_chest(patient, other)
    shift = cv2.resize(
        other.normal(0.0, 2.5, (6, 6, 2)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    mixed = cv2.remap(0.5 * first.hu + 0.5 * second.hu, columns + shift[..., 0], rows + shift[..., 1], cv2.INTER_LINEAR)
    return _grained(mixed, other)


def _grained(hu: Hounsfield, rng: np.random.Generator) -> Hounsfield:
    grain = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE), dtype=np.float32), (0, 0), 0.8)
    return np.asarray(cv2.GaussianBlur(hu, (0, 0), 0.7) + grain * np.float32(18.0 / grain.std()), dtype=np.float32)


def windowed(hu: Hounsfield, window: tuple[float, float]) -> Pixels:
    """Greys, uint8, of HU values through a window given by level and width."""
    level, width = window
    return np.rint(np.clip((hu - (level - width / 2.0)) * (255.0 / width), 0.0, 255.0)).astype(np.uint8)


# --- Distortions ------------------------------------------------------------------------------------------------------


def crop(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Cut 5 to 25 % off either side."""
    size = np.array(pixels.shape)
    cut = rng.uniform(0.05, 0.25, 2) * size
    top, left = (cut * rng.uniform(size=2)).astype(int)
    height, width = (size - cut).astype(int)
    return pixels[top : top + height, left : left + width].copy()


def rescale(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Resample to 0.5 to 2 times the size."""
    factor = float(np.exp2(rng.uniform(-1.0, 1.0)))
    method = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_CUBIC
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=method)


def squeeze(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Change the aspect ratio by up to 15 %."""
    return cv2.resize(pixels, None, fx=rng.uniform(0.85, 1.15), fy=1.0, interpolation=cv2.INTER_AREA)


def compress(pixels: Pixels, rng: np.random.Generator, lowest: int = 30) -> Pixels:
    """JPEG of quality 30 to 90."""
    _, stored = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(lowest, 91))])
    return cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE)


def gamma(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A power of 0.5 to 2."""
    return np.rint(255.0 * (pixels / 255.0) ** np.exp2(rng.uniform(-1.0, 1.0))).astype(np.uint8)


def contrast(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """0.6 to 1.4 times the contrast and up to 30 grey values of brightness, clipped."""
    return np.rint(np.clip(pixels * rng.uniform(0.6, 1.4) + rng.uniform(-30.0, 30.0), 0.0, 255.0)).astype(np.uint8)


def pen(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """One to three curved strokes, black or white."""
    drawn = pixels.copy()
    size = np.array(pixels.shape[::-1])
    for _ in range(rng.integers(1, 4)):
        along = np.linspace(0.0, 1.0, 20)[:, None]
        start, end = rng.uniform(0.0, 1.0, (2, 2)) * size
        path = start + (end - start) * along + rng.normal(0.0, 0.05, 2) * size * np.sin(np.pi * along)
        line = [np.rint(path).astype(np.int32)]
        cv2.polylines(drawn, line, False, int(rng.choice([0, 255])), int(rng.integers(2, 6)), cv2.LINE_AA)
    return drawn


def arrows(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """One to three arrows, black or white."""
    drawn = pixels.copy()
    for _ in range(rng.integers(1, 4)):
        start, end = (rng.uniform(0.1, 0.9, (2, 2)) * pixels.shape[::-1]).astype(int).tolist()
        cv2.arrowedLine(drawn, start, end, int(rng.choice([0, 255])), 3, cv2.LINE_AA, tipLength=0.25)
    return drawn


def text(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Three burnt-in labels."""
    drawn = pixels.copy()
    height, width = pixels.shape
    for words in ("R", "IM 42 SE 3", "example.org"):
        place = (int(rng.uniform(0.0, 0.7) * width), int(rng.uniform(0.1, 0.95) * height))
        cv2.putText(drawn, words, place, cv2.FONT_HERSHEY_SIMPLEX, width / 512 * rng.uniform(0.5, 1.2), 255, 2)
    return drawn


def flip(pixels: Pixels, _: np.random.Generator) -> Pixels:
    """Left and right exchanged."""
    return np.ascontiguousarray(pixels[:, ::-1])


def upside_down(pixels: Pixels, _: np.random.Generator) -> Pixels:
    """Top and bottom exchanged."""
    return np.ascontiguousarray(pixels[::-1])


def rotate(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Up to 10 degrees."""
    height, width = pixels.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-10.0, 10.0), 1.0)
    return cv2.warpAffine(pixels, turn, (width, height))


def grain(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Noise of 3 to 8 grey values."""
    return np.clip(pixels + rng.normal(0.0, rng.uniform(3.0, 8.0), pixels.shape), 0.0, 255.0).astype(np.uint8)


def _chain(*changes: Change) -> Change:
    def change(pixels: Pixels, rng: np.random.Generator) -> Pixels:
        for step in changes:
            pixels = step(pixels, rng)
        return pixels

    return change


_light = partial(compress, lowest=50)

DISTORTIONS: dict[str, Change] = {
    "crop": crop,
    "rescale": rescale,
    "squeeze": squeeze,
    "compress": compress,
    "gamma": gamma,
    "contrast": contrast,
    "pen": pen,
    "arrows": arrows,
    "text": text,
    "flip": flip,
    "upside_down": upside_down,
    "rotate": rotate,
    "grain": grain,
    "crop_rescale_contrast_pen_text_compress": _chain(crop, rescale, contrast, pen, text, _light),
    "flip_crop_gamma_rescale_arrows_compress": _chain(flip, crop, gamma, rescale, arrows, _light),
}
WINDOWS = {"window_wide": WIDE, "window_mediastinum": MEDIASTINUM}
"""Other greys from the same HU values: the wide one counts as a copy, the mediastinal one as another picture."""


# --- Collections ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """One file of a collection: where it is, which original it shows, and what was done to it."""

    path: Path
    original: int
    change: str


def make_collection(folder: Path, count: int) -> list[File]:
    """Write ``count`` PNGs: of each original itself, a copy of every other one, a neighbour of every fifth."""
    kinds = [*DISTORTIONS, *WINDOWS]
    files: list[File] = []
    for seed in range(count):
        wanted = [""]
        wanted += [kinds[seed // 2 % len(kinds)]] if seed % 2 == 0 else []
        wanted += [NEIGHBOUR] if seed % 5 == 0 else []
        for change in wanted:
            path = folder / f"{seed:05d}-{change or 'original'}.png"
            if not path.exists():
                cv2.imwrite(str(path), _make(seed, change), [cv2.IMWRITE_PNG_COMPRESSION, 1])
            files.append(File(path, seed, change))
        if len(files) >= count:
            break
    return files[:count]


def _make(seed: int, change: str) -> Pixels:
    if change == NEIGHBOUR:
        return windowed(draw_neighbour(seed), LUNG)
    if change in WINDOWS:
        return windowed(draw(seed), WINDOWS[change])
    pixels = windowed(draw(seed), LUNG)
    return DISTORTIONS[change](pixels, np.random.default_rng([seed, 2])) if change else pixels


def _open(path: Path) -> Pixels:
    return decode(path.read_bytes()).pixels


def measure(files: list[File], options: DuplicateOptions) -> dict[str, Any]:
    """Search one collection and compare with its truth."""
    started, worked = time.perf_counter(), time.process_time()
    found = find_duplicates([partial(_open, file.path) for file in files], options)
    wall, work = time.perf_counter() - started, time.process_time() - worked
    originals = {file.original: index for index, file in enumerate(files) if not file.change}
    hits: Counter[str] = Counter()
    grouped: Counter[str] = Counter()
    totals = Counter(file.change for file in files if file.change)
    for index, file in enumerate(files):
        hits[file.change] += int(found.pictures[index] == found.pictures[originals[file.original]])
        grouped[file.change] += int(found.slices[index] == found.slices[originals[file.original]])
    identity = [-index - 1 if file.change == NEIGHBOUR else file.original for index, file in enumerate(files)]
    copies = found.pairs[found.pairs["kind"] == "copy"]
    right = sum(identity[a] == identity[b] for a, b in zip(copies["first"], copies["second"], strict=True))
    merged = Counter(found.pictures.tolist())
    truth = Counter(zip(found.pictures.tolist(), identity, strict=True))
    pairs_merged, pairs_right = (sum(math.comb(size, 2) for size in counts.values()) for counts in (merged, truth))
    return {
        "files": len(files),
        "seconds_a_slice": round(wall / len(files), 4),
        "processor_seconds_a_slice": round(work / len(files), 4),
        "pairs_compared_a_slice": round(found.compared / len(files), 2),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "verified_copies_right": f"{right} of {len(copies)}",
        "pairwise_precision": round(pairs_right / max(1, pairs_merged), 4),
        "recall": {name: f"{hits[name]} of {totals[name]}" for name in sorted(totals) if name != NEIGHBOUR},
        "same_slice_recall": {name: f"{grouped[name]} of {totals[name]}" for name in WINDOWS if totals[name]},
        "neighbours_merged": f"{hits[NEIGHBOUR]} of {totals[NEIGHBOUR]}",
        "neighbours_grouped": f"{grouped[NEIGHBOUR]} of {totals[NEIGHBOUR]}",
    }


def _add(output: Path, result: dict[str, Any]) -> None:
    """Put one result among those of other sizes, and say how the cost grew from the smallest to the largest."""
    stored = json.loads(output.read_text()) if output.exists() else {"collections": []}
    results = [*(other for other in stored["collections"] if other["files"] != result["files"]), result]
    results.sort(key=lambda each: int(each["files"]))
    first, last = results[0], results[-1]
    growth = {
        "from": first["files"],
        "to": last["files"],
        "processor_seconds_a_slice": round(last["processor_seconds_a_slice"] / first["processor_seconds_a_slice"], 3),
        "wall_seconds_a_slice": round(last["seconds_a_slice"] / first["seconds_a_slice"], 3),
        "allowed": round(math.log(last["files"]) / math.log(first["files"]), 3),
    }
    whole = {"growth": growth if len(results) > 1 else None, "collections": results}
    output.write_text(json.dumps(whole, indent=2) + "\n")


def main() -> None:
    """Measure the sizes asked for, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[60], help="files of each collection")
    parser.add_argument("--keep", type=Path, help="folder for the drawn slices, to be used again")
    parser.add_argument("--output", type=Path, help="JSON of results, to which these are added")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        keep = arguments.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        for size in sorted(arguments.sizes):
            result = measure(make_collection(keep, size), DuplicateOptions())
            print(json.dumps(result, indent=2), flush=True)
            if arguments.output:
                _add(arguments.output, result)


if __name__ == "__main__":
    main()

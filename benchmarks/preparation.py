"""Which preparation leaves least to a model without anatomy, and most to the network, also on another scanner's slices.

For each candidate, on a folder of slices (one picture of each group of copies) and on the phantom:

* ``trivial_auc``: logistic regression on mean, deviation, percentiles, black share and an 8×8 thumbnail;
* ``network_auc``: logistic regression on averaged block4 features of ImageNet's VGG16 (docs/adr/0003);
* ``network_auc_changed``: the same model, trained on unchanged slices and tested on held-out ones that were changed as
  another scanner, window, export or screenshot would: greys, gamma, sharpness, noise, size, margins. The phantom's come
  from its Hounsfield values through other windows;
* ``network_auc_trained_on_folder`` and ``…_on_phantom``: trained on one collection, tested on the other, as on another
  hospital's slices;
* ``score_change``: mean absolute change of the score of DICOM slices when another window is chosen.

All areas are grouped, stratified five-fold cross-validation, averaged over repeats.

    python benchmarks/preparation.py --phantom 40                     # two minutes, without a folder
    python benchmarks/preparation.py --source FOLDER --dicom FOLDER --out results/DATE-preparation.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lung_tumor import network, weights
from lung_tumor.dicom_window import Window
from lung_tumor.duplicates import DuplicateOptions, find_duplicates
from lung_tumor.errors import SliceError
from lung_tumor.imaging import DecodedSlice, Mask, Pixels, PreparationOptions, decode, prepare, to_network_input
from lung_tumor.phantom import PhantomOptions, PhantomSlice, draw_slice

Features = npt.NDArray[np.float32]
Prepare = Callable[[Pixels, Mask | None], Pixels]

REPEATS = 5
BATCH = 8
WINDOWS: tuple[Window, ...] = ("lung", (-600.0, 1000.0), (-300.0, 1900.0))
"""The first is what the score is compared with."""
PHANTOM_WINDOWS = ((-500.0, 1200.0), (-650.0, 1800.0), (-300.0, 1900.0), (-550.0, 1350.0), (-200.0, 1200.0))


# --- Candidates -------------------------------------------------------------------------------------------------------


def bright_box(pixels: Pixels) -> Pixels:
    """The crop before there was :mod:`lung_tumor.body`: box of the largest region above Otsu's threshold."""
    height, width = pixels.shape
    scale = min(1.0, 256 / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    smooth = cv2.GaussianBlur(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), (0, 0), 1.5)
    _, bright = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=8)
    if count < 2:
        return pixels
    left, top, box_width, box_height, _ = boxes[1 + int(np.argmax(boxes[1:, cv2.CC_STAT_AREA]))]
    if box_width * box_height < 0.25 * small[0] * small[1]:
        return pixels
    rows = slice(int(top * height / small[1]), -(-(top + box_height) * height // small[1]))
    columns = slice(int(left * width / small[0]), -(-(left + box_width) * width // small[0]))
    return np.ascontiguousarray(pixels[rows, columns])


def _before(pixels: Pixels, _: Mask | None) -> Pixels:
    return prepare(
        bright_box(pixels), PreparationOptions(crop_to_body=False, blank_outside=False, normalise="percentile")
    )


def _with(**options: object) -> Prepare:
    chosen = PreparationOptions(**{"crop_to_body": True, **options})  # type: ignore[arg-type]
    return lambda pixels, strokes: prepare(pixels, chosen, strokes)


def _mean(first: Prepare, second: Prepare) -> Prepare:
    def mixed(pixels: Pixels, strokes: Mask | None) -> Pixels:
        both = first(pixels, strokes).astype(np.uint16) + second(pixels, strokes)
        return (both // 2).astype(np.uint8)

    return mixed


def _clahe(first: Prepare) -> Prepare:
    # Zuiderveld, Graphics Gems IV, 1994.
    return lambda pixels, strokes: cv2.createCLAHE(2.0, (4, 4)).apply(first(pixels, strokes))


CANDIDATES: dict[str, Prepare] = {
    "bright_box+percentile (before)": _before,
    "body+none": _with(blank_outside=False, normalise="none"),
    "body+percentile": _with(blank_outside=False, normalise="percentile"),
    "body+blank+percentile": _with(blank_outside=True, normalise="percentile"),
    "body+landmarks": _with(blank_outside=False, normalise="landmarks"),
    "body+blank+landmarks": _with(blank_outside=True, normalise="landmarks"),
    "body+blank+equalise": _with(blank_outside=True, normalise="equalise"),
    "body+blank+half equalise": _mean(
        _with(blank_outside=True, normalise="percentile"), _with(blank_outside=True, normalise="equalise")
    ),
    "body+blank+landmarks+clahe": _clahe(_with(blank_outside=True, normalise="landmarks")),
    "body+blank+landmarks, median 5": _with(blank_outside=True, normalise="landmarks", denoise_strength=5),
}


# --- Changes ----------------------------------------------------------------------------------------------------------


def other_greys(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Another window and another gamma (0.6 to 1.6)."""
    low, high = 255.0 * rng.uniform(-0.10, 0.12), 255.0 * rng.uniform(0.75, 1.25)
    unit = np.clip((np.arange(256) - low) / (high - low), 0.0, 1.0)
    table = 255.0 * unit ** np.exp(rng.uniform(np.log(0.6), np.log(1.6)))
    return np.rint(table).astype(np.uint8)[pixels]


def other_scanner(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Another size, sharpness, noise and margin."""
    factor = float(np.exp(rng.uniform(np.log(0.6), np.log(1.5))))
    pixels = cv2.resize(
        pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    )
    soft = cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.5, 1.3)))
    sharpness = float(rng.uniform(-1.0, 1.0))
    changed = cv2.addWeighted(pixels, 1.0 + sharpness, soft, -sharpness, 0.0).astype(np.float32)
    changed += rng.standard_normal(changed.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, 6.0))
    changed = np.rint(np.clip(changed, 0.0, 255.0)).astype(np.uint8)
    height, width = changed.shape
    if rng.uniform() < 0.5:
        top, bottom, left, right = (int(share * height) for share in rng.uniform(0.0, 0.25, 4))
        return cv2.copyMakeBorder(changed, top, bottom, left, right, cv2.BORDER_CONSTANT, value=int(changed[:4].min()))
    top, bottom, left, right = (int(share * min(height, width)) for share in rng.uniform(0.0, 0.06, 4))
    return np.ascontiguousarray(changed[top : height - bottom, left : width - right])


def _windowed(hounsfield: npt.NDArray[np.int16], window: tuple[float, float]) -> Pixels:
    level, width = window
    grey = (hounsfield.astype(np.float32) - (level - width / 2.0)) * (255.0 / width)
    return np.rint(np.clip(grey, 0.0, 255.0)).astype(np.uint8)


# --- Slices -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Collection:
    """Labelled slices, one of each group of copies, each with its changed twin. Opened one at a time."""

    open: Sequence[Callable[[], tuple[DecodedSlice, Pixels]]]
    sick: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int64]
    chosen: npt.NDArray[np.intp]
    """Those that the network sees: it is slow."""


def folder(root: Path, cache: Path | None, most: int) -> Collection:
    """One picture of each group of copies in a folder of class folders; at most ``most`` of a class for the network."""
    paths = _distinct(root)
    if cache is not None and cache.exists():
        stored = json.loads(cache.read_text())
        pictures, slices = (np.array([dict(zip(stored["path"], stored[name], strict=True))[path] for path in paths])
                            for name in ("pictures", "slices"))  # fmt: skip
    else:
        found = find_duplicates([partial(_pixels, root / path) for path in paths], DuplicateOptions())
        pictures, slices = found.pictures, found.slices
        if cache is not None:
            cache.write_text(json.dumps({"path": paths, "pictures": pictures.tolist(), "slices": slices.tolist()}))
    first = np.unique(pictures, return_index=True)[1]
    labels = np.array([paths[index].split("/")[0] for index in first])
    sick = labels == sorted(set(labels))[0]
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(np.flatnonzero(sick == side))[:most] for side in (True, False)]
    return Collection(
        [partial(_open, root / paths[index], seed) for seed, index in enumerate(first)],
        sick,
        slices[first],
        np.sort(np.concatenate(chosen)),
    )


def _distinct(root: Path) -> list[str]:
    seen: dict[str, str] = {}
    for path in sorted(root.glob("*/*")):
        try:
            pixels = _pixels(path)
        except SliceError:
            continue
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        seen.setdefault(digest, path.relative_to(root).as_posix())
    return list(seen.values())


def _pixels(path: Path) -> Pixels:
    return decode(path.read_bytes()).pixels


def _open(path: Path, seed: int) -> tuple[DecodedSlice, Pixels]:
    decoded, rng = decode(path.read_bytes()), np.random.default_rng([seed, 3])
    return decoded, other_scanner(other_greys(decoded.pixels, rng), rng)


def phantom(slices: int) -> Collection:
    """The phantom's first slices and the same through other windows."""
    options = PhantomOptions()
    drawn = [draw_slice(index, options) for index in range(slices)]

    def look(index: int, one: PhantomSlice) -> tuple[DecodedSlice, Pixels]:
        rng = np.random.default_rng([index, 4])
        changed = _windowed(one.hounsfield, PHANTOM_WINDOWS[index % len(PHANTOM_WINDOWS)])
        return DecodedSlice(one.pixels, "PNG", "L", True), other_scanner(changed, rng)

    sick = np.array([one.label == "adenocarcinoma" for one in drawn])
    opens = [partial(look, index, one) for index, one in enumerate(drawn)]
    return Collection(opens, sick, np.arange(slices), np.arange(slices))


# --- Measuring --------------------------------------------------------------------------------------------------------


def trivial_numbers(prepared: Pixels) -> npt.NDArray[np.float64]:
    """What is left without anatomy, (72,) float64."""
    greys = np.percentile(prepared, (5, 25, 50, 75, 95))
    black = (prepared <= 10).mean()
    thumbnail = cv2.resize(prepared, (8, 8), interpolation=cv2.INTER_AREA).ravel()
    return np.concatenate([[prepared.mean(), prepared.std()], greys, [black], thumbnail]).astype(np.float64)


class Network:
    """Averaged block4 features of ImageNet's VGG16."""

    def __init__(self, cache: Path) -> None:
        import keras

        model = network.load_base(network.build(2, network.NetworkOptions()), weights.resolve(cache)[0])
        self._model = keras.Model(model.input, model.get_layer("block4_pool").output)

    def features(self, prepared: Sequence[Pixels]) -> Features:
        """Features, (n, 512) float32, of prepared slices."""
        parts = []
        for start in range(0, len(prepared), BATCH):
            batch = list(prepared[start : start + BATCH])
            filled = np.stack(batch + batch[-1:] * (BATCH - len(batch)))
            activation = np.asarray(self._model.predict_on_batch(to_network_input(filled)), dtype=np.float32)
            parts.append(activation.mean(axis=(1, 2))[: len(batch)])
        return np.concatenate(parts)


def _classifier(strength: float) -> LogisticRegression:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=3000))


def areas(
    training: npt.NDArray[np.generic], tests: Sequence[npt.NDArray[np.generic]], collection: Collection,
    chosen: npt.NDArray[np.intp], strength: float,
) -> list[float]:  # fmt: skip
    """Cross-validated AUC of a model trained on ``training``, tested on the held-out rows of each of ``tests``."""
    sick, groups = collection.sick[chosen], collection.groups[chosen]
    results = np.zeros((REPEATS, len(tests)))
    for repeat in range(REPEATS):
        scores = np.zeros((len(tests), len(sick)))
        for seen, unseen in StratifiedGroupKFold(5, shuffle=True, random_state=repeat).split(training, sick, groups):
            model = _classifier(strength).fit(training[seen], sick[seen])
            for row, test in zip(scores, tests, strict=True):
                row[unseen] = model.predict_proba(test[unseen])[:, 1]
        results[repeat] = [roc_auc_score(sick, row) for row in scores]
    return [round(float(value), 3) for value in results.mean(axis=0)]


def measure(
    one: Prepare, collection: Collection, model: Network, viewed: Sequence[Features], unchanged_only: bool
) -> tuple[dict[str, float], Features]:
    """All figures of one candidate on one collection, and the features of its unchanged slices."""
    plain, changed, started = [], [], 0.0
    for opened in collection.open:
        decoded, other = opened()
        begun = time.perf_counter()
        plain.append(one(decoded.pixels, decoded.strokes))
        started += time.perf_counter() - begun
        changed.append(one(other, None))
    numbers, others = (np.stack([trivial_numbers(each) for each in both]) for both in (plain, changed))
    everything = np.arange(len(plain))
    trivial, trivial_changed = areas(numbers, [numbers, others], collection, everything, 1.0)
    chosen = collection.chosen
    seen = (plain,) if unchanged_only else (plain, changed)
    features, *moved = (model.features([both[index] for index in chosen]) for both in seen)
    kept, *left = areas(features, [features, *moved], collection, chosen, 0.1)
    result = {
        "trivial_auc": trivial,
        "trivial_auc_changed": trivial_changed,
        "network_auc": kept,
        **({"network_auc_changed": left[0]} if left else {}),
        "grey_deviation_auc": round(_either_way(collection.sick, numbers[:, 1]), 3),
        "milliseconds_a_slice": round(1e3 * started / len(plain), 1),
    }
    if viewed:
        whole = _classifier(0.1).fit(features, collection.sick[chosen])
        first, *rest = (whole.predict_proba(view)[:, 1] for view in viewed)
        result["score_change"] = round(float(np.mean([np.abs(scores - first).mean() for scores in rest])), 3)
        result["feature_change"] = round(float(np.mean([_distance(viewed[0], view) for view in viewed[1:]])), 3)
    return result, features


def _either_way(sick: npt.NDArray[np.bool_], values: npt.NDArray[np.float64]) -> float:
    area = float(roc_auc_score(sick, values))
    return max(area, 1.0 - area)


def _distance(first: Features, second: Features) -> float:
    """Mean distance between the same slices, over that between different ones."""
    same = np.linalg.norm(first - second, axis=1).mean()
    return float(same / np.linalg.norm(first[:, None] - first[None], axis=2)[~np.eye(len(first), dtype=bool)].mean())


def main() -> None:
    """Measure all candidates, or those named, and write the result after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="folder of class folders")
    parser.add_argument("--groups", type=Path, help="file that keeps the groups of copies of --source")
    parser.add_argument("--dicom", type=Path, help="folder of DICOM slices, every second of which is read")
    parser.add_argument("--phantom", type=int, default=120, help="slices of the phantom")
    parser.add_argument("--most", type=int, default=120, help="pictures of a class that the network sees")
    parser.add_argument("--unchanged-only", action="store_true", help="leave out the changed slices: half the time")
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES), help="candidates")
    parser.add_argument("--weights", type=Path, default=Path("data/01_raw/vgg16_imagenet.npz"), help="cached weights")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    collections = {"phantom": phantom(arguments.phantom)} if arguments.phantom else {}
    if arguments.source:
        collections["folder"] = folder(arguments.source, arguments.groups, arguments.most)
    files = [path.read_bytes() for path in sorted(arguments.dicom.glob("*.dcm"))[::2]] if arguments.dicom else []
    viewed = [[decode(content, window).pixels for content in files] for window in WINDOWS] if files else []
    model = Network(arguments.weights)
    results: dict[str, object] = {
        "collections": {
            name: {
                "pictures": len(each.open),
                "sick": int(each.sick.sum()),
                "seen_by_network": len(each.chosen),
                "sick_seen_by_network": int(each.sick[each.chosen].sum()),
            }
            for name, each in collections.items()
        },
        "dicom_slices": len(files),
    }
    for name in arguments.only:
        one = CANDIDATES[name]
        views = [model.features([one(pixels, None) for pixels in view]) for view in viewed]
        measured = {
            where: measure(one, each, model, views, arguments.unchanged_only) for where, each in collections.items()
        }
        results[name] = figures = {where: result for where, (result, _) in measured.items()}
        if len(measured) == 2:
            labels = {where: each.sick[each.chosen] for where, each in collections.items()}
            for start, end in (("folder", "phantom"), ("phantom", "folder")):
                scores = _classifier(0.1).fit(measured[start][1], labels[start]).predict_proba(measured[end][1])[:, 1]
                figures[end][f"network_auc_trained_on_{start}"] = round(float(roc_auc_score(labels[end], scores)), 3)
        print(json.dumps({name: results[name]}), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

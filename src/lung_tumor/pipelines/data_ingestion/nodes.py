"""Adapters between the catalog and the library."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from lung_tumor import __version__, dataset_card, dataset_facts, figures, shortcuts, trivial
from lung_tumor.audit import require_every_class
from lung_tumor.consistency import audit_digest, manifest_digest
from lung_tumor.duplicates import DuplicateOptions, View
from lung_tumor.embedding import EmbeddingOptions, embed
from lung_tumor.groups import GroupOptions, join_groups, origins_of_groups
from lung_tumor.imaging import PreparationOptions, decode, prepare_and_place
from lung_tumor.lesions import Outline, outline
from lung_tumor.manifest import accepted
from lung_tumor.options import plain
from lung_tumor.pairs import distinct_files, find_pairs, open_pictures
from lung_tumor.prepared import Partitions, prepare_file, read_slices, with_progress
from lung_tumor.shortcuts import ShortcutOptions
from lung_tumor.sources import SliceSource
from lung_tumor.splits import SplitOptions
from lung_tumor.thumbnails import thumbnails
from lung_tumor.weights import Tensors

SHEET_SLICES = 32
"""Slices on one contact sheet: as many as a page shows legibly."""


def embed_pictures(
    source: SliceSource,
    files: pd.DataFrame,
    tensors: Tensors,
    preparation: PreparationOptions,
    options: EmbeddingOptions,
) -> View:
    """Pooled VGG16 features of every distinct picture and of its mirror image."""
    return embed(open_pictures(source, distinct_files(files), preparation), tensors, options)


def find_duplicate_pairs(
    source: SliceSource,
    files: pd.DataFrame,
    embedding: View,
    preparation: PreparationOptions,
    options: DuplicateOptions,
) -> pd.DataFrame:
    """Verified near-duplicates."""
    return find_pairs(source, files, [embedding], preparation, options)


def group_files(
    source: SliceSource, files: pd.DataFrame, pairs: pd.DataFrame, options: GroupOptions, split: SplitOptions
) -> tuple[pd.DataFrame, list[str]]:
    """Files with picture, group and final verdict, and what groups were joined by."""
    joined = join_groups(files, pairs, source.groups, options, keep_given_split=split.given == "keep")
    return require_every_class(joined), origins_of_groups(files, source.groups, options)


def prepare_slices(
    source: SliceSource, manifest: pd.DataFrame, options: PreparationOptions
) -> dict[str, Callable[[], Image.Image]]:
    """One lazy slice per accepted picture, by its pixel digest: prepared when saved, so that one is held at a time."""
    files = {file.path: file for file in source.files}

    def prepared(path: str) -> Image.Image:
        return Image.fromarray(prepare_file(files[path].read_bytes(), options))

    rows = accepted(manifest)
    openers = {digest: partial(prepared, path) for digest, path in zip(rows["pixels"], rows["path"], strict=True)}
    return with_progress(openers, "Prepared slices")


def outline_lesions(source: SliceSource, manifest: pd.DataFrame, options: PreparationOptions) -> dict[str, Outline]:
    """Polygons around the lesions that are known, on the prepared slice, by its pixel digest; none of real slices."""
    files = {file.path: file for file in source.files}
    outlines = {}
    rows = accepted(manifest)
    pairs = zip(rows["path"], rows["pixels"], strict=True)
    for path, digest in tqdm(pairs, total=len(rows), desc="Lesion outlines", unit="slice", disable=None):
        if (mask := source.mask_of(path)) is None:
            continue
        decoded = decode(files[path].read_bytes(), options.dicom_window)
        _, placement = prepare_and_place(decoded.pixels, options, decoded.strokes)
        with Image.open(mask) as drawn:
            outlines[digest] = outline(placement.mask(np.asarray(drawn) > 0))
    return outlines


def audit_shortcuts(
    numbers: pd.DataFrame, slices: Partitions, manifest: pd.DataFrame, options: ShortcutOptions, seed: int
) -> tuple[dict[str, Any], pd.DataFrame]:
    """What numbers without anatomy know of the classes, from the files and from the prepared slices."""
    rows = accepted(manifest)
    before = numbers.set_index("path").loc[rows["path"]].reset_index(drop=True)
    read = tqdm(read_slices(slices, rows), total=len(rows), desc="Shortcut audit", unit="slice", disable=None)
    after = pd.DataFrame([trivial.of_prepared(pixels) for pixels in read])
    return shortcuts.audit_shortcuts(before, after, rows, options, seed)


def describe_dataset(
    source: SliceSource,
    manifest: pd.DataFrame,
    pairs: pd.DataFrame,
    numbers: pd.DataFrame,
    shortcut: dict[str, Any],
    joined_by: list[str],
    groups: GroupOptions,
    split: SplitOptions,
) -> dict[str, Any]:
    """Every fact of the dataset card."""
    given = {"remake": "remade", "keep": "kept"}[split.given] if (manifest["given_split"] != "").any() else None
    origin = {
        "source": source.name,
        "synthetic": bool(manifest["synthetic"].any()),
        "version": __version__,
        "given_split": given,
        "joined_by": joined_by,
        "classes_left_out": dict(source.left_out),
        "minimum_groups": groups.minimum,
    }
    return dataset_facts.describe_dataset(manifest, pairs, numbers, shortcut, origin)


def write_dataset_card(source: SliceSource, facts: dict[str, Any], options: PreparationOptions) -> str:
    """The dataset card, with thumbnails of what it shows."""
    needed = dataset_card.needed_thumbnails(facts)
    return dataset_card.render(facts, thumbnails(source, needed, options.dicom_window))


def describe_source(
    source: SliceSource,
    manifest: pd.DataFrame,
    pairs: pd.DataFrame,
    slices: Partitions,
    outlines: dict[str, Outline],
    facts: dict[str, Any],
    scores: pd.DataFrame,
    options: PreparationOptions,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    """Facts about the source that everything made from it must carry; written after all that later pipelines read.

    ``options`` among them are those of this ingestion and its seed, whatever a later run is given.
    """
    return {
        "source": source.name,
        "synthetic": facts["synthetic"],
        "classes": sorted(accepted(manifest)["label"].unique()),
        "files": len(manifest),
        "accepted": len(accepted(manifest)),
        "prepared": len(slices),
        "outlined": len(outlines),
        "warnings": facts["warnings"],
        "few_groups": facts["few_groups"],
        "manifest_digest": manifest_digest(manifest, pairs),
        "audit_digest": audit_digest(facts, scores),
        "preparation": options.to_dict(),
        "options": {"seed": parameters["seed"], "data_ingestion": plain(parameters["data_ingestion"])},
    }


def draw_contact_sheets(slices: Partitions, manifest: pd.DataFrame, provenance: dict[str, Any]) -> dict[str, Figure]:
    """One sheet per class, its slices spread evenly over the manifest."""
    sheets = {}
    for label, rows in accepted(manifest).groupby("label"):
        chosen = rows.iloc[:: max(1, -(-len(rows) // SHEET_SLICES))]
        sheets[str(label)] = figures.contact_sheet(
            list(read_slices(slices, chosen)),
            list(chosen["split"]),
            f"{label}: {len(chosen)} of {len(rows)} pictures as the network sees them",
            synthetic=provenance["synthetic"],
            caution=provenance["few_groups"],
        )
    return sheets

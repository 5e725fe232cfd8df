"""Source to prepared slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from PIL import Image

from lung_tumor.consistency import manifest_digest
from lung_tumor.imaging import PreparationOptions, decode, prepare
from lung_tumor.pipelines import data_ingestion
from lung_tumor.pipelines.data_ingestion import nodes
from lung_tumor.splits import SPLITS, SplitOptions
from tests.support.classifiers import PREPARATION, pixels
from tests.support.manifests import many
from tests.support.pictures import CLASSES, source_of, tiny_source
from tests.support.pipelines import run


def ingest(source: object, seed: int = 1, preparation: PreparationOptions = PREPARATION) -> DataCatalog:
    given = {
        "slice_source": source,
        "params:seed": seed,
        "params:data_ingestion.preparation": preparation,
        "params:data_ingestion.split": SplitOptions(validation=0.25, test=0.25),
    }
    return run(data_ingestion.create_pipeline(), given)


def test_every_file_has_a_row_and_every_class_a_place_in_each_split(ran: DataCatalog) -> None:
    manifest, source = ran.load("manifest"), ran.load("slice_source")
    assert manifest["path"].tolist() == [file.path for file in source.files]
    assert manifest["label"].tolist() == [file.label for file in source.files]
    assert (manifest.groupby("label")["split"].agg(set) == set(SPLITS)).all()


def test_an_exact_copy_stands_in_the_split_of_its_original(ran: DataCatalog) -> None:
    split = ran.load("manifest").set_index("path")["split"]
    for label in ran.load("provenance")["classes"]:
        assert split[f"{label}/copy of 0.bmp"] == split[f"{label}/0.png"]


def test_distinct_pictures_are_prepared_once_and_as_the_library_prepares_them(ran: DataCatalog) -> None:
    manifest, source = ran.load("manifest"), ran.load("slice_source")
    slices = ran.load("prepared_slices")
    assert slices.keys() == set(manifest["pixels"])
    assert len(slices) == len(manifest) - manifest["label"].nunique()
    for file in source.files:
        digest = manifest.set_index("path").loc[file.path, "pixels"]
        expected = prepare(decode(file.read_bytes()).pixels, PREPARATION)
        np.testing.assert_array_equal(np.asarray(slices[digest]()), expected)


def test_provenance_says_what_all_else_is_made_from(ran_two: DataCatalog) -> None:
    provenance = ran_two.load("provenance")
    assert provenance == {
        "source": "made-up slices",
        "synthetic": False,
        "classes": ["adenocarcinoma", "normal"],
        "files": 18,
        "accepted": 18,
        "prepared": len(ran_two.load("prepared_slices")),
        "manifest_digest": manifest_digest(ran_two.load("manifest")),
        "preparation": PREPARATION.to_dict(),
    }
    assert PreparationOptions(**provenance["preparation"]) == PREPARATION


def test_each_class_has_a_contact_sheet_of_its_pictures(ran: DataCatalog) -> None:
    sheets = ran.load("contact_sheets")
    assert sorted(sheets) == ran.load("provenance")["classes"]
    for sheet in sheets.values():
        shown = [axes for axes in sheet.axes if axes.images]
        assert len(shown) == 8
        assert {axes.get_title() for axes in shown} == set(SPLITS)


def test_the_same_seed_gives_the_same_manifest_and_another_seed_another_split(tmp_path: Path) -> None:
    source = tiny_source(tmp_path, CLASSES[:3])
    first, again, other = (ingest(source, seed).load("manifest") for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first.drop(columns="split"), other.drop(columns="split"))
    assert not first["split"].equals(other["split"])


@pytest.mark.parametrize("synthetic", [True, False])
def test_damaged_files_are_set_aside_and_counted(tmp_path: Path, synthetic: bool) -> None:
    good = {file.path: file.read_bytes() for file in tiny_source(tmp_path, CLASSES[:2]).files}
    damaged = {"normal/cut.png": good["normal/1.png"][:-200], "normal/empty.png": b""}
    catalog = ingest(source_of(tmp_path, {**good, **damaged}, synthetic=synthetic))
    manifest = catalog.load("manifest")
    quarantined = manifest[manifest["verdict"] == "quarantined"]
    assert quarantined["path"].tolist() == list(damaged)
    assert (quarantined["split"] == "").all()
    assert (quarantined["reason"] != "").all()
    provenance = catalog.load("provenance")
    assert (provenance["files"], provenance["accepted"], provenance["synthetic"]) == (20, 18, synthetic)
    assert catalog.load("prepared_slices").keys() == set(manifest["pixels"]) - {""}


def test_a_slice_is_read_when_it_is_saved_and_not_before(tmp_path: Path) -> None:
    source = tiny_source(tmp_path, CLASSES[:2])
    manifest = many({"normal": 1}).assign(path="normal/1.png", pixels="p")
    made = nodes.prepare_slices(source, manifest, PREPARATION)
    (tmp_path / "normal/1.png").unlink()
    with pytest.raises(Exception, match=r"normal/1\.png cannot be read"):
        made["p"]()


def test_a_large_class_is_sampled_evenly_for_its_sheet() -> None:
    manifest = many({"normal": 70}).assign(split="training")
    pictures = {digest: Image.fromarray(array) for digest, array in zip(manifest["pixels"], pixels(70), strict=True)}
    slices = {digest: lambda picture=picture: picture for digest, picture in pictures.items()}
    sheet = nodes.draw_contact_sheets(slices, manifest, {"synthetic": True})["normal"]
    shown = [axes.images[0].get_array() for axes in sheet.axes if axes.images]
    # Every third of seventy is the largest even sample of at most 32.
    assert len(shown) == 24
    for array, expected in zip(shown, pixels(70)[::3], strict=True):
        np.testing.assert_array_equal(array, expected)
    assert "24 of 70 pictures" in sheet.get_suptitle()

"""Source to prepared slices."""

from __future__ import annotations

import html
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from PIL import Image
from tqdm import tqdm

from lung_tumor import prepared
from lung_tumor.classes import ClassOptions
from lung_tumor.consistency import audit_digest, manifest_digest
from lung_tumor.groups import GroupOptions
from lung_tumor.imaging import PreparationOptions, decode, prepare
from lung_tumor.lesions import mask_of
from lung_tumor.phantom import PhantomOptions, draw_slice, slice_name
from lung_tumor.pipelines import data_ingestion
from lung_tumor.pipelines.data_ingestion import nodes
from lung_tumor.sources import SourceOptions, open_source
from lung_tumor.splits import SPLITS, SplitOptions
from tests.support.classifiers import PREPARATION, pixels
from tests.support.manifests import manifest_of, many
from tests.support.pictures import CLASSES, encoded, source_of, tiny_source
from tests.support.pipelines import NETWORKS, ingestion_options, pretrained, run


def ingest(source: object, **options: object) -> DataCatalog:
    given = {
        **ingestion_options(**options),
        "slice_source": source,
        "imagenet_weights": pretrained(NETWORKS[2]),
    }
    return run(data_ingestion.create_pipeline(), given)


def test_every_file_has_a_row_and_every_class_a_place_in_each_split(ran: DataCatalog) -> None:
    manifest, source = ran.load("manifest"), ran.load("slice_source")
    assert manifest["path"].tolist() == [file.path for file in source.files]
    assert manifest["label"].tolist() == [file.label for file in source.files]
    assert (manifest.groupby("label")["split"].agg(set) == set(SPLITS)).all()


def test_an_exact_copy_stands_in_the_split_of_its_original(ran: DataCatalog) -> None:
    manifest = ran.load("manifest").set_index("path")
    for label in ran.load("provenance")["classes"]:
        copy, original = f"{label}/copy of 0.bmp", f"{label}/0.png"
        assert manifest.loc[copy, "split"] == manifest.loc[original, "split"] != ""
        assert manifest.loc[original, ["verdict", "copy_of"]].tolist() == ["accepted", ""]
        assert manifest.loc[copy, ["verdict", "copy_of", "fold"]].tolist() == ["duplicate", original, -1]


def test_distinct_pictures_are_prepared_once_and_as_the_library_prepares_them(ran: DataCatalog) -> None:
    manifest, source = ran.load("manifest"), ran.load("slice_source")
    slices = ran.load("prepared_slices")
    assert slices.keys() == set(manifest["pixels"])
    assert len(slices) == len(manifest) - manifest["label"].nunique()
    assert len(slices) == (manifest["verdict"] == "accepted").sum()
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
        "accepted": 16,
        "prepared": 16,
        "outlined": 0,
        "warnings": ran_two.load("audit")["warnings"],
        "few_groups": [f"{label}: 8 independent pictures behind 9 files" for label in ("adenocarcinoma", "normal")],
        "manifest_digest": manifest_digest(ran_two.load("manifest"), ran_two.load("duplicate_pairs")),
        "audit_digest": audit_digest(ran_two.load("audit"), ran_two.load("shortcut_scores")),
        "preparation": PREPARATION.to_dict(),
        "options": provenance["options"],
    }
    assert provenance["options"]["seed"] == 1
    assert provenance["options"]["data_ingestion"]["split"] == {
        "validation": 0.25,
        "test": 0.25,
        "folds": SplitOptions().folds,
        "given": SplitOptions().given,
    }
    assert json.loads(json.dumps(provenance["options"])) == provenance["options"]
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
    first, again, other = (ingest(source, seed=seed).load("manifest") for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    dealt = ["split", "fold"]
    pd.testing.assert_frame_equal(first.drop(columns=dealt), other.drop(columns=dealt))
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
    assert (provenance["files"], provenance["accepted"], provenance["synthetic"]) == (20, 16, synthetic)
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
    sheet = nodes.draw_contact_sheets(slices, manifest, {"synthetic": True, "few_groups": ["normal: few"]})["normal"]
    shown = [axes.images[0].get_array() for axes in sheet.axes if axes.images]
    # Every third of seventy is the largest even sample of at most 32.
    assert len(shown) == 24
    for array, expected in zip(shown, pixels(70)[::3], strict=True):
        np.testing.assert_array_equal(array, expected)
    assert "24 of 70 pictures" in sheet.get_suptitle()
    assert sheet.get_supxlabel() == "normal: few"


# --- The audit -------------------------------------------------------------------------------------------------------

CHESTS = [draw_slice(index, PhantomOptions(slices=24, seed=5)).pixels for index in range(8)]


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> DataCatalog:
    """A data set with every fault: copies, a conflict, damage, a split of its own, folders for one class, patients."""
    one, two, three, *others = CHESTS
    mirrored = np.ascontiguousarray(one[:, ::-1])
    files = {
        "train/normal/1.png": encoded(one),
        "train/normal/2.png": encoded(two),
        "test/normal/1 mirrored.jpg": encoded(mirrored, "JPEG", quality=70),
        "test/adenocarcinoma/2 again.png": encoded(np.ascontiguousarray(two[20:, 30:])),
        "train/adeno_T2_N0/4.png": encoded(others[0]),
        "train/adeno_T2_N0/5.png": encoded(others[1]),
        "test/adenocarcinoma/6.png": encoded(others[2]),
        "test/adenocarcinoma/cut.png": encoded(others[3])[:-400],
        "train/normal/7.png": encoded(others[4]),
        "train/normal/3.png": encoded(three),
        "test/unwanted/1.png": b"never read",
        "test/unwanted/2.png": b"never read",
    }
    root = tmp_path_factory.mktemp("spoiled")
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "groups.csv").write_text("path,group\ntrain/normal/7.png,p\ntrain/normal/3.png,p\n", encoding="utf-8")
    source = open_source(str(root), root / "cache", SourceOptions(), PhantomOptions(), root)
    classes = ClassOptions({"adeno*": "adenocarcinoma", "unwanted": None})
    return ingest(source, classes=classes, groups=GroupOptions(minimum=5))


def test_copies_conflicts_damage_and_groups_are_found_together(spoiled: DataCatalog) -> None:
    rows = spoiled.load("manifest").set_index("path")
    assert len(rows) == 10
    # Equal in size and free of strokes: the first by path stays.
    assert rows.loc["train/normal/1.png", ["verdict", "copy_of"]].tolist() == [
        "duplicate",
        "test/normal/1 mirrored.jpg",
    ]
    conflict = ["train/normal/2.png", "test/adenocarcinoma/2 again.png"]
    assert set(rows.loc[conflict, "verdict"]) == {"quarantined"}
    assert rows.loc[conflict, "picture"].nunique() == 1
    assert rows.loc["test/adenocarcinoma/cut.png", "verdict"] == "quarantined"
    assert rows.loc["train/normal/7.png", "group"] == rows.loc["train/normal/3.png", "group"]
    assert set(rows["label"]) == {"normal", "adenocarcinoma"}
    pairs = spoiled.load("duplicate_pairs")
    assert pairs[["kind", "flipped"]].to_numpy().tolist() == [["copy", False], ["copy", True]]


def test_the_audit_counts_what_the_manifest_says(spoiled: DataCatalog) -> None:
    audit, rows = spoiled.load("audit"), spoiled.load("manifest")
    assert audit["counts"]["total"]["files"] == len(rows)
    assert audit["counts"]["total"]["pictures"] == (rows["verdict"] == "accepted").sum() == 6
    assert audit["counts"]["by_class"]["normal"]["groups"] == 2
    assert audit["origin"]["classes_left_out"] == {"unwanted": 2}
    assert audit["origin"]["given_split"] == "remade"
    assert "groups.csv" in audit["origin"]["joined_by"]
    assert [len(conflict["files"]) for conflict in audit["conflicts"]] == [2]
    [leak] = [row for row in audit["given_split"] if row["label"] == "normal" and row["split"] == "test"]
    assert (leak["leaking"], leak["files"]) == (1, 1)
    assert audit["few_groups"] == [
        "adenocarcinoma: 3 independent pictures behind 3 files",
        "normal: 2 independent pictures behind 4 files",
    ]
    assert json.loads(json.dumps(audit)) == audit


def test_the_card_shows_the_warnings_and_asks_nothing_of_the_network(spoiled: DataCatalog) -> None:
    card = spoiled.load("dataset_card")
    for text in spoiled.load("audit")["warnings"]:
        assert html.escape(text, quote=True) in card or text in card
    assert "http://" not in card.replace("http://www.w3.org", "")
    assert "https://" not in card


def test_brightness_that_tells_the_classes_apart_is_a_warning(ran_two: DataCatalog) -> None:
    shortcuts = ran_two.load("audit")["shortcuts"]
    assert shortcuts["before"]["auc"] == 1.0
    assert shortcuts["warning"] is True
    assert shortcuts["sentence"] in ran_two.load("audit")["warnings"]
    scores = ran_two.load("shortcut_scores")
    assert set(scores["pixels"]) == set(ran_two.load("prepared_slices"))


def test_outlines_of_the_phantoms_masses_lie_where_it_painted_them(tmp_path: Path) -> None:
    options = PreparationOptions(crop_to_body=False, denoise="none", normalise="none")
    phantom = PhantomOptions(slices=2, seed=5)
    source = open_source("phantom:?slices=2&seed=5", tmp_path, SourceOptions(), phantom, tmp_path)
    manifest = manifest_of({"path": file.path, "label": file.label} for file in source.files)
    outlines = nodes.outline_lesions(source, manifest, options)
    truth = {slice_name(index, phantom): draw_slice(index, phantom).mask for index in range(2)}
    for path, digest in zip(manifest["path"], manifest["pixels"], strict=True):
        mask = truth[Path(path).name]
        assert (digest in outlines) == mask.any()
        if mask.any():
            assert mask_of(outlines[digest], 224).mean() == pytest.approx(mask.mean(), abs=0.0006)


def test_the_long_steps_show_how_far_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[tqdm[Any]] = []

    def shown(*given: Any, **options: Any) -> tqdm[Any]:
        bars.append(tqdm(*given, **options | {"disable": False, "file": io.StringIO()}))
        return bars[-1]

    for module in (nodes, prepared):
        monkeypatch.setattr(module, "tqdm", shown)
    catalog = ingest(tiny_source(tmp_path, CLASSES[:2]))
    pictures = len(catalog.load("prepared_slices"))
    for opened in catalog.load("prepared_slices").values():
        opened()
    titles = {"Lesion outlines", "Prepared slices", "Shortcut audit"}
    assert {bar.desc: (bar.n, bar.total) for bar in bars} == dict.fromkeys(titles, (pictures, pictures))
    assert all(bar.disable for bar in bars), "a bar is closed at its end"

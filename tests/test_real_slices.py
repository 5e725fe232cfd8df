"""The audit on the public archive that the project began with, where it lies beside the project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from lung_tumor.audit import audit
from lung_tumor.duplicates import DuplicateOptions
from lung_tumor.groups import GroupOptions, join_groups
from lung_tumor.imaging import PreparationOptions
from lung_tumor.manifest import SPLITS
from lung_tumor.pairs import find_pairs
from lung_tumor.phantom import PhantomOptions
from lung_tumor.settings import PROJECT
from lung_tumor.sources import SliceSource, SourceOptions, open_source
from lung_tumor.splits import SplitOptions, assign_splits, require_disjoint

ARCHIVE = PROJECT.parent / "shared/data/chest-ct"
DICOM = PROJECT.parent / "shared/data/lung-pet-ct-dx"
PREPARATION = PreparationOptions()

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the real slices do not lie beside the project"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SliceSource:
    return open_source(str(ARCHIVE), tmp_path_factory.mktemp("cache"), SourceOptions(), PhantomOptions(), PROJECT)


@pytest.fixture(scope="module")
def looked(source: SliceSource) -> tuple[pd.DataFrame, pd.DataFrame]:
    files, _ = audit(source, PREPARATION)
    return files, find_pairs(source, files, [], PREPARATION, DuplicateOptions())


def test_the_archive_holds_what_was_counted_by_hand(looked: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    files, pairs = looked
    assert (len(files), files["digest"].nunique()) == (343, 249)
    assert set(files["verdict"]) == {"accepted"}
    joined = join_groups(files, pairs, {}, GroupOptions())
    pictures = joined.groupby("label")["picture"].nunique()
    assert 13 <= pictures["normal"] <= 16
    assert 180 <= pictures["adenocarcinoma"] <= 192
    assert not (joined["verdict"] == "quarantined").any()


@pytest.mark.parametrize("seed", range(3))
def test_no_verified_pair_stands_across_splits_or_folds(looked: tuple[pd.DataFrame, pd.DataFrame], seed: int) -> None:
    files, pairs = looked
    manifest = assign_splits(join_groups(files, pairs, {}, GroupOptions()), SplitOptions(), seed)
    assert require_disjoint(manifest, pairs) is manifest
    rows = manifest.set_index("path")
    folds = rows[rows["verdict"] == "accepted"].groupby("group")["fold"].nunique()
    assert (folds == 1).all()
    assert set(rows["split"]) == set(SPLITS)


def test_a_given_split_that_leaks_is_kept_without_what_leaks(
    source: SliceSource, looked: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    files, pairs = looked
    # As published: every third file to test, whatever it shows.
    given = files.assign(given_split=["test" if index % 3 == 0 else "training" for index in range(len(files))])
    joined = join_groups(given, pairs, {}, GroupOptions(), keep_given_split=True)
    manifest = assign_splits(joined, SplitOptions(given="keep"), 1)
    require_disjoint(manifest, pairs)
    normals = manifest[(manifest["label"] == "normal") & (manifest["split"] == "test")]
    assert normals.empty, "every test normal of a random split has a copy in training"
    kept = manifest[(manifest["verdict"] == "accepted") & (manifest["split"] == "test")]
    assert set(kept["given_split"]) == {"test"}
    assert len(kept) > 40


@pytest.mark.skipif(not DICOM.is_dir(), reason="the real DICOM slices do not lie beside the project")
def test_dicom_slices_of_one_patient_are_one_group_of_different_pictures(tmp_path: Path) -> None:
    for path in sorted(DICOM.glob("*.dcm")):
        (tmp_path / path.stem[:5]).mkdir(exist_ok=True)
        # Without suffix, as they leave many an archive.
        shutil.copy(path, tmp_path / path.stem[:5] / path.stem)
    source = open_source(str(tmp_path), tmp_path / "cache", SourceOptions(), PhantomOptions(), tmp_path)
    files, _ = audit(source, PREPARATION)
    joined = join_groups(files, find_pairs(source, files, [], PREPARATION, DuplicateOptions()), {}, GroupOptions())
    assert joined["verdict"].tolist() == ["accepted"] * 12
    assert joined["picture"].nunique() == 12
    assert joined.groupby("group")["label"].agg(["size", "nunique"]).to_numpy().tolist() == [[6, 1], [6, 1]]

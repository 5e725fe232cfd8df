"""Near-duplicates of a source, from files to pairs of paths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lung_tumor.audit import audit
from lung_tumor.duplicates import DuplicateOptions
from lung_tumor.imaging import PreparationOptions
from lung_tumor.pairs import distinct_files, find_pairs, open_pictures
from lung_tumor.phantom import PhantomOptions, draw_slice
from lung_tumor.sources import SliceSource
from tests.support.pictures import encoded, source_of

ONE, TWO, THREE = (draw_slice(index, PhantomOptions(slices=4, seed=5)).pixels for index in range(3))
PREPARATION = PreparationOptions()


@pytest.fixture
def source(tmp_path: Path) -> SliceSource:
    files = {
        "a/1.png": encoded(ONE),
        "a/1 again.bmp": encoded(ONE, "BMP"),
        "a/2.png": encoded(TWO),
        "a/cut.png": encoded(TWO)[:-300],
        "b/0 mirrored.jpg": encoded(np.ascontiguousarray(ONE[:, ::-1]), "JPEG", quality=60),
        "b/3.png": encoded(THREE),
    }
    return source_of(tmp_path, files)


def test_only_the_first_file_of_equal_pixels_is_looked_at(source: SliceSource) -> None:
    rows = distinct_files(audit(source, PREPARATION)[0])
    assert rows["path"].tolist() == ["a/1 again.bmp", "a/2.png", "b/0 mirrored.jpg", "b/3.png"]
    np.testing.assert_array_equal(open_pictures(source, rows, PREPARATION)[1](), TWO)


def test_a_mirrored_and_recoded_copy_is_found_and_named_by_its_path(source: SliceSource) -> None:
    pairs = find_pairs(source, audit(source, PREPARATION)[0], [], PREPARATION, DuplicateOptions())
    assert pairs[["first", "second", "kind"]].to_numpy().tolist() == [["a/1 again.bmp", "b/0 mirrored.jpg", "copy"]]
    assert bool(pairs.loc[0, "flipped"])
    assert pairs.loc[0, "correlation"] > 0.9


def test_a_source_without_copies_has_no_pairs_but_all_columns(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"a/1.png": encoded(ONE), "b/2.png": encoded(TWO)})
    pairs = find_pairs(source, audit(source, PREPARATION)[0], [], PREPARATION, DuplicateOptions())
    assert pairs.empty
    assert {"first", "second", "kind", "flipped", "correlation"} <= set(pairs.columns)

"""Every file gets a row and a verdict."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lung_tumor.audit import audit
from lung_tumor.errors import SourceError
from lung_tumor.imaging import PreparationOptions
from lung_tumor.manifest import accepted
from tests.support.manifests import manifest_of
from tests.support.pictures import encoded, source_of, speckled

ONE, TWO, THREE, FOUR = (speckled(120, seed) for seed in range(4))


def by_path(manifest: pd.DataFrame) -> dict[str, dict[str, object]]:
    return manifest.set_index("path").to_dict("index")  # type: ignore[return-value]


def test_a_readable_file_is_accepted_with_its_facts(tmp_path: Path) -> None:
    content = encoded(ONE, "BMP")
    rows = by_path(audit(source_of(tmp_path, {"a/1.png": content, "b/2.png": encoded(TWO)}), PreparationOptions()))
    row = rows["a/1.png"]
    assert {key: row[key] for key in ("label", "verdict", "reason", "format", "mode", "width", "height")} == {
        "label": "a",
        "verdict": "accepted",
        "reason": "",
        "format": "BMP",
        "mode": "L",
        "width": 44,
        "height": 40,
    }
    assert row["digest"] == hashlib.sha256(content).hexdigest()
    assert row["pixels"] == hashlib.sha256(b"44x40:" + ONE.tobytes()).hexdigest()


def test_exact_copies_share_a_group_whatever_their_format_and_name(tmp_path: Path) -> None:
    files = {
        "a/1.png": encoded(ONE),
        "a/1 - Copy.bmp": encoded(ONE, "BMP"),
        "a/2.png": encoded(TWO),
        "b/3.png": encoded(THREE),
    }
    rows = by_path(audit(source_of(tmp_path, files), PreparationOptions()))
    assert rows["a/1.png"]["group"] == rows["a/1 - Copy.bmp"]["group"]
    assert rows["a/1.png"]["digest"] != rows["a/1 - Copy.bmp"]["digest"]
    assert len({row["group"] for row in rows.values()}) == 3


def test_the_same_bytes_in_another_shape_are_another_picture(tmp_path: Path) -> None:
    files = {"a/1.png": encoded(ONE), "a/2.png": encoded(ONE.reshape(44, 40)), "b/3.png": encoded(TWO)}
    rows = by_path(audit(source_of(tmp_path, files), PreparationOptions()))
    assert rows["a/1.png"]["pixels"] != rows["a/2.png"]["pixels"]


def test_a_picture_under_two_labels_is_quarantined_under_both(tmp_path: Path) -> None:
    files = {
        "a/1.png": encoded(ONE),
        "a/2.png": encoded(TWO),
        "b/same.bmp": encoded(ONE, "BMP"),
        "b/3.png": encoded(THREE),
    }
    rows = by_path(audit(source_of(tmp_path, files), PreparationOptions()))
    assert {path for path, row in rows.items() if row["verdict"] == "quarantined"} == {"a/1.png", "b/same.bmp"}
    assert (
        rows["a/1.png"]["reason"] == rows["b/same.bmp"]["reason"] == "the same picture stands under another label too"
    )


def test_unreadable_files_get_a_verdict_and_a_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {
        "a/1.png": encoded(ONE),
        "a/cut.png": encoded(TWO)[:-300],
        "a/empty.png": b"",
        "a/gone.png": None,
        "a/text.png": b"no picture",
        "b/2.png": encoded(THREE),
        "b/blank.png": encoded(np.zeros((64, 64), np.uint8)),
    }
    manifest = audit(source_of(tmp_path, files), PreparationOptions())  # type: ignore[arg-type]
    rows = by_path(manifest)
    assert manifest["path"].tolist() == sorted(files)
    assert accepted(manifest)["path"].tolist() == ["a/1.png", "b/2.png"]
    assert "cut short" in rows["a/cut.png"]["reason"]
    assert rows["a/empty.png"]["reason"] == "the file is empty"
    assert "cannot be read" in rows["a/gone.png"]["reason"]
    assert "not a picture" in rows["a/text.png"]["reason"]
    assert "blank" in rows["b/blank.png"]["reason"]
    assert rows["a/text.png"]["digest"] == hashlib.sha256(b"no picture").hexdigest()
    assert rows["a/text.png"]["pixels"] == ""
    assert "5 of 7 files quarantined" in caplog.text


def test_a_class_left_without_a_slice_is_an_error_with_the_commonest_reason(tmp_path: Path) -> None:
    files = {"a/1.png": encoded(ONE), "a/bad.png": b"", "b/2.png": b"text", "b/3.png": b"text", "b/4.png": b""}
    with pytest.raises(SourceError, match=r"class 'b' has no file that can be used \(3 quarantined; .*not a picture"):
        audit(source_of(tmp_path, files), PreparationOptions())


def test_a_class_emptied_by_conflicting_labels_is_an_error(tmp_path: Path) -> None:
    files = {"a/1.png": encoded(ONE), "b/2.png": encoded(ONE), "b/3.png": encoded(TWO)}
    with pytest.raises(SourceError, match=r"class 'a' .*the same picture stands under another label too"):
        audit(source_of(tmp_path, files), PreparationOptions())


@pytest.mark.parametrize("synthetic", [True, False])
def test_rows_say_whether_they_are_synthetic(tmp_path: Path, synthetic: bool) -> None:
    source = source_of(tmp_path, {"a/1.png": encoded(ONE), "b/2.png": encoded(TWO)}, synthetic=synthetic)
    assert audit(source, PreparationOptions())["synthetic"].tolist() == [synthetic] * 2


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"a/1.png": encoded(ONE), "a/2.png": encoded(TWO), "b/3.png": encoded(THREE)})
    backwards = replace(source, files=source.files[::-1])
    pd.testing.assert_frame_equal(audit(source, PreparationOptions()), audit(backwards, PreparationOptions()))


def test_accepted_rows_can_be_narrowed_to_one_split() -> None:
    manifest = manifest_of(
        [
            {"path": "1", "label": "a", "split": "training"},
            {"path": "2", "label": "a", "split": "", "verdict": "quarantined"},
            {"path": "3", "label": "a", "split": "test"},
        ]
    )
    assert accepted(manifest)["path"].tolist() == ["1", "3"]
    assert accepted(manifest, "test").to_dict("index")[0]["path"] == "3"

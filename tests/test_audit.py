"""Every file gets a row and a verdict."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lung_tumor.audit import audit, require_every_class
from lung_tumor.errors import SourceError
from lung_tumor.imaging import PreparationOptions
from lung_tumor.manifest import accepted
from lung_tumor.sources import SliceSource
from tests.support.dicom_files import dataset_of, ramp, written
from tests.support.manifests import manifest_of
from tests.support.pictures import encoded, source_of, speckled

ONE, TWO, THREE, FOUR = (speckled(120, seed) for seed in range(4))


def look(source: SliceSource) -> pd.DataFrame:
    return audit(source, PreparationOptions())[0]


def by_path(manifest: pd.DataFrame) -> dict[str, dict[str, object]]:
    return manifest.set_index("path").to_dict("index")  # type: ignore[return-value]


def test_a_readable_file_is_accepted_with_its_facts(tmp_path: Path) -> None:
    content = encoded(ONE, "BMP")
    rows = by_path(look(source_of(tmp_path, {"a/1.png": content, "b/2.png": encoded(TWO)})))
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


def test_exact_copies_have_equal_pixels_whatever_their_format_and_name(tmp_path: Path) -> None:
    files = {
        "a/1.png": encoded(ONE),
        "a/1 - Copy.bmp": encoded(ONE, "BMP"),
        "a/2.png": encoded(TWO),
        "b/3.png": encoded(THREE),
    }
    rows = by_path(look(source_of(tmp_path, files)))
    assert rows["a/1.png"]["pixels"] == rows["a/1 - Copy.bmp"]["pixels"]
    assert rows["a/1.png"]["digest"] != rows["a/1 - Copy.bmp"]["digest"]
    assert len({row["pixels"] for row in rows.values()}) == 3


def test_the_same_bytes_in_another_shape_are_another_picture(tmp_path: Path) -> None:
    files = {"a/1.png": encoded(ONE), "a/2.png": encoded(ONE.reshape(44, 40)), "b/3.png": encoded(TWO)}
    rows = by_path(look(source_of(tmp_path, files)))
    assert rows["a/1.png"]["pixels"] != rows["a/2.png"]["pixels"]


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
    manifest = look(source_of(tmp_path, files))  # type: ignore[arg-type]
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
    assert require_every_class(manifest) is manifest
    assert "5 of 7 files quarantined" in caplog.text


def test_a_class_left_without_a_slice_is_an_error_with_the_commonest_reason(tmp_path: Path) -> None:
    files = {"a/1.png": encoded(ONE), "a/bad.png": b"", "b/2.png": b"text", "b/3.png": b"text", "b/4.png": b""}
    with pytest.raises(SourceError, match=r"class 'b' has no file that can be used \(3 quarantined; .*not a picture"):
        require_every_class(look(source_of(tmp_path, files)))


def test_a_source_without_a_single_picture_is_looked_at_to_the_end(tmp_path: Path) -> None:
    files, numbers = audit(source_of(tmp_path, {"a/1.png": b"", "b/2.png": b"text"}), PreparationOptions())
    assert files["verdict"].tolist() == ["quarantined"] * 2
    assert numbers.empty


def test_readable_files_come_with_their_trivial_numbers(tmp_path: Path) -> None:
    content = encoded(ONE)
    files = {"a/1.png": content, "a/bad.png": b"", "b/2.png": encoded(TWO)}
    numbers = audit(source_of(tmp_path, files), PreparationOptions())[1].set_index("path")
    assert numbers.index.tolist() == ["a/1.png", "b/2.png"]
    assert numbers.loc["a/1.png", ["width", "height", "bytes"]].tolist() == [44, 40, len(content)]
    assert numbers.loc["a/1.png", "mean"] == pytest.approx(ONE.mean(), abs=0.01)


def test_slices_of_one_patient_have_equal_digests_that_no_other_call_repeats(tmp_path: Path) -> None:
    files = {
        f"{label}/{number}.dcm": written(
            dataset_of(ramp(48, 64 + number), PatientID=patient, StudyInstanceUID=f"1.2.{study}")
        )
        for number, (label, patient, study) in enumerate((("a", "Anna", 1), ("a", "Anna", 2), ("b", "Bert", 2)))
    }
    source = source_of(tmp_path, files)
    one, other = look(source), look(source)
    patients, studies = one["patient"].tolist(), one["study"].tolist()
    assert patients[0] == patients[1] != patients[2]
    assert studies[0] != studies[1] == studies[2]
    assert set(one["patient"]) & set(other["patient"]) == set()
    assert "Anna" not in one.to_csv()


def test_files_keep_the_split_that_their_folder_names(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"a/1.png": encoded(ONE), "b/2.png": encoded(TWO)})
    given = replace(source, files=tuple(replace(file, given_split="test") for file in source.files))
    assert look(given)["given_split"].tolist() == ["test", "test"]


@pytest.mark.parametrize("synthetic", [True, False])
def test_rows_say_whether_they_are_synthetic(tmp_path: Path, synthetic: bool) -> None:
    source = source_of(tmp_path, {"a/1.png": encoded(ONE), "b/2.png": encoded(TWO)}, synthetic=synthetic)
    assert look(source)["synthetic"].tolist() == [synthetic] * 2


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"a/1.png": encoded(ONE), "a/2.png": encoded(TWO), "b/3.png": encoded(THREE)})
    backwards = replace(source, files=source.files[::-1])
    pd.testing.assert_frame_equal(look(source), look(backwards))
    pd.testing.assert_frame_equal(audit(source, PreparationOptions())[1], audit(backwards, PreparationOptions())[1])


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

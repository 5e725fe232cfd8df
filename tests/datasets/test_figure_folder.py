"""A folder of figures."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from lung_tumor.datasets.figure_folder import FigureFolderDataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "08_reporting" / "contact_sheets"


@pytest.fixture
def dataset(folder: Path) -> FigureFolderDataset:
    return FigureFolderDataset(filepath=str(folder))


def figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=50)


def size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        return picture.size


def test_every_figure_becomes_a_png_of_its_name(dataset: FigureFolderDataset) -> None:
    assert not dataset.exists()
    dataset.save({"normal": figure(2, 1), "adenocarcinoma": figure(1, 3)})
    assert dataset.exists()
    loaded = dataset.load()
    assert {name: size(png) for name, png in loaded.items()} == {
        "adenocarcinoma.png": (50, 150),
        "normal.png": (100, 50),
    }
    assert list(loaded) == sorted(loaded)


def test_figures_of_an_earlier_run_go_and_other_files_stay(dataset: FigureFolderDataset, folder: Path) -> None:
    dataset.save({"normal": figure(1, 1), "benign": figure(1, 1)})
    (folder / "notes.txt").write_text("mine")
    dataset.save({"normal": figure(2, 2)})
    assert sorted(path.name for path in folder.iterdir()) == ["normal.png", "notes.txt"]
    assert size(dataset.load()["normal.png"]) == (100, 100)


def test_no_class_name_leaves_the_folder(dataset: FigureFolderDataset, folder: Path) -> None:
    dataset.save({"../../outside": figure(1, 1), "large cell": figure(1, 1), "stage 1/2": figure(1, 1)})
    assert sorted(dataset.load()) == ["%2E%2E%2F%2E%2E%2Foutside.png", "large cell.png", "stage 1%2F2.png"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_names_longer_than_a_file_system_takes_stay_apart(dataset: FigureFolderDataset) -> None:
    dataset.save({"ж" * 100: figure(1, 1), "ж" * 101: figure(1, 1)})
    assert len(dataset.load()) == 2


def test_what_a_killed_run_left_behind_is_no_figure(dataset: FigureFolderDataset, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".normal.part.png").write_bytes(b"half")
    assert not dataset.exists()
    dataset.save({"normal": figure(1, 1)})
    assert list(dataset.load()) == ["normal.png"]


def test_the_preview_stacks_all_figures(dataset: FigureFolderDataset) -> None:
    dataset.save({"a": figure(2, 1), "b": figure(1, 3)})
    assert size(base64.b64decode(dataset.preview())) == (100, 50 + 150)


def test_the_preview_of_nothing_is_still_a_picture(dataset: FigureFolderDataset) -> None:
    assert size(base64.b64decode(dataset.preview())) == (1, 1)


def test_it_says_where_it_is(dataset: FigureFolderDataset, folder: Path) -> None:
    assert str(folder) in str(dataset)

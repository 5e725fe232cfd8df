"""The source in the catalog: what Kedro sees of it, and the `drive` environment over the stand-in for Google Drive."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.cli.utils import _split_params
from kedro.io import DataCatalog, DatasetError

from lung_tumor.datasets.slice_source import SliceSourceDataset
from lung_tumor.settings import PROJECT
from tests.support.google_drive import Drive, serve_drive
from tests.support.slice_files import LISTED, TWO_CLASSES, visible, write_folder, zipped

ARCHIVE_ID = "1z0mreUtRmR-P-magILsDR3T7M6IkGXtY"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "01_raw"


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    with serve_drive(tmp_path, monkeypatch) as drive:
        drive.content = zipped(TWO_CLASSES)
        yield drive


def catalog_of(cache: Path, **config: Any) -> DataCatalog:
    kind = "lung_tumor.datasets.slice_source.SliceSourceDataset"
    return DataCatalog.from_config({"slice_source": {"type": kind, "filepath": str(cache), **config}})


def from_command_line(text: str) -> Any:
    """What `kedro run --params source=…` makes of its value."""
    context = click.Context(click.Command("run"))
    parameter = click.Option(["--params"])
    return _split_params(context, parameter, f"source={text}")["source"]


def test_the_drive_environment_opens_the_public_archive(google: Drive, cache: Path) -> None:
    loader = OmegaConfigLoader(str(PROJECT / "conf"), base_env="base", default_run_env="local", env="drive")
    catalog = catalog_of(cache, uri=loader["globals"]["source"], options={"timeout_s": 5})
    source = catalog.load("slice_source")
    assert source.name == f"drive:{ARCHIVE_ID}"
    assert [(file.path, file.label) for file in source.files] == LISTED
    assert source.classes == ("adenocarcinoma", "normal")
    assert google.requests[0] == f"drive.google.com/uc?id={ARCHIVE_ID}"
    asked = len(google.requests)
    assert catalog.load("slice_source") == source
    assert len(google.requests) == asked


def test_a_failure_is_one_clear_message(google: Drive, cache: Path) -> None:
    google.manner = "private"
    with pytest.raises(DatasetError) as caught:
        catalog_of(cache, uri=f"drive:{ARCHIVE_ID}", options={"retries": 0}).load("slice_source")
    assert str(caught.value).startswith(f"slice_source: drive:{ARCHIVE_ID} is private; ask its owner")
    assert "\n" not in str(caught.value)
    assert visible(cache) == []


def test_the_phantom_options_reach_the_phantom(cache: Path) -> None:
    source = catalog_of(cache, uri="phantom:", phantom={"slices": 2, "mass_mm": [30, 40], "seed": 5}).load(
        "slice_source"
    )
    assert source.synthetic
    assert source.name == "phantom: 2 slices, seed 5 (synthetic)"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"options": {"timout_s": 5}}, "unknown source_options: timout_s; known are timeout_s, retries"),
        ({"phantom": {"slice": 5}}, "unknown phantom: slice; known are slices"),
        ({"options": {"timeout_s": -1}}, "source_options.timeout_s must be a number of seconds above 0, received -1"),
        ({"phantom": {"slices": 0}}, "phantom.slices must be at least 2"),
        ({"uri": None}, "source must be text, received None"),
        ({"uri": 12345678901234567890123456}, "source must be text"),
    ],
)
def test_a_misspelt_option_fails_before_anything_runs(cache: Path, config: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        catalog_of(cache, **{"uri": "phantom:", **config}).load("slice_source")


def test_a_source_is_read_only(cache: Path) -> None:
    with pytest.raises(DatasetError, match="read only"):
        catalog_of(cache, uri="phantom:").save("slice_source", "anything")


def test_no_description_shows_credentials(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("kedro", "lung_tumor"):
        caplog.set_level(logging.DEBUG, name)
    uri = "memory://user:hidden@bucket/none.zip?token=hidden"
    catalog = catalog_of(cache, uri=uri)
    dataset = SliceSourceDataset(uri=uri, filepath=str(cache))
    with pytest.raises(DatasetError) as caught:
        catalog.load("slice_source")
    shown = f"{dataset} {dataset!r} {catalog} {caught.value} {caplog.text}"
    assert "memory://bucket/none.zip" in shown
    assert "hidden" not in shown


def test_what_needs_no_network_exists(cache: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", ["a/1.png", "b/1.png"])
    assert catalog_of(cache, uri="phantom:").exists("slice_source")
    assert catalog_of(cache, uri=str(folder)).exists("slice_source")
    assert not catalog_of(cache, uri=str(tmp_path / "none")).exists("slice_source")
    assert not catalog_of(cache, uri=f"drive:{ARCHIVE_ID}").exists("slice_source")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("phantom:", "phantom:"),
        ("phantom:?slices=100&seed=7&mass_mm=20-60", "phantom:"),
        (f"drive:{ARCHIVE_ID}", f"drive:{ARCHIVE_ID}"),
        (f"https://drive.google.com/file/d/{ARCHIVE_ID}/view?usp=sharing", "https://drive.google.com/file/d/"),
        ("s3://bucket/slices.zip", "s3://bucket/slices.zip"),
        ("https://host/a.zip?x=1&y=a=b", "https://host/a.zip"),
        ("~/chest ct", "…/chest ct"),
    ],
)
def test_the_command_line_carries_every_form_of_source(cache: Path, typed: str, shown: str) -> None:
    dataset = SliceSourceDataset(uri=from_command_line(typed), filepath=str(cache))
    assert dataset._describe()["uri"].startswith(shown)
    assert dataset._uri == typed

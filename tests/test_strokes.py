"""Colour: marks that are filled, and pictures that are no slices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from lung_tumor.errors import SliceError
from lung_tumor.imaging import PreparationOptions, decode, prepare
from lung_tumor.phantom import PhantomOptions, draw_slice
from lung_tumor.strokes import fill_strokes, find_strokes
from tests.support.pictures import encoded, speckled

SAMPLES = Path(mpl.get_data_path()) / "sample_data"
CLEAN = draw_slice(0, PhantomOptions(slices=2)).pixels
REAL = Path(__file__).parents[1] / "../shared/data/chest-ct"


def in_colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=-1)


def marked(thickness: int = 5, colour: tuple[int, int, int] = (255, 40, 20)) -> tuple[np.ndarray, np.ndarray]:
    """The phantom with a coloured cross over the lungs, and where the cross is."""
    strokes = np.zeros(CLEAN.shape, dtype=bool)
    strokes[240 : 240 + thickness, 120:400] = True
    strokes[150:330, 200 : 200 + thickness] = True
    picture = in_colour(CLEAN)
    picture[strokes] = colour
    return picture, strokes


def photographs() -> list[tuple[str, np.ndarray]]:
    figure, axes = plt.subplots()
    axes.imshow(np.random.default_rng(0).normal(size=(30, 30)).cumsum(axis=0))
    figure.canvas.draw()
    heat_map = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
    plt.close(figure)
    figure, axes = plt.subplots()
    axes.plot(np.random.default_rng(0).normal(size=(200, 2)).cumsum(axis=0))
    figure.canvas.draw()
    plot = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
    plt.close(figure)
    return [
        ("china", load_sample_image("china.jpg")),
        ("flower", load_sample_image("flower.jpg")),
        ("portrait", np.asarray(Image.open(SAMPLES / "grace_hopper.jpg").convert("RGB"))),
        ("heat map", heat_map),
        ("line plot", plot),
    ]


@pytest.mark.parametrize(("name", "picture"), photographs(), ids=lambda value: value if isinstance(value, str) else "")
def test_photographs_and_plots_are_refused(name: str, picture: np.ndarray) -> None:
    with pytest.raises(SliceError, match=r"not greyscale-like, \d+\.\d% of it is clearly coloured; give CT slices"):
        decode(encoded(picture))


def test_a_photograph_without_its_colours_is_decoded() -> None:
    decoded = decode(encoded(Image.fromarray(load_sample_image("flower.jpg")).convert("L").convert("RGB")))
    assert decoded.coloured == 0.0
    assert decoded.strokes is None


@pytest.mark.parametrize(("rows", "refused"), [(10, False), (11, True)])
def test_a_slice_may_be_coloured_up_to_a_tenth(rows: int, refused: bool) -> None:
    picture = in_colour(speckled(90, 1, 100, 100))
    picture[:rows] = (200, 20, 20)
    if refused:
        with pytest.raises(SliceError, match=r"11\.0% of it"):
            decode(encoded(picture))
    else:
        assert decode(encoded(picture)).coloured == 0.1


def test_strokes_are_found_where_they_are() -> None:
    picture, strokes = marked()
    decoded = decode(encoded(picture))
    assert decoded.strokes is not None
    np.testing.assert_array_equal(decoded.strokes, strokes)
    assert decoded.coloured == strokes.mean()


def test_chroma_noise_of_jpeg_is_no_colour() -> None:
    noisy = speckled(120, 3, 256, 256).astype(int)
    tinted = np.stack([noisy + 6, noisy, noisy - 6], axis=-1).clip(0, 255).astype(np.uint8)
    for quality in (20, 60, 95):
        decoded = decode(encoded(tinted, "JPEG", quality=quality))
        assert decoded.coloured == 0.0
        assert decoded.strokes is None


def test_stray_coloured_pixels_are_no_strokes() -> None:
    picture = in_colour(speckled(90, 1, 100, 100))
    picture[::9, ::9] = (255, 0, 0)
    share, strokes = find_strokes(picture)
    assert share == pytest.approx(144 / 10_000)
    assert strokes is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_filling_brings_the_slice_back_where_the_strokes_were(kind: str) -> None:
    picture, strokes = marked()
    decoded = decode(encoded(picture, kind))
    options = PreparationOptions(crop_to_body=False, denoise="none", normalise="none")
    there = prepare(strokes * np.uint8(255), options) > 0
    clean = prepare(CLEAN, options).astype(int)
    filled, kept = (
        np.abs(prepare(decoded.pixels, one, decoded.strokes) - clean)[there].mean()
        for one in (options, replace(options, suppress_strokes=False))
    )
    assert kept > 25
    assert filled < 0.4 * kept


def test_filling_changes_nothing_away_from_the_strokes_and_keeps_its_input() -> None:
    strokes = np.zeros((128, 128), dtype=bool)
    strokes[60:64, 20:100] = True
    pixels = speckled(100, 2, 128, 128)
    pixels[strokes] = 255
    before = pixels.copy()
    filled = fill_strokes(pixels, strokes)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(filled[:57], pixels[:57])
    np.testing.assert_array_equal(filled[67:], pixels[67:])
    assert np.abs(filled[strokes].astype(int) - 100).max() < 15


def test_strokes_on_a_huge_scan_are_filled_on_the_bounded_copy() -> None:
    big = np.kron(CLEAN, np.ones((4, 4), dtype=np.uint8))
    strokes = np.kron(marked()[1], np.ones((4, 4), dtype=bool))
    big[strokes] = 255
    filled, expected = prepare(big, PreparationOptions(), strokes), prepare(CLEAN, PreparationOptions())
    assert np.abs(filled.astype(int) - expected).mean() < 4


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="no real slices here")
def test_no_real_slice_is_refused_for_its_colours() -> None:
    shares = [decode(path.read_bytes()).coloured for path in REAL.glob("*/*")]
    assert len(shares) == 343
    assert sum(share > 0 for share in shares) == 27
    assert max(shares) < 0.004

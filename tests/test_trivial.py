"""Trivial numbers of pictures drawn by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lung_tumor.imaging import DecodedSlice, PreparationOptions, decode, prepare
from lung_tumor.trivial import PERCENTILES, in_words, of_file, of_prepared


def quarters() -> np.ndarray:
    """Four equal quarters of grey 0, 40, 80 and 240, (64, 64)."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:32, 32:], pixels[32:, :32], pixels[32:, 32:] = 40, 80, 240
    return pixels


def test_numbers_worked_by_hand() -> None:
    found = of_prepared(quarters())
    assert found["mean"] == 90.0
    assert found["deviation"] == pytest.approx(np.sqrt((90**2 + 50**2 + 10**2 + 150**2) / 4))
    assert [found[f"percentile_{share}"] for share in PERCENTILES] == [0, 0, 0, 40, 80, 240, 240]
    assert found["black_share"] == 0.25
    assert [found[f"thumb_{place}"] for place in ("00", "07", "31", "32", "56", "63")] == [0, 40, 40, 80, 80, 240]


def test_numbers_of_noise_are_those_of_numpy() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (300, 200)).astype(np.uint8)
    found = of_prepared(pixels)
    assert found["mean"] == pytest.approx(pixels.mean())
    assert found["deviation"] == pytest.approx(pixels.std())
    assert found["black_share"] == (pixels <= 10).mean()
    expected = np.percentile(pixels, PERCENTILES, method="inverted_cdf")
    assert [found[f"percentile_{share}"] for share in PERCENTILES] == expected.tolist()


def test_a_thumbnail_averages_whole_cells() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (64, 128)).astype(np.uint8)
    cells = pixels.reshape(8, 8, 8, 16).mean(axis=(1, 3)).ravel()
    found = of_prepared(pixels)
    assert [found[f"thumb_{place:02d}"] for place in range(64)] == pytest.approx(cells.tolist(), abs=0.51)


def test_a_file_adds_its_size_and_kind() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(quarters()[:, :48, None], 3, axis=2)).save(buffer, "PNG")
    decoded = decode(buffer.getvalue())
    found = of_file(len(buffer.getvalue()), decoded)
    assert found | of_prepared(decoded.pixels) == found
    assert {name: found[name] for name in ("width", "height", "aspect", "bytes", "mode", "format")} == {
        "width": 48,
        "height": 64,
        "aspect": 0.75,
        "bytes": len(buffer.getvalue()),
        "mode": "RGB",
        "format": "PNG",
    }


def test_every_picture_has_the_same_numbers_in_the_same_order() -> None:
    one = of_file(10, DecodedSlice(quarters(), "PNG", "L"))
    other = of_file(20, DecodedSlice(np.full((32, 4000), 255, np.uint8), "DICOM", "MONOCHROME1"))
    assert list(one) == list(other)
    assert list(of_prepared(prepare(quarters(), PreparationOptions()))) == list(of_prepared(quarters()))


def test_every_number_has_words_of_its_own() -> None:
    names = [name for name, value in of_file(10, DecodedSlice(quarters(), "PNG", "L")).items() if value != str(value)]
    words = [in_words(name) for name in names]
    assert len(set(words)) == len(names) == 78
    assert in_words("percentile_1") == "the 1st percentile of the grey values"
    assert in_words("thumb_10") == "the brightness in row 2, column 3 of an 8×8 thumbnail"


@pytest.mark.parametrize("name", ["mode", "tumour", "thumb_64", "thumb_99", "percentile_"])
def test_a_number_that_does_not_exist_has_no_words(name: str) -> None:
    with pytest.raises(ValueError, match=f"there is no trivial number called '{name}'"):
        in_words(name)

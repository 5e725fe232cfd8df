"""From bytes to prepared pixels."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from lung_tumor import imaging
from lung_tumor.body import find_body
from lung_tumor.errors import SliceError
from lung_tumor.imaging import (
    PreparationOptions,
    crop_to_body,
    decode,
    prepare,
    prepare_and_place,
    to_network_input,
)
from lung_tumor.phantom import PhantomOptions, draw_slice
from tests.support.pictures import disc, encoded, gradient, png_claiming, speckled

AS_IT_IS = PreparationOptions(size=64, crop_to_body=False, denoise="none", normalise="none")


def two_tone(mode: str, left: object, right: object) -> Image.Image:
    """Left half one colour, right half another, 64 x 48."""
    picture = Image.new(mode, (64, 48), left)
    picture.paste(right, (32, 0, 64, 48))
    return picture


# --- Decoding --------------------------------------------------------------------------------------------------------

# Luma is 0.299 R + 0.587 G + 0.114 B: (140, 119, 110) gives 124.3 and (80, 90, 112) gives 89.5; a slight tint is no colour.
GREY, PALE = (80, 90, 112), (140, 119, 110)


@pytest.mark.parametrize(
    ("mode", "left", "right", "kind", "expected"),
    [
        ("L", 17, 201, "PNG", (17, 201)),
        ("L", 17, 201, "BMP", (17, 201)),
        ("L", 17, 201, "TIFF", (17, 201)),
        ("LA", (17, 0), (201, 90), "PNG", (17, 201)),
        ("RGB", GREY, PALE, "PNG", (90, 124)),
        ("RGBA", (*GREY, 0), (*PALE, 90), "PNG", (90, 124)),
        ("1", 0, 1, "PNG", (0, 255)),
        ("I;16", 1000, 40000, "PNG", (0, 255)),
        ("I;16B", 1000, 40000, "TIFF", (0, 255)),
        ("F", -600.0, 250.5, "TIFF", (0, 255)),
    ],
)
def test_every_mode_becomes_grey_without_blending(
    mode: str, left: object, right: object, kind: str, expected: tuple[int, int]
) -> None:
    decoded = decode(encoded(two_tone(mode, left, right), kind))
    assert decoded.pixels.shape == (48, 64)
    assert decoded.pixels.dtype == np.uint8
    assert (decoded.pixels[:, :32] == expected[0]).all()
    assert (decoded.pixels[:, 32:] == expected[1]).all()
    assert (decoded.format, decoded.mode) == (kind, mode)


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80"])
def test_a_palette_is_looked_up_and_its_transparency_ignored(transparency: int | bytes | None) -> None:
    picture = two_tone("P", 0, 1)
    picture.putpalette([*GREY, *PALE])
    options = {} if transparency is None else {"transparency": transparency}
    decoded = decode(encoded(picture, **options))
    assert decoded.mode == "P"
    assert set(decoded.pixels[:, :32].flat) == {90}
    assert set(decoded.pixels[:, 32:].flat) == {124}


def test_a_cmyk_jpeg_keeps_dark_dark_and_bright_bright() -> None:
    decoded = decode(encoded(two_tone("CMYK", (0, 0, 0, 230), (0, 0, 0, 20)), "JPEG", quality=95))
    assert (decoded.format, decoded.mode) == ("JPEG", "CMYK")
    assert decoded.pixels[:, :24].mean() == pytest.approx(25, abs=3)
    assert decoded.pixels[:, 40:].mean() == pytest.approx(235, abs=3)


def test_the_container_is_read_from_the_content() -> None:
    pixels = gradient()
    jpeg = decode(encoded(pixels, "JPEG", quality=95))
    assert (jpeg.format, jpeg.mode) == ("JPEG", "L")
    assert np.abs(jpeg.pixels.astype(int) - pixels).max() <= 12


def test_sixteen_bit_greys_are_stretched_linearly_between_their_extremes() -> None:
    values = np.linspace(500, 4595, 64 * 64).astype(np.uint16).reshape(64, 64)
    expected = np.rint((values.astype(float) - 500) * 255 / 4095)
    np.testing.assert_array_equal(decode(encoded(values)).pixels, expected)


def test_of_several_frames_the_first_is_taken() -> None:
    first, second = two_tone("L", 0, 200), two_tone("L", 200, 0)
    content = encoded(first, "GIF", save_all=True, append_images=[second])
    assert decode(content).pixels[0, 0] < decode(content).pixels[0, -1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"patient;label\n1;normal\n", "not a picture that can be read; use PNG, JPEG"),
        (encoded(gradient(), "PPM"), "not a picture that can be read"),
        (encoded(speckled(128, 1))[:-400], "damaged or cut short"),
        (encoded(gradient(), "JPEG")[:-300], "damaged or cut short"),
        (encoded(gradient(48, 31)), "31x48 pixels; both sides must be at least 32"),
        (encoded(gradient(31, 48)), "48x31 pixels; both sides must be at least 32"),
        (png_claiming(4096, 4097), "4096x4097 pixels; at most 16,777,216 are read"),
        (png_claiming(60_000, 60_000), "60000x60000 pixels; at most|exceeds limit"),
        (encoded(np.full((64, 64), 90, np.uint8)), "blank"),
        (encoded(np.full((64, 64), 90, np.uint16)), "blank"),
        (encoded(np.full((64, 64), np.nan, np.float32), "TIFF"), "not finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_whole_slice_is_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(SliceError, match=message):
        decode(content)


def test_an_oversized_picture_is_refused_before_its_pixels_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Image.Image) -> None:
        raise AssertionError("pixels were read")

    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(SliceError, match="at most"):
        decode(png_claiming(4096, 4097))


@pytest.mark.parametrize(("spread", "blank"), [(7, True), (8, False)])
def test_a_slice_is_blank_below_eight_grey_values(spread: int, blank: bool) -> None:
    content = encoded(two_tone("L", 100, 100 + spread))
    if blank:
        with pytest.raises(SliceError, match="hardly differ"):
            decode(content)
    else:
        assert decode(content).pixels.max() == 100 + spread


# --- Options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 31}, r"size must lie in \[32, 1024\], received 31"),
        ({"size": 1025}, "received 1025"),
        ({"denoise": "gauss"}, "denoise must be one of .* received 'gauss'"),
        ({"normalise": "max"}, "normalise must be one of .* received 'max'"),
        ({"denoise_strength": 4}, "must be 3, 5 or 7 for median, received 4"),
        ({"denoise": "bilateral", "denoise_strength": 0}, r"must lie in \[1, 255\], received 0"),
        ({"denoise": "bilateral", "denoise_strength": 256}, "received 256"),
        ({"percentiles": (50, 50)}, "percentiles must satisfy 0 <= low < high <= 100"),
        ({"percentiles": (-1, 50)}, "percentiles"),
        ({"percentiles": (1, 101)}, "percentiles"),
        ({"window": (200, 100)}, "window must satisfy 0 <= low < high <= 255"),
        ({"window": (0, 256)}, "window"),
    ],
)
def test_an_impossible_option_is_named_with_its_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PreparationOptions(**options)  # type: ignore[arg-type]


def test_options_survive_json() -> None:
    options = PreparationOptions(percentiles=[2.0, 98.0], window=[10, 200])  # type: ignore[arg-type]
    assert PreparationOptions(**json.loads(json.dumps(options.to_dict()))) == options
    assert len({options, PreparationOptions(percentiles=(2.0, 98.0), window=(10, 200))}) == 1


# --- Preparing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("denoise", ["none", "median", "bilateral", "non_local_means"])
@pytest.mark.parametrize("normalise", ["none", "percentile", "window", "landmarks", "equalise"])
def test_every_choice_gives_a_square_of_bytes_and_leaves_its_input_alone(denoise: str, normalise: str) -> None:
    pixels = speckled(120, 1, 50, 70)
    before = pixels.copy()
    prepared = prepare(pixels, PreparationOptions(size=48, denoise=denoise, normalise=normalise))  # type: ignore[arg-type]
    assert prepared.shape == (48, 48)
    assert prepared.dtype == np.uint8
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(("height", "width"), [(80, 160), (160, 80), (20, 40), (40, 20)])
def test_the_aspect_ratio_is_kept_and_the_rest_is_black(height: int, width: int) -> None:
    prepared = prepare(np.full((height, width), 200, np.uint8), AS_IT_IS)
    if height > width:
        prepared = prepared.T
    assert (prepared[16:48] == 200).all()
    assert not prepared[:16].any()
    assert not prepared[48:].any()


def test_shrinking_averages_so_that_fine_stripes_turn_grey() -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (128, 64))
    assert set(prepare(stripes, AS_IT_IS).flat) == {100}


def test_a_window_maps_its_ends_to_black_and_white_and_cuts_what_lies_outside() -> None:
    pixels = np.repeat(np.array([0, 50, 90, 150, 255, 60, 100, 140], np.uint8), 8)[np.newaxis].repeat(64, axis=0)
    options = PreparationOptions(size=64, crop_to_body=False, denoise="none", normalise="window", window=(50, 150))
    # (90 - 50) * 2.55 = 102; (60 - 50) * 2.55 = 25.5, (100 - 50) * 2.55 = 127.5, (140 - 50) * 2.55 = 229.5: to even.
    assert prepare(pixels, options)[0, ::8].tolist() == [0, 0, 102, 255, 255, 26, 128, 230]


def test_percentiles_stretch_the_bulk_whatever_a_few_burnt_in_pixels_say() -> None:
    pixels = np.full((64, 64), 50, np.uint8)
    pixels[:, 32:] = 150
    pixels[0, :8] = 255
    options = PreparationOptions(
        size=64, crop_to_body=False, denoise="none", normalise="percentile", percentiles=(1, 99)
    )
    prepared = prepare(pixels, options)
    assert set(prepared[1:, :32].flat) == {0}
    assert set(prepared[1:, 32:].flat) == {255}


@pytest.mark.parametrize(("percentiles", "low", "high"), [((0, 100), 40, 139), ((10, 90), 49, 129)])
def test_percentiles_are_those_of_the_pixels(percentiles: tuple[float, float], low: int, high: int) -> None:
    # Of the hundred grey values 40 to 139, once in each of a hundred columns, a tenth does not exceed 49.
    pixels = np.tile(np.arange(40, 140, dtype=np.uint8), (100, 1))
    options = PreparationOptions(
        size=100, crop_to_body=False, denoise="none", normalise="percentile", percentiles=percentiles
    )
    expected = np.rint(np.clip((pixels[0].astype(float) - low) * 255 / (high - low), 0, 255))
    np.testing.assert_allclose(prepare(pixels, options)[0], expected, atol=1)
    assert prepare(pixels, options)[0, low - 40] == 0
    assert prepare(pixels, options)[0, low - 39] > 0


def test_percentile_normalisation_does_not_see_a_linear_change_of_contrast() -> None:
    pixels = speckled(60, 3, 100, 100)
    assert pixels.max() <= 110
    options = PreparationOptions(size=64, crop_to_body=False, normalise="percentile")
    expected, received = prepare(pixels, options), prepare(2 * pixels + 30, options)
    assert expected.std() > 10
    assert np.abs(expected.astype(int) - received).max() <= 1


def test_the_median_removes_single_hot_pixels() -> None:
    pixels = disc(64, 64, (32, 32), 20)
    pixels[5, 5] = 255
    options = PreparationOptions(size=64, crop_to_body=False, denoise="median", normalise="none")
    prepared = prepare(pixels, options)
    assert prepared[5, 5] == 0
    assert prepared[32, 32] == 180


@pytest.mark.parametrize("denoise", ["bilateral", "non_local_means"])
def test_edge_keeping_filters_calm_the_noise_and_keep_the_step(denoise: str) -> None:
    pixels = np.hstack([speckled(60, 1, 64, 32), speckled(190, 2, 64, 32)])
    options = PreparationOptions(size=64, crop_to_body=False, denoise=denoise, denoise_strength=30, normalise="none")  # type: ignore[arg-type]
    prepared = prepare(pixels, options).astype(float)
    assert prepared[:, :28].std() < 0.8 * pixels[:, :28].std()
    assert prepared[:, 36:].mean() - prepared[:, :28].mean() == pytest.approx(130, abs=6)


def test_the_body_is_cut_out_and_the_border_thrown_away() -> None:
    pixels = disc(200, 300, (110, 140), 80)
    pixels[5:9, 5:20] = 255  # a letter burnt into the corner
    cropped = crop_to_body(pixels)
    assert cropped.shape == pytest.approx((161, 161), abs=4)
    height, width = cropped.shape
    top, left = 110 - height // 2, 140 - width // 2
    np.testing.assert_allclose(cropped.mean(), pixels[top : top + height, left : left + width].mean(), rtol=0.02)
    assert cropped.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((64, 64), np.uint8), disc(300, 300, (150, 150), 30), np.full((64, 64), 120, np.uint8)],
    ids=["black", "small bright region", "evenly bright"],
)
def test_a_slice_without_a_body_is_not_cut(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(crop_to_body(pixels), pixels)


def test_preparing_does_not_see_how_wide_the_black_border_is() -> None:
    body = disc(160, 160, (80, 80), 75)
    body[60:100, 30:60] = 90
    narrow, wide = (prepare(np.pad(body, border), PreparationOptions(size=64)) for border in (5, 40))
    assert np.abs(narrow.astype(int) - wide).mean() < 6
    uncut = prepare(np.pad(body, 40), PreparationOptions(size=64, crop_to_body=False))
    assert np.abs(narrow.astype(int) - uncut).mean() > 20


@pytest.mark.parametrize("normalise", ["percentile", "landmarks", "equalise"])
def test_blanking_leaves_nothing_of_what_surrounds_the_body(normalise: str) -> None:
    options = PreparationOptions(size=128, blank_outside=True, normalise=normalise)  # type: ignore[arg-type]
    drawn = draw_slice(1, PhantomOptions(slices=2)).pixels
    body = find_body(drawn)
    assert body is not None
    outside = ~body.inside(*drawn.shape)
    other = drawn.copy()
    other[outside] = np.where(drawn[outside] > 100, 0, 30)  # no table, darker air
    expected, received = prepare(drawn, options), prepare(other, options)
    assert np.abs(expected.astype(int) - received).mean() < 1.5
    assert (expected == 0).mean() > 0.5 * outside.mean()
    kept = PreparationOptions(size=128, blank_outside=False, normalise="none")
    assert np.abs(prepare(drawn, kept).astype(int) - prepare(other, kept)).mean() > 2.5


def test_a_huge_scan_is_prepared_as_its_smaller_copy() -> None:
    drawn = draw_slice(1, PhantomOptions(slices=2)).pixels
    big = cv2.resize(drawn, (2560, 2560), interpolation=cv2.INTER_NEAREST)
    difference = np.abs(prepare(drawn, PreparationOptions()).astype(int) - prepare(big, PreparationOptions()))
    assert difference.mean() < 5


def test_network_input_repeats_the_grey_values_in_three_channels() -> None:
    stack = np.stack([gradient(32, 32), gradient(32, 32)[::-1]])
    given = to_network_input(stack)
    assert given.shape == (2, 32, 32, 3)
    assert given.dtype == np.float32
    for channel in range(3):
        np.testing.assert_array_equal(given[..., channel], stack)


def test_truncated_files_stay_refused() -> None:
    assert imaging.ImageFile.LOAD_TRUNCATED_IMAGES is False


# --- Placement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 3])
def test_a_mask_lands_where_its_pixels_do(scale: int) -> None:
    """A mark as bright as nothing else is found in the prepared slice where the placement says, cropped or shrunk."""
    drawn = draw_slice(0, PhantomOptions(slices=2, seed=3)).pixels
    pixels = np.repeat(np.repeat(np.minimum(drawn, 200), scale, axis=0), scale, axis=1)
    body = find_body(drawn)
    assert body is not None
    row, column = (body.rows[0] + 2 * body.rows[1]) // 3, (body.columns[0] + body.columns[1]) // 2
    mask = np.zeros(pixels.shape, np.bool_)
    mask[scale * row : scale * (row + 24), scale * column : scale * (column + 36)] = True
    options = PreparationOptions(denoise="none", normalise="none")
    marked, placement = prepare_and_place(np.where(mask, np.uint8(255), pixels), options)
    found = placement.mask(mask)
    assert found.shape == (224, 224)
    assert 200 < found.sum() < 2000
    assert (found == (marked > 228)).mean() > 0.9995
    np.testing.assert_array_equal(prepare(np.where(mask, np.uint8(255), pixels), options), marked)


def test_a_placement_says_which_part_of_the_picture_is_shown() -> None:
    pixels = gradient(80, 40)
    _, placement = prepare_and_place(pixels, AS_IT_IS)
    assert (placement.picture, placement.rows, placement.columns) == (pixels.shape, (0, 80), (0, 40))

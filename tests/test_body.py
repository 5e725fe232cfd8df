"""The body's outline, whatever surrounds it and whatever window shows it."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from lung_tumor.body import Body, _largest, _opened, _solid, find_body
from lung_tumor.imaging import decode
from lung_tumor.phantom import PhantomOptions, draw_slice
from tests.support.pictures import disc

DICOM = Path(__file__).parents[1] / "../shared/data/lung-pet-ct-dx"
SIDE = 400


def chest(table: bool = True, air: int = 20, fat: int = 150, tissue: int = 200, lung: int = 40) -> np.ndarray:
    """An elliptic trunk, rows 120 to 280 and columns 80 to 320, two lungs, and below it the arc of a table."""
    canvas = np.full((SIDE, SIDE), air, np.uint8)
    if table:
        cv2.ellipse(canvas, (200, 60), (330, 235), 0, 30, 150, int(tissue), 3)
        cv2.ellipse(canvas, (200, 78), (330, 235), 0, 30, 150, int(tissue), 3)
    cv2.ellipse(canvas, (200, 200), (120, 80), 0, 0, 360, int(fat), -1)
    cv2.ellipse(canvas, (200, 200), (108, 68), 0, 0, 360, int(tissue), -1)
    for centre in (145, 255):
        cv2.ellipse(canvas, (centre, 200), (38, 48), 0, 0, 360, int(lung), -1)
    grain = np.random.default_rng(1).normal(0, 3, canvas.shape)
    return np.clip(canvas + grain, 0, 255).astype(np.uint8)


def box(body: Body | None) -> tuple[int, int, int, int]:
    assert body is not None
    return *body.rows, *body.columns


TRUNK = pytest.approx((120, 281, 80, 321), abs=6)

LOOKS = {
    "lung window": {},
    "wide window": {"air": 5, "fat": 110, "tissue": 140, "lung": 15},
    "air and lungs clipped": {"air": 0, "fat": 90, "tissue": 160, "lung": 0},
    "narrow window": {"air": 0, "fat": 38, "tissue": 134, "lung": 0},
    "saturated tissue": {"air": 60, "fat": 240, "tissue": 255, "lung": 90},
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
@pytest.mark.parametrize("table", [False, True], ids=["free", "on a table"])
def test_the_box_is_that_of_the_trunk_through_every_window(look: dict[str, int], table: bool) -> None:
    assert box(find_body(chest(table, **look))) == TRUNK


@pytest.mark.parametrize("frame", [0, 255])
def test_a_frame_and_letters_at_the_border_do_not_move_the_box(frame: int) -> None:
    pixels = chest()
    cv2.putText(pixels, "IM 42 SE 3", (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
    cv2.putText(pixels, "R", (5, 395), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2)
    framed = np.pad(pixels, ((10, 30), (25, 5)), constant_values=frame)
    rows = (130, 291)
    columns = (105, 346)
    assert box(find_body(framed)) == pytest.approx((*rows, *columns), abs=6)


@pytest.mark.parametrize("field", [0, 60])
def test_the_circle_of_the_field_of_view_is_no_body(field: int) -> None:
    pixels = chest(air=60, lung=85, fat=210, tissue=235)
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels[(y - 200) ** 2 + (x - 200) ** 2 > 199**2] = field
    assert box(find_body(pixels)) == TRUNK


def test_a_tight_crop_within_the_body_is_kept_whole() -> None:
    pixels = chest()[140:260, 110:290]
    assert box(find_body(pixels)) == (0, 120, 0, 180)


def test_lungs_that_touch_the_edge_stay_inside_the_outline() -> None:
    pixels = chest()[120:281, 80:260]  # cut through the right one
    body = find_body(pixels)
    assert body is not None
    lungs = (cv2.GaussianBlur(pixels, (0, 0), 2) < 60) & disc(161, 180, (80, 175), 45, 1).astype(bool)
    assert (body.inside(*pixels.shape) & lungs).sum() > 0.97 * lungs.sum()


def test_the_outline_holds_the_trunk_and_little_else() -> None:
    body = find_body(chest())
    assert body is not None
    trunk = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(trunk, (200, 200), (120, 80), 0, 0, 360, 1, -1)
    inside = body.inside(SIDE, SIDE)
    assert inside.dtype == np.bool_
    assert inside[trunk == 1].mean() > 0.98
    assert inside[trunk == 0].mean() < 0.03


def test_a_mask_is_cropped_as_its_slice() -> None:
    pixels = chest()
    body = find_body(pixels)
    assert body is not None
    np.testing.assert_array_equal(body.crop(pixels > 100), body.crop(pixels) > 100)


@pytest.mark.parametrize("window", [(-600, 1500), (-300, 1900), (-500, 1000), (40, 400)])
def test_the_phantom_has_one_box_through_every_window(window: tuple[float, float]) -> None:
    for index in range(4):
        drawn = draw_slice(index, PhantomOptions(slices=4))
        level, width = window
        grey = np.clip((drawn.hounsfield - (level - width / 2)) * (255 / width), 0, 255)
        assert box(find_body(np.rint(grey).astype(np.uint8))) == pytest.approx(box(find_body(drawn.pixels)), abs=16)


@pytest.mark.parametrize("size", [(32, 32), (32, 900), (33, 57), (4096, 40)])
def test_odd_shapes_and_noise_neither_crash_nor_leave_the_picture(size: tuple[int, int]) -> None:
    for seed in range(5):
        noise = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
        body = find_body(cv2.GaussianBlur(noise, (0, 0), 1 + 3 * seed))
        if body is not None:
            top, bottom, left, right = box(body)
            assert 0 <= top < bottom <= size[0]
            assert 0 <= left < right <= size[1]


def test_the_cost_does_not_grow_like_the_pixels() -> None:
    small, large = chest(), cv2.resize(chest(), (3200, 3200))

    def seconds(pixels: np.ndarray) -> float:
        times = []
        for _ in range(3):
            started = time.process_time()
            find_body(pixels)
            times.append(time.process_time() - started)
        return min(times)

    assert seconds(large) < 64 * seconds(small)


@pytest.mark.real
@pytest.mark.skipif(not DICOM.exists(), reason="no real slices here")
@pytest.mark.parametrize("window", [(-300.0, 1900.0), (-600.0, 1000.0), (40.0, 400.0)])
def test_real_slices_have_one_box_through_every_window(window: tuple[float, float]) -> None:
    for path in sorted(DICOM.glob("*.dcm")):
        content = path.read_bytes()
        expected, received = (find_body(decode(content, one).pixels) for one in ("lung", window))
        assert box(received) == pytest.approx(box(expected), abs=24), path.name


def blobs(seed: int) -> np.ndarray:
    """Regions of all sizes, some of them at the picture's edge, 0 or 1."""
    noise = np.random.default_rng(seed).normal(size=(90 + 7 * seed, 120)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.5 + seed) > 0.0, dtype=np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_opening_by_runs_is_opening_by_the_disc_that_they_make(seed: int) -> None:
    mask = blobs(seed)
    for side in (7, 17):
        np.testing.assert_array_equal(_opened(mask, side), plainly_opened(mask, side))


@pytest.mark.parametrize("seed", range(6))
def test_the_largest_region_is_that_of_opencvs_statistics(seed: int) -> None:
    mask = blobs(seed)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    number = 1 + int(np.argmax(boxes[1:, cv2.CC_STAT_AREA]))
    left, top, width, height = boxes[number, :4].tolist()
    found = _largest(mask)
    assert found is not None
    np.testing.assert_array_equal(found.mask, labels == number)
    assert tuple(found.box) == (left, top, width, height)


def test_nothing_has_no_largest_region() -> None:
    assert _largest(np.zeros((20, 30), np.uint8)) is None


def plainly_opened(mask: np.ndarray, side: int) -> np.ndarray:
    padded = cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_REPLICATE)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc)[side:-side, side:-side]


def plainly_largest(mask: np.ndarray) -> np.ndarray | None:
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask), connectivity=4)
    return None if count < 2 else np.uint8(labels == 1 + int(np.argmax(boxes[1:, cv2.CC_STAT_AREA])))


def plainly_solid(mask: np.ndarray) -> np.ndarray | None:
    """As `_solid`, on the whole picture and with OpenCV's own ways."""
    region = plainly_largest(plainly_opened(mask, 7))
    if region is None:
        return None
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(mask), contours, -1, 1, cv2.FILLED)
    trimmed = plainly_largest(plainly_opened(filled, 17))
    return filled if trimmed is None else trimmed


def one_pixel() -> np.ndarray:
    mask = np.zeros((40, 50), np.uint8)
    mask[20, 30] = 1
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        *(blobs(seed) for seed in range(12)),
        np.ones((256, 256), np.uint8),
        np.ones((256, 2), np.uint8),
        np.ones((1, 1), np.uint8),
        np.zeros((30, 40), np.uint8),
        np.pad(np.ones((60, 9), np.uint8), ((0, 20), (0, 30))),
        np.pad(np.ones((40, 60), np.uint8), ((30, 0), (20, 0))),
        one_pixel(),
    ],
    ids=[*map(str, range(12)), "all", "strip", "point", "nothing", "slab at an edge", "corner", "one pixel"],
)
def test_what_is_solid_is_the_same_as_by_plain_ways_on_the_whole_picture(mask: np.ndarray) -> None:
    expected, received = plainly_solid(mask), _solid(mask)
    assert (expected is None) == (received is None)
    if expected is not None:
        np.testing.assert_array_equal(received, expected)

"""Evidence against truth."""

from __future__ import annotations

import numpy as np
import pytest

from lung_tumor import attribution


def mask(rows: slice, columns: slice, side: int = 32) -> np.ndarray:
    found = np.zeros((side, side), np.bool_)
    found[rows, columns] = True
    return found


def peak(row: int, column: int, value: float = 1.0) -> np.ndarray:
    """A 4 x 4 map of cells of 8 pixels with one peak."""
    found = np.zeros((4, 4))
    found[row, column] = value
    return found


def test_pointing_is_the_share_of_peaks_near_the_mass() -> None:
    """The peak of cell (1, 2) lies at its centre, of which (11, 19) is the first pixel."""
    maps = np.stack([peak(1, 2)] * 3)
    masks = np.stack(
        [mask(slice(8, 16), slice(16, 24)), mask(slice(0, 4), slice(16, 24)), mask(slice(0, 3), slice(16, 24))]
    )
    assert attribution.pointing(maps, masks, within_pixels=8.5) == pytest.approx(2 / 3)
    assert attribution.pointing(maps, masks, within_pixels=7.5) == pytest.approx(1 / 3)


def test_the_inside_ratio_is_one_where_evidence_is_even() -> None:
    masks = np.stack([mask(slice(3, 20), slice(5, 9)), mask(slice(0, 2), slice(0, 2))])
    assert attribution.inside_ratio(np.ones((2, 4, 4)), masks) == pytest.approx(1.0)


def test_the_inside_ratio_counts_positive_evidence_alone() -> None:
    """Two rows of cells of four hold it all, evenly: on the mass, a quarter of the slice, lies half of it."""
    values = np.zeros((4, 4))
    values[:2] = 3.0
    there, elsewhere = mask(slice(0, 16), slice(0, 16)), mask(slice(24, 32), slice(0, 16))
    assert attribution.inside_ratio(values[None], there[None]) == pytest.approx(2.0, rel=0.1)
    assert attribution.inside_ratio((values - 9.0 * (values == 0.0))[None], there[None]) == pytest.approx(2.0, rel=0.1)
    assert attribution.inside_ratio(values[None], elsewhere[None]) == pytest.approx(0.0, abs=0.02)
    assert attribution.inside_ratio(-np.ones((1, 4, 4)), there[None]) == 0.0


@pytest.mark.parametrize("measure", [attribution.pointing, attribution.inside_ratio])
def test_a_slice_without_a_mass_has_no_truth(measure) -> None:
    with pytest.raises(ValueError, match="received 2 maps and 2 masks, 1 of them empty"):
        measure(np.ones((2, 4, 4)), np.stack([mask(slice(0, 4), slice(0, 4)), mask(slice(0, 0), slice(0, 0))]))


def bright_spot(slices: np.ndarray) -> np.ndarray:
    """Suspicion of a stand-in that looks at one cell alone, the brighter the more suspicious."""
    return slices[:, 16:24, 40:48].mean(axis=(1, 2)) / 255.0


def test_hiding_the_evidence_lowers_the_suspicion_more_than_hiding_as_much_elsewhere() -> None:
    slices = np.full((3, 64, 64), 60, np.uint8)
    slices[:, 16:24, 40:48] = 250
    maps = np.zeros((3, 8, 8))
    maps[:, 2, 5] = 1.0
    found = attribution.deletion(bright_spot, slices, maps, share=1 / 64, seed=3, draws=5)
    assert found.slices == 3
    assert found.evidence == pytest.approx(190 / 255, abs=0.01)
    assert found.random < 0.2
    assert found == attribution.deletion(bright_spot, slices, maps, share=1 / 64, seed=3, draws=5)
    elsewhere = np.zeros((3, 8, 8))
    elsewhere[:, 6, 1] = 1.0
    assert attribution.deletion(bright_spot, slices, elsewhere, share=1 / 64).evidence == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\), received 0"):
        attribution.deletion(bright_spot, slices, maps, share=0)


def test_what_is_hidden_elsewhere_has_the_same_shape_and_lies_within_the_body() -> None:
    cells = np.zeros((8, 8), np.bool_)
    cells[0, 1] = cells[1, 1] = cells[1, 2] = True
    body = np.zeros((8, 8), np.bool_)
    body[3:7, 2:6] = True
    seen = set()
    for seed in range(40):
        moved = attribution._moved(cells, body, np.random.default_rng(seed))
        assert moved.sum() == 3
        assert not (moved & ~body).any()
        rows, columns = np.nonzero(moved)
        assert np.ptp(rows) == np.ptp(columns) == 1
        seen.add(moved.tobytes())
    assert len(seen) > 15

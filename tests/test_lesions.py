"""Outlines of lesions."""

from __future__ import annotations

import json

import numpy as np

from lung_tumor.lesions import masks_of, outline
from lung_tumor.phantom import PhantomOptions, draw_slice, slice_label


def test_an_outline_gives_its_mask_back_through_json() -> None:
    options = PhantomOptions(slices=4, seed=3)
    index = next(i for i in range(4) if slice_label(i, options) == "adenocarcinoma")
    mask = draw_slice(index, options).mask
    outlines = json.loads(json.dumps({"known": outline(mask)}))
    (found,) = masks_of(outlines, ["known"], 512)
    assert found is not None
    assert mask.sum() > 100
    # Small holes are filled; nothing else changes.
    assert not (mask & ~found).any()
    assert (found & ~mask).mean() < 0.001


def test_two_separate_parts_are_two_polygons() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:5, 2:5] = mask[10:15, 12:18] = True
    assert len(outline(mask)) == 2
    (found,) = masks_of({"both": outline(mask)}, ["both"], 20)
    assert np.array_equal(found, mask)


def test_a_slice_without_an_outline_has_no_mask() -> None:
    assert masks_of({"empty": []}, ["empty", "unknown"], 8) == [None, None]

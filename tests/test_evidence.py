"""Evidence maps against the network itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lung_tumor import evidence, export, network
from lung_tumor.classifier import Classifier
from lung_tumor.computation import Computation
from lung_tumor.export import Drafted
from lung_tumor.frozen_pass import frozen_pass
from lung_tumor.network import Cut, NetworkOptions
from lung_tumor.novelty import NoveltyOptions
from tests.support.classifiers import NARROW, pixels
from tests.support.served import alike_everywhere

LINEAR = [
    NetworkOptions(feature_blocks=(2,)),
    NetworkOptions(feature_blocks=(1, 2, 4)),
    NetworkOptions(frozen_blocks=2, feature_blocks=(2,)),
    NetworkOptions(feature_blocks=(1, 3), head="max"),
    NetworkOptions(feature_blocks=(2, 3), head="flatten"),
]
HIDDEN = [
    NetworkOptions(feature_blocks=(1, 2), hidden_units=(8, 5), dropout=0.5),
    NetworkOptions(feature_blocks=(1, 3), head="max", hidden_units=(7,)),
    NetworkOptions(feature_blocks=(2, 3), head="flatten", hidden_units=(6,)),
]
CLASSES = ("a", "b", "c")
SLICES = pixels(4, seed=5)
NOVELTY = NoveltyOptions(blocks=(1,))


def name(options: NetworkOptions) -> str:
    return f"{options.head} of {options.read_blocks}, hidden {options.hidden_units}"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)


def drafted(classifier: Classifier) -> Drafted:
    return export.run(export.draft(classifier, NOVELTY, {}, pixels(2)), SLICES, threads=1)


def contrast(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Of each class the logit less the mean of the others: the softmax's own constant cancels."""
    logs = np.log(probabilities.astype(np.float64))
    count = logs.shape[1]
    return (logs * count - logs.sum(axis=1, keepdims=True)) / (count - 1)


def activations(classifier: Classifier) -> dict[int, npt.NDArray[np.float32]]:
    """Last activation of each block that the head reads, (n, height, width, channels), by Keras."""
    cuts = [Cut(cut.block, "positions") for cut in network.feature_cuts(classifier.model)]
    found = frozen_pass(classifier.model, cuts, Computation(engine="keras", precision="float32"))(SLICES)
    return {cut.block: values for cut, values in zip(cuts, found, strict=True)}


def head_contrast(classifier: Classifier, blocks: dict[int, npt.NDArray[np.float32]]) -> npt.NDArray[np.floating]:
    """What Keras's head makes of whole activations."""
    pool = {
        "average": lambda values: values.mean(axis=(1, 2)),
        "max": lambda values: values.max(axis=(1, 2)),
        "flatten": lambda values: values.reshape(len(values), -1),
    }
    features = [pool[cut.kind](blocks[cut.block]) for cut in network.feature_cuts(classifier.model)]
    return contrast(np.asarray(network.head(classifier.model)(features)))


@pytest.mark.parametrize("options", LINEAR, ids=name)
def test_the_maps_of_a_linear_head_sum_to_the_contrast_of_the_logits(options: NetworkOptions) -> None:
    classifier = alike_everywhere(options, CLASSES)
    kernel, bias = classifier.model.get_layer("logits").get_weights()
    classifier.model.get_layer("logits").set_weights([kernel, bias + np.array([0.3, -0.2, 0.9])])
    found = drafted(classifier)
    expected = contrast(np.asarray(classifier.model.predict_on_batch(np.repeat(SLICES[..., None], 3, -1).astype("f4"))))
    assert found.evidence.shape == (4, 3, 32 // 2 ** options.read_blocks[0], 32 // 2 ** options.read_blocks[0])
    np.testing.assert_allclose(found.evidence.sum(axis=(2, 3)), expected, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 0.01
    assert evidence.kind(classifier.model) == "exact"


@pytest.mark.parametrize("options", [*LINEAR[:3], LINEAR[4]], ids=name)
def test_the_map_of_a_linear_head_says_what_the_loss_of_a_position_costs(options: NetworkOptions) -> None:
    """Not of maxima: without the largest another position takes its place."""
    classifier = alike_everywhere(options, CLASSES)
    maps, blocks = drafted(classifier).evidence, activations(classifier)
    # A position of the deepest block that is read, with all the finer ones' positions that lie in it.
    deepest = max(blocks)
    side = blocks[min(blocks)].shape[1] // blocks[deepest].shape[1]
    without = {}
    for block, values in blocks.items():
        cells = values.shape[1] // blocks[deepest].shape[1]
        without[block] = values.copy()
        without[block][:, -cells:, :cells] = 0.0
    fall = head_contrast(classifier, blocks) - head_contrast(classifier, without)
    model = classifier.model
    empty = {block: np.zeros_like(values) for block, values in blocks.items()}
    spread = head_contrast(classifier, empty)[:, :, None, None] / (maps.shape[2] * maps.shape[3])
    np.testing.assert_allclose((maps - spread)[:, :, -side:, :side].sum(axis=(2, 3)), fall, atol=1e-4)
    assert np.abs(fall).max() > 0.001
    assert model is classifier.model


@pytest.mark.parametrize("options", [*LINEAR, *HIDDEN], ids=name)
def test_each_position_holds_the_derivative_times_the_activation(options: NetworkOptions) -> None:
    """The derivative by differences of Keras's own head, along each position's activation."""
    classifier = alike_everywhere(options, CLASSES)
    maps, blocks = drafted(classifier).evidence.astype(np.float64), activations(classifier)
    if evidence.kind(classifier.model) == "exact":
        empty = {block: np.zeros_like(values) for block, values in blocks.items()}
        maps -= head_contrast(classifier, empty)[:, :, None, None] / (maps.shape[2] * maps.shape[3])
    expected = np.zeros_like(maps)
    step = 2.0**-10
    for block, values in blocks.items():
        side = maps.shape[2] // values.shape[1]
        positions = list(np.ndindex(values.shape[1:3]))
        # Every slice once for each position and direction, in one call of the head.
        repeated = {other: np.tile(found, (2 * len(positions), 1, 1, 1)) for other, found in blocks.items()}
        changed = repeated[block].reshape(2, len(positions), *values.shape)
        for place, (row, column) in enumerate(positions):
            changed[0, place, :, row, column] *= 1.0 + step
            changed[1, place, :, row, column] *= 1.0 - step
        above, below = head_contrast(classifier, repeated).reshape(2, len(positions), *maps.shape[:2])
        for (row, column), slope in zip(positions, (above - below) / (2.0 * step), strict=True):
            expected[:, :, row * side : (row + 1) * side, column * side : (column + 1) * side] += (
                slope[:, :, None, None] / side**2
            )
    scale = np.abs(expected).max()
    assert scale > 1e-3
    np.testing.assert_allclose(maps, expected, atol=0.02 * scale)


@pytest.mark.parametrize("options", HIDDEN, ids=name)
def test_hidden_layers_make_it_grad_cam(options: NetworkOptions) -> None:
    classifier = alike_everywhere(options)
    assert evidence.kind(classifier.model) == "Grad-CAM"
    found = drafted(classifier).evidence
    np.testing.assert_allclose(found[:, 0], -found[:, 1], atol=1e-5)


def test_contrasts_are_each_logit_less_the_mean_of_the_others() -> None:
    logits = np.array([[1.0, 4.0, 7.0]])
    np.testing.assert_allclose(logits @ evidence.contrasts(3), [[-4.5, 0.0, 4.5]], atol=1e-6)
    np.testing.assert_allclose(np.array([[3.0, 1.0]]) @ evidence.contrasts(2), [[2.0, -2.0]], atol=1e-6)


def test_positions_that_share_a_maximum_share_its_evidence() -> None:
    classifier = alike_everywhere(NetworkOptions(feature_blocks=(1,), head="max"))
    blank = np.full((1, 32, 32), 90, np.uint8)
    content = export.draft(classifier, NOVELTY, {}, pixels(2))
    found = export.run(content, blank, threads=1).evidence[0, 0]
    inner = found[2:-2, 2:-2]  # Within, every position sees the same.
    np.testing.assert_allclose(inner, inner[0, 0], atol=1e-6)

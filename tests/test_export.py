"""The exported model answers as the original."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import onnx
import pytest

from lung_tumor import export, network
from lung_tumor.classifier import Classifier
from lung_tumor.computation import Computation
from lung_tumor.errors import ExportError
from lung_tumor.frozen_pass import frozen_pass
from lung_tumor.imaging import to_network_input
from lung_tumor.network import Cut, NetworkOptions
from lung_tumor.novelty import NoveltyOptions, cut_off
from lung_tumor.predictor import METADATA_KEY, Predictor
from tests.support.classifiers import NARROW, pixels, small_classifier
from tests.support.novelty import describe, judge
from tests.support.served import OPTIONS, POINT, RULE, parts, served, standardised


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BLOCKS", NARROW)


# The deeper blocks of an untrained network hardly move, hence the shallow ones.
@pytest.mark.parametrize(
    "options",
    [
        NetworkOptions(feature_blocks=(2,)),
        NetworkOptions(feature_blocks=(4, 5)),
        NetworkOptions(feature_blocks=(1, 3), head="max", hidden_units=(8, 5), dropout=0.5),
        NetworkOptions(feature_blocks=(3,), head="flatten"),
        NetworkOptions(feature_blocks=(2, 3), head="flatten", hidden_units=(6,)),
    ],
    ids=lambda options: f"{options.head} of {options.feature_blocks}, hidden {options.hidden_units}",
)
def test_probabilities_agree_on_unseen_slices_for_every_head(options: NetworkOptions) -> None:
    classifier = standardised(options, ("a", "b", "c"))
    content = served(classifier, temperature=1.0)
    for count in (1, 5):
        slices = pixels(count, seed=9)
        expected = classifier.model.predict_on_batch(to_network_input(slices))
        received = Predictor(content, threads=1).predict(slices)
        np.testing.assert_allclose(received, expected, atol=export.TOLERANCE)
    assert np.ptp(expected, axis=0).min() > 100 * export.TOLERANCE


def test_a_temperature_divides_the_logits() -> None:
    classifier = standardised(NetworkOptions(feature_blocks=(2,)), ("a", "b", "c"))
    plain, calibrated = (
        Predictor(served(classifier, temperature=temperature), threads=1).predict(pixels(5))
        for temperature in (1.0, 2.5)
    )
    roots = plain ** (1.0 / 2.5)
    np.testing.assert_allclose(calibrated, roots / roots.sum(axis=1, keepdims=True), atol=1e-6)
    assert np.abs(calibrated - plain).max() > 0.005
    with pytest.raises(ValueError, match=r"temperature must be positive, received 0\.0"):
        served(classifier, temperature=0.0)


def test_unusual_evidence_is_evidence_less_the_typical_map() -> None:
    classifier = standardised(NetworkOptions(feature_blocks=(2,)))
    typical = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    content = export.draft(classifier, OPTIONS, {}, pixels(2))
    judged = Predictor(export.finish(content, parts(content, typical=typical)), threads=1).judge(pixels(3))
    np.testing.assert_allclose(
        judged.evidence - judged.unusual_evidence, np.broadcast_to(typical, (3, 2, 8, 8)), atol=1e-5
    )
    np.testing.assert_allclose(judged.evidence, export.run(content, pixels(3), threads=1).evidence, atol=1e-6)


def draft_of_block2() -> bytes:
    return export.draft(standardised(NetworkOptions(feature_blocks=(2,))), OPTIONS, {}, pixels(2))


@pytest.mark.parametrize("neighbours", [1, 2, 12])
def test_the_distance_is_that_to_the_kth_nearest_reference(neighbours: int) -> None:
    content = draft_of_block2()
    given = parts(content).novelty._replace(rule=dataclasses.replace(RULE, neighbours=neighbours))
    slices = np.concatenate([pixels(3, seed=30), np.zeros((1, 32, 32), np.uint8), pixels(1, seed=4)])
    judged = Predictor(export.finish(content, parts(content, novelty=given)), threads=1).judge(slices)
    features = export.run(content, slices, threads=1).features
    np.testing.assert_allclose(judged.distances, judge(given, features), atol=1e-6)
    assert judged.distances.shape == (5,)
    if neighbours == 1:  # The first of the references is the last of these slices.
        assert abs(judged.distances[-1]) < 1e-5 < judged.distances[:-1].min()


def test_a_slice_on_the_wrong_side_of_the_upright_direction_is_farther_by_one() -> None:
    content = draft_of_block2()
    given = parts(content).novelty
    turned = given._replace(upright=-given.upright)
    one, other = (Predictor(export.finish(content, parts(content, novelty=it)), threads=1) for it in (given, turned))
    received = other.judge(pixels(3)).distances
    np.testing.assert_allclose(received, one.judge(pixels(3)).distances + 1.0, atol=1e-6)
    np.testing.assert_allclose(received, judge(turned, export.run(content, pixels(3), threads=1).features), atol=1e-6)


def test_a_slice_of_which_a_window_cut_off_more_than_the_limit_is_farther_by_one() -> None:
    content = draft_of_block2()
    slices = pixels(6, seed=5)
    # From nothing to nearly all of it; and a black one, which has nothing that could be cut off.
    for number, picture in enumerate(slices[:5]):
        picture[: 8 * number] = 77
    slices[5] = 0
    shares = cut_off(slices)
    given = parts(content).novelty
    for limit in shares:
        limited = given._replace(rule=dataclasses.replace(RULE, most_cut_off=float(limit)))
        received = Predictor(export.finish(content, parts(content, novelty=limited)), threads=1).judge(slices).distances
        features = export.run(content, slices, threads=1).features
        np.testing.assert_allclose(received, judge(limited, features, slices), atol=1e-6)
        # A share that equals the limit, to the last digit, is accepted.
        np.testing.assert_array_equal(received - judge(limited, features) > 0.5, shares > limit)
    assert len(set(shares.tolist())) == 5


@pytest.mark.parametrize("bands", [1, 3])
def test_the_features_of_novelty_are_those_of_its_own_recipe(bands: int) -> None:
    classifier = standardised(NetworkOptions(feature_blocks=(1, 3)))
    options = NoveltyOptions(blocks=(2, 3), bands=bands)
    cuts = [Cut(block, "positions") for block in options.blocks]
    blocks = frozen_pass(classifier.model, cuts, Computation(engine="keras", precision="float32"))(pixels(3))
    expected = describe(blocks, bands)
    received = export.run(export.draft(classifier, options, {}, pixels(1)), pixels(3), threads=1).features
    np.testing.assert_allclose(received, expected, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 1e-3
    # Each of the two blocks weighs the same, however large its activations are.
    first = received[:, : bands * blocks[0].shape[-1]]
    np.testing.assert_allclose(np.square(first).sum(axis=1), 0.5, rtol=1e-5)


def test_more_neighbours_than_references_are_refused() -> None:
    content = draft_of_block2()
    given = parts(content).novelty._replace(rule=dataclasses.replace(RULE, neighbours=13))
    with pytest.raises(ValueError, match=r"neighbours must lie in \[1, 12\], the number of references, received 13"):
        parts(content, novelty=given)


def test_novelty_may_read_blocks_that_the_classifier_does_not_have() -> None:
    """A network that reads block 2 has no block 3; with block 3's weights its features are those of one that has."""
    deep = standardised(NetworkOptions(feature_blocks=(2, 3)))
    shallow = standardised(NetworkOptions(feature_blocks=(2,)))
    tensors = {
        f"{layer.name}/{kind}": values
        for layer in deep.model.layers
        if "_conv" in layer.name
        for kind, values in zip(("kernel", "bias"), layer.get_weights(), strict=True)
    }
    network.load_base(shallow.model, tensors)
    options = NoveltyOptions(blocks=(2, 3))
    received = [
        export.run(export.draft(classifier, options, further, pixels(1)), pixels(3), threads=1).features
        for classifier, further in ((deep, {}), (shallow, tensors))
    ]
    np.testing.assert_allclose(received[0], received[1], atol=1e-6)
    with pytest.raises(ExportError, match="novelty reads block3, which the network lacks: block3_conv1/kernel of the"):
        export.draft(shallow, options, {}, pixels(1))


def test_metadata_travels_along() -> None:
    classifier = small_classifier(("adenocarcinoma", "b", "other"), source="ünïcode")
    expected = dataclasses.replace(
        classifier.metadata,
        temperature=2.0,
        operating_point=POINT,
        novelty=RULE,
        precision="float32",
        precision_reason="made up",
        evidence="exact",
    )
    assert Predictor(served(classifier), threads=1).metadata == expected


@pytest.mark.parametrize("change", [0.001, np.nan])
def test_an_export_that_answers_otherwise_is_refused(change: float, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = standardised(NetworkOptions(feature_blocks=(2,)))
    answers = export.run(export.draft(classifier, OPTIONS, {}, pixels(3)), pixels(3), threads=1)
    wrong = dataclasses.replace(answers, logits=answers.logits + np.array([0.0, change], np.float32))
    monkeypatch.setattr(export, "run", lambda *_: wrong)
    with pytest.raises(ExportError, match=r"probabilities differ by .* expected at most 0\.0001"):
        export.draft(classifier, OPTIONS, {}, pixels(3))


def test_an_operation_without_an_onnx_form_is_named() -> None:
    classifier = small_classifier()
    given = keras.layers.Activation("tanh", name="squash")(classifier.model.output)
    with pytest.raises(ExportError, match=r"no ONNX form is known for Activation \(squash\)"):
        export.draft(
            Classifier(keras.Model(classifier.model.input, given), classifier.metadata), OPTIONS, {}, pixels(1)
        )


def test_the_file_passes_the_checker_and_names_what_goes_in_and_out() -> None:
    model = onnx.load_from_string(served(small_classifier()))
    onnx.checker.check_model(model, full_check=True)
    assert [entry.name for entry in (*model.graph.input, *model.graph.output)] == [
        "pixels",
        "probabilities",
        "evidence",
        "unusual_evidence",
        "distance",
    ]
    assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]

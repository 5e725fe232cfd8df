"""Eight bits: what they change, and when they may be served."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

from lung_tumor import export, quantisation
from lung_tumor.network import NetworkOptions
from lung_tumor.novelty import NoveltyOptions
from lung_tumor.predictor import Predictor
from lung_tumor.quantisation import PrecisionFacts
from tests.support.classifiers import pixels
from tests.support.served import OPTIONS, parts, standardised


@pytest.fixture(scope="module")
def drafts() -> tuple[bytes, bytes]:
    """float32 and int8 of a network of 0.26 million weights."""
    float32 = export.draft(
        standardised(NetworkOptions(feature_blocks=(1, 2), hidden_units=(6,))), OPTIONS, {}, pixels(2)
    )
    return float32, quantisation.quantise(float32, pixels(8, seed=2))


def test_int8_answers_nearly_as_float32(drafts: tuple[bytes, bytes]) -> None:
    float32, int8 = (export.run(draft, pixels(20, seed=3), threads=1) for draft in drafts)
    assert np.abs(float32.features - int8.features).max() < 0.02 * np.abs(float32.features).max()
    assert 0.0 < np.abs(float32.logits - int8.logits).max() < 0.1 * np.ptp(float32.logits)
    assert np.abs(float32.evidence - int8.evidence).mean() < 0.1 * np.abs(float32.evidence).mean()


def test_convolutions_alone_are_int8_a_scale_for_each_filter(drafts: tuple[bytes, bytes]) -> None:
    model = onnx.load_from_string(drafts[1])
    made_by = {output: node for node in model.graph.node for output in node.output}
    scales = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    for node in model.graph.node:
        inputs = [made_by[name].op_type for name in node.input if name in made_by]
        if node.name == "block1_conv1/linear":
            assert "DequantizeLinear" not in inputs
        elif node.op_type == "Conv":
            assert inputs == ["DequantizeLinear"] * 3
            assert list(scales[made_by[node.input[1]].input[1]]) == [onnx_filters(model, node)]
        elif node.op_type in ("Gemm", "MatMul"):
            assert "QuantizeLinear" not in inputs
            assert not any(name.endswith("_quantized") for name in node.input)
    kernels = [tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4 and tensor.dims[-1] == 3]
    assert Counter(kernels) == {onnx.TensorProto.INT8: 3, onnx.TensorProto.FLOAT: 1}
    assert len(drafts[1]) < 0.3 * len(drafts[0])


def onnx_filters(model: onnx.ModelProto, node: onnx.NodeProto) -> int:
    made_by = {output: found for found in model.graph.node for output in found.output}
    name = made_by[node.input[1]].input[0]
    return next(tensor.dims[0] for tensor in model.graph.initializer if tensor.name == name)


@pytest.mark.parametrize("blocks", [(1, 2), (2,)])
def test_equalising_channels_changes_nothing_in_float32(blocks: tuple[int, ...]) -> None:
    """Where block 1 is read, its last activation keeps its scale, though the next block's kernel could take it."""
    options = NoveltyOptions(blocks=blocks)
    draft = export.draft(standardised(NetworkOptions(feature_blocks=blocks)), options, {}, pixels(2))
    equalised = quantisation._equalised(onnx.load_from_string(draft), pixels(4)).SerializeToString()
    one, other = (export.run(content, pixels(3, seed=1), threads=1) for content in (draft, equalised))
    for name in ("logits", "evidence", "features"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4, rtol=1e-4)
    moved = [np.array_equal(kernel(draft, name), kernel(equalised, name)) for name in ("block1_conv2", "block2_conv1")]
    assert moved == [False, False]


def kernel(content: bytes, name: str) -> np.ndarray:
    tensors = onnx.load_from_string(content).graph.initializer
    return next(onnx.numpy_helper.to_array(tensor) for tensor in tensors if tensor.name == f"{name}/kernel")


def test_int8_can_be_served_and_says_so(drafts: tuple[bytes, bytes]) -> None:
    content = export.finish(drafts[1], parts(drafts[1]))
    predictor = Predictor(content, threads=1)
    assert predictor.metadata.precision == "int8"
    assert predictor.metadata.evidence == "Grad-CAM"
    expected = export.probabilities(export.run(drafts[1], pixels(3), threads=1).logits, 2.0)
    np.testing.assert_allclose(predictor.predict(pixels(3)), expected, atol=1e-6)


LABELS = np.repeat([0, 1], 100)


def compare(changed: np.ndarray) -> PrecisionFacts:
    return quantisation.compare_precisions(two(POSITIVE), two(changed), LABELS)


def two(positive: np.ndarray) -> np.ndarray:
    return np.stack([1.0 - positive, positive], axis=1)


POSITIVE = np.concatenate([np.linspace(0.05, 0.45, 100), np.linspace(0.55, 0.95, 100)])


def test_equal_probabilities_are_served_in_int8() -> None:
    facts = compare(POSITIVE)
    assert facts.precision == "int8"
    assert facts.reason == (
        "int8 is as good on 200 validation slices: it names the same class on 100.0% of them, 99 % of its probabilities "
        "lie within 0.000, and the area under the ROC curve falls by 0.0000"
    )


@pytest.mark.parametrize(("others", "precision"), [(2, "int8"), (3, "float32")])
def test_one_label_in_a_hundred_may_differ(others: int, precision: str) -> None:
    changed = POSITIVE.copy()
    changed[100 : 100 + others] = 0.499
    changed[98:100] = [0.4495, 0.4499]
    before = POSITIVE.copy()
    before[100 : 100 + others] = 0.501
    facts = quantisation.compare_precisions(two(before), two(changed), LABELS)
    assert facts.agreement == pytest.approx(1 - others / 200)
    assert facts.precision == precision
    assert ("names the same class on 98.5%" in facts.reason) == (precision == "float32")


@pytest.mark.parametrize(("change", "precision"), [(0.045, "int8"), (0.055, "float32")])
def test_ninety_nine_of_a_hundred_probabilities_may_move_by_a_twentieth(change: float, precision: str) -> None:
    changed = POSITIVE.copy()
    changed[10:20] += change
    facts = compare(changed)
    assert facts.change == pytest.approx(change)
    assert facts.precision == precision


def test_the_area_may_fall_by_five_thousandths() -> None:
    changed = POSITIVE.copy()
    changed[0] = 0.499  # One negative above no positive: nothing lost yet.
    assert compare(changed).auc_loss == 0.0
    before = np.where(LABELS == 1, 0.490, 0.485)
    for moved, precision in ((0, "int8"), (2, "float32")):
        after = before.copy()
        after[:moved] = 0.495  # Each above all hundred positives: a hundredth of the area.
        facts = quantisation.compare_precisions(two(before), two(after), LABELS)
        assert facts.auc_loss == pytest.approx(moved / 100)
        assert facts.precision == precision
    assert "the area under the ROC curve falls by 0.0200, 0.005 is allowed" in facts.reason


def test_an_area_that_grows_is_said_to_rise() -> None:
    before, after = POSITIVE.copy(), POSITIVE.copy()
    before[99] = 0.5525  # A negative above one positive, and below it once computed in int8.
    after[99] = 0.549
    facts = quantisation.compare_precisions(two(before), two(after), LABELS)
    assert facts.precision == "int8"
    assert facts.reason.endswith("the area under the ROC curve rises by 0.0001")


def test_without_one_of_the_classes_it_stays_float32() -> None:
    facts = quantisation.compare_precisions(two(POSITIVE), two(POSITIVE), np.zeros(200, np.int64))
    assert (facts.precision, facts.auc_loss) == ("float32", None)
    assert "undefined" in facts.reason

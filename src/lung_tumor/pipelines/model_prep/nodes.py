"""Adapters between the catalog and the library."""

from __future__ import annotations

from typing import Any

from lung_tumor import __version__, network
from lung_tumor.classifier import Classifier
from lung_tumor.imaging import PreparationOptions
from lung_tumor.metadata import ModelMetadata
from lung_tumor.network import NetworkOptions
from lung_tumor.weights import WEIGHTS_DIGEST, Tensors


def build_classifier(tensors: Tensors, provenance: dict[str, Any], options: NetworkOptions, seed: int) -> Classifier:
    """VGG16 with ImageNet's numbers and a new, untrained head for the classes of the data."""
    preparation = PreparationOptions(**provenance["preparation"])
    metadata = ModelMetadata(
        classes=tuple(provenance["classes"]),
        synthetic=provenance["synthetic"],
        source=provenance["source"],
        slices=0,
        preparation=preparation,
        weights_digest=WEIGHTS_DIGEST,
        version=__version__,
    )
    model = network.build(len(metadata.classes), options, preparation.size, seed)
    return Classifier(network.load_base(model, tensors), metadata)


def summarise_classifier(classifier: Classifier) -> str:
    """Architecture and parameter counts as text."""
    return network.summarise(classifier.model)

"""What a model says of itself, wherever it goes: in the ``.keras`` file, in the ``.onnx`` file, on the page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lung_tumor.imaging import PreparationOptions
from lung_tumor.novelty import NoveltyRule
from lung_tumor.operating_point import OperatingPoint


@dataclass(frozen=True)
class ModelMetadata:
    """Facts that travel inside every model file.

    Attributes:
        classes: class names, in the order of the model's outputs.
        synthetic: whether any slice learnt from was made by the phantom.
        source: where the slices came from, without credentials and without a path of this machine.
        slices: number of training slices.
        preparation: options of :func:`lung_tumor.imaging.prepare` that the network was trained with.
        weights_digest: SHA-256 over the pretrained tensors.
        data_digest: SHA-256 over the digests of the training slices.
        learnt_from: :func:`lung_tumor.consistency.learnt_digests` of the training and validation pictures, by which a later
            evaluation knows what the model has seen; empty before training, and of models of earlier versions.
        model_digest: SHA-256 over the trained network's weights, of whatever was made from them; empty before training.
        version: version of this package.
        created: time of training, ISO 8601, UTC; empty where reproducibility matters more.
        warnings: what the audit of the data set says against believing any figure, most important first.
        temperature: what logits are divided by, so that probabilities mean what they say; 1 where not calibrated.
        operating_point: from where on a slice is suspected; None before it is chosen.
        novelty: when a slice is refused; None before it is chosen.
        precision: arithmetic of the served network, ``float32`` or ``int8``.
        precision_reason: why that one.
        evidence: how the evidence maps are made, ``exact`` (they sum to the logit) or ``Grad-CAM``; empty where there are none.
        metrics: figures of its evaluation with their intervals, :func:`lung_tumor.carried_figures.carried_figures`; empty
            before it.
        lineage: of a champion, the best figures that it or champions before it reached on the same test slices, see
            :class:`lung_tumor.promotion.Lineage`; empty before it is one.
    """

    classes: tuple[str, ...]
    synthetic: bool
    source: str
    slices: int
    preparation: PreparationOptions
    weights_digest: str = ""
    data_digest: str = ""
    learnt_from: tuple[str, ...] = ()
    model_digest: str = ""
    version: str = ""
    created: str = ""
    warnings: tuple[str, ...] = ()
    temperature: float = 1.0
    operating_point: OperatingPoint | None = None
    novelty: NoveltyRule | None = None
    precision: str = "float32"
    precision_reason: str = ""
    evidence: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "warnings", tuple(self.warnings))
        object.__setattr__(self, "learnt_from", tuple(self.learnt_from))
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must be two or more different names, received {self.classes}")

    def to_json(self) -> str:
        """Serialise with sorted keys, so that equal facts are equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """Read what :meth:`to_json` wrote."""
        values = json.loads(text)
        point, rule = values.get("operating_point"), values.get("novelty")
        built = {
            "preparation": PreparationOptions(**values["preparation"]),
            "operating_point": OperatingPoint(**point) if point else None,
            "novelty": NoveltyRule(**rule) if rule else None,
        }
        return cls(**{**values, **built})

"""What a model says of itself, wherever it goes: in the ``.keras`` file, in the ``.onnx`` file, on the page."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from lung_tumor.imaging import PreparationOptions


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
        version: version of this package.
        created: time of training, ISO 8601, UTC; empty where reproducibility matters more.
        warnings: what the audit of the data set says against believing any figure, most important first.
    """

    classes: tuple[str, ...]
    synthetic: bool
    source: str
    slices: int
    preparation: PreparationOptions
    weights_digest: str = ""
    data_digest: str = ""
    version: str = ""
    created: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "warnings", tuple(self.warnings))
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must be two or more different names, received {self.classes}")

    def to_json(self) -> str:
        """Serialise with sorted keys, so that equal facts are equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelMetadata:
        """Read what :meth:`to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "preparation": PreparationOptions(**values["preparation"])})

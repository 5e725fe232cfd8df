"""From a trained classifier to a whole model that could be served: precision, calibration, operating point, novelty."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from lung_tumor import calibration, export, novelty, operating_point, quantisation
from lung_tumor.classifier import Classifier
from lung_tumor.cohort import Indices, representatives
from lung_tumor.export import Drafted, ServedParts
from lung_tumor.imaging import Pixels
from lung_tumor.novelty import NoveltyOptions
from lung_tumor.operating_point import OperatingPointOptions
from lung_tumor.weights import Tensors

LEARNT_FROM = 600
"""Training slices that the served arithmetic is run over, or as many as novelty is to refer to: each costs a prediction."""

RANGED = 32
"""Training slices from which int8 takes the ranges of activations: more hardly change them, and cost as much each as two
predictions."""

MOST_TURNED = 100
"""Training slices that are turned upside down to learn which way is up: their mean is what counts."""

CHECKS = 16
"""Slices on which the draft must agree with the Keras model."""


@dataclass(frozen=True)
class Pictures:
    """Some pictures of one split.

    Attributes:
        slices: a call opens one prepared slice, (size, size) uint8.
        labels: (n,) index of each one's class.
        groups: (n,) group of each.
    """

    slices: Sequence[Callable[[], Pixels]]
    labels: npt.NDArray[np.int64]
    groups: Sequence[str]

    def some(self, most: int) -> Pictures:
        """At most so many, spread over classes and groups."""
        return self.at(representatives(self.labels, self.groups, most))

    def at(self, places: Indices) -> Pictures:
        """Those at these places."""
        chosen = places.tolist()
        return Pictures([self.slices[i] for i in chosen], self.labels[places], [self.groups[i] for i in chosen])

    def opened(self) -> Iterable[Pixels]:
        """Each slice in turn."""
        return (open_slice() for open_slice in self.slices)


def assemble(
    classifier: Classifier,
    learnt: Pictures,
    validation: Pictures,
    tensors: Tensors,
    point: OperatingPointOptions,
    novel: NoveltyOptions,
) -> tuple[bytes, dict[str, Any]]:
    """Make the model whose answers the evaluation judges, and which is served if it is promoted.

    Everything is measured in the very arithmetic that is served: temperature, operating point and refer band on validation
    pictures, references, typical evidence and the ranges of int8 on training pictures.

    Args:
        classifier: trained.
        learnt: its training pictures.
        validation: pictures it has not learnt from.
        tensors: ImageNet's, for blocks beyond the classifier's last.
        point: how suspicion is cut.
        novel: how the limit of novelty is set.

    Returns:
        The serialised ONNX model, and how it came about: ``precision``, ``temperature``, ``temperature_reason``,
        ``operating_point`` and ``novelty``; ``candidate_digest``, the SHA-256 of the model that they tell of.
    """
    seen = learnt.some(max(LEARNT_FROM, novel.most_references))
    checks = np.stack(list(validation.some(CHECKS).opened()))
    plain = export.draft(classifier, novel, tensors, checks)
    small = quantisation.quantise(plain, learnt.some(RANGED).opened())
    judged = {name: _run(draft, validation, f"Validation, {name}") for name, draft in _both(plain, small)}
    # Each as it would be served: with a temperature of its own.
    warmth = {
        name: calibration.fit_temperature(validation.labels, export.probabilities(drafted.logits))
        for name, drafted in judged.items()
    }
    alike = {name: export.probabilities(drafted.logits, warmth[name].value) for name, drafted in judged.items()}
    compared = quantisation.compare_precisions(alike["float32"], alike["int8"], validation.labels)
    draft, drafted = dict(_both(plain, small))[compared.precision], judged[compared.precision]
    temperature = warmth[compared.precision]
    classes = classifier.metadata.classes
    chosen = operating_point.choose(
        validation.labels,
        export.probabilities(drafted.logits, temperature.value),
        validation.groups,
        classes,
        point,
    )
    known = _run(draft, seen, "Training slices as served")
    # Every so-many-th, so that both means are of the same mixture of classes.
    turned = seen.at(np.linspace(0, len(seen.labels) - 1, min(MOST_TURNED, len(seen.labels))).round().astype(np.intp))
    flipped = export.run(draft, _shown(turned, "Upside down", np.flipud)).features
    cut = np.concatenate([novelty.cut_off(picture[np.newaxis]) for picture in seen.opened()])
    fitted = novelty.fit(known.features, flipped, cut, seen.groups, novel)
    healthy = seen.labels == classes.index(chosen.negative)
    parts = ServedParts(
        temperature=temperature.value,
        operating_point=chosen,
        novelty=fitted,
        typical=known.evidence[healthy].mean(axis=0),
        precision_reason=compared.reason,
    )
    facts = {
        "precision": asdict(compared),
        "temperature": temperature.value,
        "temperature_reason": temperature.reason,
        "operating_point": asdict(chosen),
        "novelty": asdict(fitted.rule) | {"blocks": list(fitted.rule.blocks)},
    }
    content = export.finish(draft, parts)
    return content, facts | {"candidate_digest": hashlib.sha256(content).hexdigest()}


def _both(plain: bytes, small: bytes) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    return ("float32", plain), ("int8", small)


def _run(draft: bytes, pictures: Pictures, title: str) -> Drafted:
    return export.run(draft, _shown(pictures, title))


def _shown(pictures: Pictures, title: str, change: Callable[[Pixels], Pixels] = np.asarray) -> Iterable[Pixels]:
    """Each slice in turn, changed, with a progress bar."""
    return map(change, tqdm(pictures.opened(), desc=title, total=len(pictures.slices), unit="slice"))

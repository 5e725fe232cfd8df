"""The four plain answers: suspected, no sign, uncertain, refused; each with a sentence why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lung_tumor.operating_point import suspicion

if TYPE_CHECKING:
    from lung_tumor.metadata import ModelMetadata


class Answer(StrEnum):
    """What a reader is told of one slice."""

    SUSPECTED = "suspected"
    CLEAR = "clear"
    UNCERTAIN = "uncertain"
    REFUSED = "refused"


@dataclass(frozen=True)
class Decision:
    """One slice, judged.

    Attributes:
        answer: which of the four.
        headline: the answer in words, such as ``adenocarcinoma suspected``.
        sentence: why.
        label: the most probable class.
        suspicion: 1 less the probability of the class that means no disease, 0 to 1.
        distance: cosine distance to the training slices (:mod:`lung_tumor.novelty`), 0 to 2.
    """

    answer: Answer
    headline: str
    sentence: str
    label: str
    suspicion: float
    distance: float


def decide(
    probabilities: npt.NDArray[np.floating[Any]], distances: npt.NDArray[np.floating[Any]], metadata: ModelMetadata
) -> list[Decision]:
    """Answer for each slice.

    Args:
        probabilities: (n, classes), calibrated.
        distances: (n,), as the model gives them.
        metadata: of the model.

    Raises:
        ValueError: the model has no operating point or no limit of novelty.
    """
    point, rule = metadata.operating_point, metadata.novelty
    if point is None or rule is None:
        raise ValueError("the model carries no operating point; export it anew with `kedro run`")
    suspicions = suspicion(probabilities, metadata.classes, point.negative)
    return [
        _decide(row, float(suspected), float(distance), metadata)
        for row, suspected, distance in zip(probabilities, suspicions, distances, strict=True)
    ]


def _decide(row: npt.NDArray[np.floating[Any]], suspected: float, distance: float, metadata: ModelMetadata) -> Decision:
    point, rule = metadata.operating_point, metadata.novelty
    assert point is not None and rule is not None  # noqa: S101, PT018 - decide() looked
    others = [index for index, name in enumerate(metadata.classes) if name != point.negative]
    likeliest = metadata.classes[max(others, key=lambda index: float(row[index]))]
    label = metadata.classes[int(row.argmax())]
    # A figure that is no number fails every comparison: it must not end as «no sign».
    if not (distance <= rule.threshold and 0.0 <= suspected <= 1.0):
        answer, headline = Answer.REFUSED, "not a chest CT slice I can judge: refused"
        sentence = (
            f"It differs more from the slices learnt from (distance {distance:.3f}) than they differ among each other "
            f"(limit {rule.threshold:.3f}), so no probability of it can be believed."
        )
    elif point.low <= suspected < point.high:
        answer, headline = Answer.UNCERTAIN, "uncertain: refer"
        sentence = (
            f"The suspicion of {suspected:.0%} lies too close to the operating point of {point.threshold:.0%} to be told "
            f"either way; let a radiologist look."
        )
    elif suspected >= point.threshold:
        answer, headline = Answer.SUSPECTED, f"{likeliest} suspected"
        sentence = f"The suspicion of {suspected:.0%} lies above the operating point of {point.threshold:.0%}."
    else:
        answer, headline = Answer.CLEAR, f"no sign of {_any_of([metadata.classes[index] for index in others])}"
        sentence = f"The suspicion of {suspected:.0%} lies below the operating point of {point.threshold:.0%}."
    return Decision(answer, headline, sentence, label, suspected, distance)


def _any_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"

"""The four plain answers: suspected, no sign, uncertain, refused; each with a sentence why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lung_tumor.operating_point import suspicion
from lung_tumor.wording import chance

if TYPE_CHECKING:
    from lung_tumor.metadata import ModelMetadata


_MOST_DIGITS = 6

_ROUNDING = 1e-6
"""Of float32 distances around 1."""

_ELSEWHERE = "A slice unlike those learnt from, such as another hospital's, may be cleared wrongly."
"""Said with every clearance: not all of those are refused (docs/adr/0007), and the harm lies here."""


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
        distance: to the training slices (:mod:`lung_tumor.novelty`), 0 to 3: a cosine distance of 0 to 1, and 1 more for each
            of what no distance tells, upside down and a display window that has cut off too much.
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
        sentence = f"{_why_refused(distance, rule.threshold)}, so no probability of it can be believed."
    else:
        found, bound = _told_apart(chance, 1, suspected, point.threshold)
        if point.low <= suspected < point.high:
            answer, headline = Answer.UNCERTAIN, "uncertain: refer"
            where = f"too close to the operating point of {bound} to be told either way; let a radiologist look"
        elif suspected >= point.threshold:
            answer, headline = Answer.SUSPECTED, f"{likeliest} suspected"
            where = f"above the operating point of {bound}" if found != bound else "at the operating point"
        else:
            answer, headline = Answer.CLEAR, f"no sign of {_any_of([metadata.classes[index] for index in others])}"
            where = f"below the operating point of {bound}"
        sentence = f"The suspicion of {found} lies {where}."
        if answer == Answer.CLEAR:
            sentence += f" {_ELSEWHERE}"
    return Decision(answer, headline, sentence, label, suspected, distance)


def _why_refused(distance: float, threshold: float) -> str:
    """What a distance beyond the threshold, or none, says of the slice."""
    if not distance > threshold:
        return "The model's figures for it are no numbers"
    # Each of the two is a whole 1; a slice that was learnt from, at a distance of 0, may lie a rounding error below.
    beyond = int(distance + _ROUNDING)
    found, cosine = [], distance - beyond
    if beyond == 0 or cosine > threshold:
        far, limit = _told_apart(lambda value, digits: f"{value:.{digits}f}", 3, cosine, threshold)
        found.append(
            f"It differs more from the slices learnt from (distance {far}) than they differ among each other (limit {limit})"
        )
    if beyond:
        either = "and" if beyond > 1 else "or"
        found.append(
            f"{'it' if found else 'It'} looks as if it was turned upside down, {either} as if its display window had cut off "
            "too much"
        )
    return ", and ".join(found)


def _told_apart(write: Callable[[float, int], str], digits: int, value: float, bound: float) -> tuple[str, str]:
    """Both as text, with so many decimals, or with as many more as it takes for the texts to differ."""
    while digits < _MOST_DIGITS and value != bound and write(value, digits) == write(bound, digits):
        digits += 1
    return write(value, digits), write(bound, digits)


def _any_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"

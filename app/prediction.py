"""From the bytes of uploads to the model's answers."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from werkzeug.exceptions import (
    HTTPException,
    ServiceUnavailable,
    UnprocessableEntity,
    UnsupportedMediaType,
)

from app.admission import this_client
from app.model import ServedModel
from app.pictures import evidence_overlay, png_uri
from app.problems import problem, sentence
from app.slices import Slice, slices_of
from app.turns import Turns
from app.uploads import WRONG_TYPE, too_slow
from lung_tumor.answers import Answer, Decision, decide
from lung_tumor.dicom import is_dicom
from lung_tumor.dicom_series import Place, place_of
from lung_tumor.errors import SliceError
from lung_tumor.imaging import Pixels, decode, prepare
from lung_tumor.metadata import ModelMetadata
from lung_tumor.predictor import Judged

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""First bytes of PNG and JPEG."""

MAX_SIDE = 4096
"""Longest side that is judged, in pixels: eight times a CT slice's, so that no upload takes minutes or gigabytes."""

_LARGE_PIXELS = 2048 * 2048
"""From here on pictures are decoded one at a time."""

_SERIES_KEY = secrets.token_bytes(16)
"""Makes another name of a series' UID: the same in all answers of this process, and of no use to tell the UID."""

_AHEAD = 4
"""Slices of one request that wait for the model: enough to fill its runs, few enough that others get their turn."""


@dataclass(frozen=True)
class Item:
    """What is answered for one slice. Every field but the first three is None or empty where ``error`` is not.

    Attributes:
        name: what the client called the file, or its name within a zip.
        file: index of the uploaded file.
        slice: its number in that file, from 0, in the order in which the file holds its slices.
        series: tells slices of one DICOM series from those of another, until the server starts anew; it is not the
            series' UID. None where the file names no series.
        position: where a DICOM slice lies along its series, mm; None where the file does not say.
        answer: ``suspected``, ``clear``, ``uncertain`` or ``refused``.
        headline: the answer in words.
        sentence: why.
        label: the most probable class; None of a refused slice, of which nothing that the network says can be believed.
        suspicion: 1 less the probability of the class that means no disease; None of a refused slice.
        probabilities: class name to probability, in the model's order; None of a refused slice.
        operating_point: ``negative``, ``threshold``, ``low`` and ``high``.
        novelty: ``distance`` and ``threshold``.
        images: ``slice``, ``evidence`` and the ``class`` that it speaks for, the latter two None of a refused slice; None
            unless asked for.
        error: an RFC 9457 problem: why there is no answer.
    """

    name: str
    file: int
    slice: int
    series: str | None = None
    position: float | None = None
    answer: str = ""
    headline: str = ""
    sentence: str = ""
    label: str | None = None
    suspicion: float | None = None
    probabilities: Mapping[str, float | None] | None = None
    operating_point: Mapping[str, Any] | None = None
    novelty: Mapping[str, Any] | None = None
    images: Mapping[str, str | None] | None = None
    error: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As the API answers it."""
        if self.error is not None:
            return {"name": self.name, "file": self.file, "slice": self.slice, "error": dict(self.error)}
        found = {name: value for name, value in vars(self).items() if name not in ("images", "error")}
        return {**found, "images": self.images} if self.images is not None else found


class _Waiting(NamedTuple):
    slot: int
    prepared: Pixels
    answer: Future[Judged]


def judge_uploads(
    files: Sequence[tuple[str, bytes]], model: ServedModel, images: bool = False, skip: int = 0
) -> list[Item]:
    """Decode, prepare and judge uploads, with the same ``imaging`` functions as training.

    One bad file does not take the others' answers, nor does the end of ``REQUEST_SECONDS``: what is not judged by then has
    a 503 for its error. A zip is judged file by file; slices of one DICOM series stand together, at the place of the first,
    in the order of their position.

    Args:
        files: what the client calls each file, and its content: PNG, JPEG, DICOM or a zip of such.
        model: what to ask.
        images: whether to add pictures.
        skip: slices at the beginning that are neither judged nor answered.

    Raises:
        ServiceUnavailable: there is no model, or no time or room to find the slices that follow those to be skipped.
    """
    predictor = model.require()
    resources, client = model.resources, this_client()
    until = time.monotonic() + float(resources.config["REQUEST_SECONDS"])
    items: list[Item] = []
    places: list[Place | None] = []
    waiting: deque[_Waiting] = deque()

    def settle() -> None:
        job = waiting.popleft()
        items[job.slot] = _answered(items[job.slot], job, predictor.metadata, until, images)

    try:
        # Closed even where a model breaks: what it holds unpacked takes room.
        with closing(_prepared_each(files, model, until, skip)) as slices:
            for part, place, found in slices:
                items.append(_placed(part, place))
                places.append(place)
                if isinstance(found, HTTPException):
                    items[-1] = _unusable(items[-1], found)
                    continue
                waiting.append(_Waiting(len(items) - 1, found, resources.engine.submit(predictor, found, client)))
                while len(waiting) >= _AHEAD:
                    settle()
        while waiting:
            settle()
    finally:
        for job in waiting:
            job.answer.cancel()
    for item in items:
        if item.error is None:
            resources.metrics.count("answers", answer=item.answer)
        else:
            resources.metrics.count("unusable_files", status=str(item.error["status"]))
    return [items[index] for index in _order(places)]


def _prepared_each(
    files: Sequence[tuple[str, bytes]], model: ServedModel, until: float, skip: int
) -> Generator[tuple[Slice, Place | None, Pixels | HTTPException]]:
    """Each slice of the uploads, ready for the network, or why it is not; few at a time are held decoded."""
    slices, client = slices_of(files, model.resources, until, skip), this_client()
    for number in count():
        # What is skipped is not decoded, and waits for no turn: it would take as long as what was judged.
        with _turn(model.resources.turns, client, until) if number >= skip else nullcontext():
            part = next(slices, None)
            if part is None:
                return
            if number < skip:
                # Then it is unknown which slices follow.
                if isinstance(part.content, ServiceUnavailable):
                    raise part.content
                continue
            place, found = _opened(part, model, until)
        yield part, place, found


def _opened(part: Slice, model: ServedModel, until: float) -> tuple[Place | None, Pixels | HTTPException]:
    if isinstance(part.content, HTTPException):
        return None, part.content
    # A file of many frames is split at once, and goes on yielding them when the time is up.
    if time.monotonic() > until:
        return None, too_slow()
    content = part.content()
    return place_of(content), _prepared(content, model, until)


@contextmanager
def _turn(turns: Turns, client: str, until: float) -> Iterator[None]:
    """A turn; without one the request's time is up, and what asks for the time unpacks and decodes nothing."""
    came = False
    # However early a wait may end: without a turn it must be later than ``until``.
    while not came and (left := until - time.monotonic()) >= 0.0:
        came = turns.acquire(client, left)
    try:
        yield
    finally:
        if came:
            turns.release()


@contextmanager
def _alone(model: ServedModel, until: float) -> Iterator[None]:
    """The one turn for large pictures.

    Raises:
        ServiceUnavailable: it did not come before the request's time was up.
    """
    large = model.resources.large
    if not large.acquire(timeout=max(0.0, until - time.monotonic())):
        raise too_slow()
    try:
        yield
    finally:
        large.release()


def _prepared(content: bytes, model: ServedModel, until: float) -> Pixels | HTTPException:
    options = model.require().metadata.preparation

    def hold(width: int, height: int) -> AbstractContextManager[object]:
        if max(width, height) > MAX_SIDE:
            raise SliceError(f"the picture is {width}x{height} pixels; no side may be longer than {MAX_SIDE}")
        return _alone(model, until) if width * height > _LARGE_PIXELS else nullcontext()

    if not content:
        return UnprocessableEntity("The file is empty. Export the slice again and send the new file.")
    if not content.startswith(_SIGNATURES) and not is_dicom(content):
        return UnsupportedMediaType(WRONG_TYPE)
    try:
        decoded = decode(content, options.dicom_window, hold)
        prepared = prepare(decoded.pixels, options, decoded.strokes)
    except SliceError as error:
        return UnprocessableEntity(sentence(str(error)))
    except ServiceUnavailable as error:
        return error
    return prepared if time.monotonic() <= until else too_slow()


def _unusable(item: Item, error: HTTPException) -> Item:
    return replace(item, series=None, position=None, error=problem(error))


def _answered(item: Item, job: _Waiting, metadata: ModelMetadata, until: float, images: bool) -> Item:
    try:
        judged = job.answer.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        job.answer.cancel()
        return _unusable(item, too_slow())
    (decision,) = decide(judged.probabilities, judged.distances, metadata)
    point, rule = metadata.operating_point, metadata.novelty
    assert point is not None and rule is not None  # noqa: S101, PT018 - decide() looked
    believed = decision.answer is not Answer.REFUSED
    row = dict(zip(metadata.classes, map(_number, judged.probabilities[0]), strict=True))
    return replace(
        item,
        answer=decision.answer.value,
        headline=decision.headline,
        sentence=decision.sentence,
        label=decision.label if believed else None,
        suspicion=_number(decision.suspicion) if believed else None,
        probabilities=row if believed else None,
        operating_point={name: getattr(point, name) for name in ("negative", "threshold", "low", "high")},
        novelty={"distance": _number(decision.distance), "threshold": rule.threshold},
        images=_images(job.prepared, judged, decision, metadata) if images else None,
    )


def _images(prepared: Pixels, judged: Judged, decision: Decision, metadata: ModelMetadata) -> dict[str, str | None]:
    """The slice, and what in it speaks for the likeliest class of disease, suspected or not."""
    if decision.answer is Answer.REFUSED:
        return {"slice": png_uri(prepared), "evidence": None, "class": None}
    point = metadata.operating_point
    negative = point.negative if point else ""
    others = [index for index, name in enumerate(metadata.classes) if name != negative]
    shown = max(others, key=lambda index: float(judged.probabilities[0, index]))
    # Where nothing is suspected, the strongest of it is still little: so it looks.
    strength = min(1.0, decision.suspicion / max(point.threshold if point else 1.0, 1e-6))
    overlay = evidence_overlay(judged.unusual_evidence[0, shown], len(prepared), strength)
    return {"slice": png_uri(prepared), "evidence": png_uri(overlay), "class": metadata.classes[shown]}


def _placed(part: Slice, place: Place | None) -> Item:
    item = Item(part.name, part.file, part.number)
    if place is None:
        return item
    series = hashlib.blake2b(place.series, key=_SERIES_KEY, digest_size=8).hexdigest() if place.series else None
    return replace(item, series=series, position=None if place.position_mm is None else _number(place.position_mm))


def _order(places: Sequence[Place | None]) -> list[int]:
    """Indices so that slices of a series stand together, by position; what has no position keeps its own order."""
    first: dict[object, int] = {}
    keys: list[tuple[int, float, int]] = []
    for index, place in enumerate(places):
        if place is None or not place.series or place.position_mm is None:
            keys.append((index, 0.0, index))
        else:
            keys.append((first.setdefault(place.series, index), place.position_mm, index))
    return sorted(range(len(places)), key=keys.__getitem__)


def _number(value: float | np.floating[Any]) -> float | None:
    """Six digits; what is no number has no place in JSON."""
    return round(float(value), 6) if math.isfinite(value) else None

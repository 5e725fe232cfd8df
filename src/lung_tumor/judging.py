"""A served model over many slices, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import islice

import numpy as np
from tqdm import tqdm

from lung_tumor.imaging import Pixels
from lung_tumor.predictor import Floats, Judged, Predictor

BATCH = 8
"""Slices a call: on two cores larger batches are no faster and only take memory."""


def judge_all(predictor: Predictor, slices: Iterable[Pixels], count: int, title: str) -> Judged:
    """Judge prepared slices, each (size, size) uint8, with a progress bar.

    Raises:
        ValueError: there is no slice.
    """
    parts = []
    with tqdm(total=count, desc=title, unit="slice") as bar:
        for batch in _batches(slices):
            parts.append(predictor.judge(np.stack(batch)))
            bar.update(len(batch))
    if not parts:
        raise ValueError(f"{title}: there is no slice to judge")
    return Judged(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Judged)))


def predict_all(predictor: Predictor, slices: Iterable[Pixels], count: int, title: str) -> Floats:
    """Class probabilities of prepared slices, (n, classes), of any model of this project, without novelty and evidence.

    Raises:
        ValueError: there is no slice.
    """
    with tqdm(total=count, desc=title, unit="slice") as bar:
        parts = []
        for batch in _batches(slices):
            parts.append(predictor.predict(np.stack(batch)))
            bar.update(len(batch))
    if not parts:
        raise ValueError(f"{title}: there is no slice to judge")
    return np.concatenate(parts)


def _batches(slices: Iterable[Pixels]) -> Iterator[list[Pixels]]:
    waiting = iter(slices)
    while batch := list(islice(waiting, BATCH)):
        yield batch

"""A fit that takes a second and keeps a checkpoint: `python -m tests.support.fits FILE` is what tests kill."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lung_tumor.fitting import FittingOptions, History, LabelledActivations, fit
from lung_tumor.head_learner import HeadLearner
from lung_tumor.network import NetworkOptions, moments

OPTIONS = FittingOptions(epochs=400, batch_size=8, learning_rate=0.003, warm_up=3, patience=400)


def examples(count: int = 40, seed: int = 0, width: int = 6, classes: int = 2) -> LabelledActivations:
    """Features of which the first says most about the class."""
    rng = np.random.default_rng(seed)
    values = rng.normal(3.0, 2.0, (count, width)).astype(np.float32)
    noisy = values[:, 0] + rng.normal(0.0, 1.0, count)
    return LabelledActivations([values], np.digitize(noisy, np.linspace(2.0, 4.0, classes + 1)[1:-1]).astype(np.int64))


def learner(seed: int = 0, classes: int = 2, **options: Any) -> HeadLearner:
    """A head for such features, with dropout, so that random numbers matter."""
    settings = NetworkOptions(**{"hidden_units": (5,), "dropout": 0.3, **options})
    return HeadLearner(moments(examples(classes=classes).values), classes, settings, seed)


def run(
    checkpoint: Path | None, options: FittingOptions = OPTIONS, seed: int = 4
) -> tuple[History, list[np.ndarray[Any, Any]]]:
    """Fit and return the history and the weights."""
    made = learner()
    history = fit(made, examples(), examples(20, seed=1), options, seed=seed, title=None, checkpoint=checkpoint)
    return history, made.get_weights()


def fingerprint(outcome: tuple[History, list[np.ndarray[Any, Any]]]) -> str:
    """The same for two fits that agree in every bit."""
    history, weights = outcome
    return hashlib.sha256(json.dumps(history).encode() + b"".join(part.tobytes() for part in weights)).hexdigest()


if __name__ == "__main__":
    sys.stdout.write(fingerprint(run(Path(sys.argv[1]))))

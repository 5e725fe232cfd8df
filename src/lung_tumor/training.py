"""Training a classifier: its head on remembered features, then, where blocks are not frozen, blocks and head together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lung_tumor import network
from lung_tumor.bootstrap import group_bootstrap
from lung_tumor.checkpoint import History
from lung_tumor.classifier import Classifier
from lung_tumor.cohort import Cohort, Indices
from lung_tumor.fitting import FittingOptions, cross_entropies, fit, predict, weighted_loss
from lung_tumor.head_learner import HeadLearner
from lung_tumor.roc import macro_area
from lung_tumor.tail_learner import Precision, TailLearner

if TYPE_CHECKING:
    import keras

Probabilities = npt.NDArray[np.floating[Any]]

HEAD, FINE_TUNED = "head", "fine-tuned"


@dataclass(frozen=True)
class Fitted:
    """What fitting gave.

    Attributes:
        history: one row an epoch; ``phase`` is 0 for the head alone, 1 for fine-tuning, and one of all is ``kept``.
        validation: probabilities of the validation pictures, where there are any, by :data:`HEAD` and, where blocks train,
            :data:`FINE_TUNED`.
        chosen: which of the two has the smaller validation loss; the model is left as that one.
        predict: probabilities, (n, classes), of other pictures of the cohort by the chosen one.
    """

    history: History
    validation: Mapping[str, Probabilities]
    chosen: str
    predict: Callable[[Indices], Probabilities]


def train(
    model: keras.Model,
    cohort: Cohort,
    seen: Indices,
    unseen: Indices,
    head: FittingOptions,
    fine_tuning: FittingOptions,
    seed: int,
    *,
    precision: Precision = "float32",
    checkpoint: Path | None = None,
    keep_checkpoint: bool = False,
    quiet: bool = False,
) -> Fitted:
    """Fit the trainable part of a model in place.

    A later phase that makes validation worse is undone.

    Args:
        model: untrained, from :func:`lung_tumor.network.build`; only its trainable weights and its standardisation change.
        cohort: gives the activations of :func:`lung_tumor.network.every_cut`.
        seen: pictures to learn from, with all their views.
        unseen: pictures that decide when to stop, and whether fine-tuning was worth it; none where nothing is decided,
            which is where no block trains and the head has no ``patience``.
        head: options of the first phase, in which all blocks stay as they are.
        fine_tuning: options of the second, where blocks train.
        seed: seeds shuffling and dropout.
        precision: what blocks that train compute in.
        checkpoint: where an interrupted second phase goes on from.
        keep_checkpoint: whether it stays after the end (:func:`lung_tumor.fitting.fit`).
        quiet: whether to show no progress bar of the head, which takes less than a second.

    Raises:
        ValueError: pictures must decide and there are none.
    """
    taps = network.feature_cuts(model)
    training = cohort.loaded(taps, seen, views=None)
    validation = cohort.loaded(taps, unseen) if len(unseen) else None
    learner = HeadLearner(network.moments(training.values), model.output_shape[-1], network.head_options(model), seed)
    history = [
        {**row, "phase": 0.0}
        for row in fit(learner, training, validation, head, seed=seed, title=None if quiet else "Head")
    ]
    learner.to_keras(model)
    fitted = Fitted(
        history,
        {} if validation is None else {HEAD: learner.predict(validation.values)},
        HEAD,
        lambda pictures: learner.predict(cohort.loaded(taps, pictures).values),
    )
    if not network.trains_blocks(model):
        return fitted
    if validation is None:
        raise ValueError("fine-tuning needs pictures that decide whether it was worth it, received none")
    tail = TailLearner(network.trainable_tail(model), seed, precision)
    cuts = network.cuts(model)
    validation_tail = cohort.stored(cuts, unseen)
    rows = fit(
        tail,
        cohort.stored(cuts, seen, views=None),
        validation_tail,
        fine_tuning,
        seed=seed,
        title="Fine-tuning",
        checkpoint=checkpoint,
        keep_checkpoint=keep_checkpoint,
    )
    both = {**fitted.validation, FINE_TUNED: predict(tail, validation_tail)}
    # By one weighting of the classes, whatever either phase was fitted with.
    losses = {name: weighted_loss(values, validation.labels, head.class_weights) for name, values in both.items()}
    better = losses[FINE_TUNED] < losses[HEAD]
    # Of the two epochs that either phase would keep, one is.
    history = [
        *({**row, "kept": row["kept"] * (not better)} for row in history),
        *({**row, "epoch": row["epoch"] + len(history), "phase": 1.0, "kept": row["kept"] * better} for row in rows),
    ]
    if not better:
        return replace(fitted, history=history, validation=both)
    tail.to_keras(network.trainable_tail(model))
    return Fitted(history, both, FINE_TUNED, lambda pictures: predict(tail, cohort.stored(cuts, pictures)))


def judge_fine_tuning(
    fitted: Fitted,
    labels: npt.NDArray[np.int64],
    groups: Sequence[str],
    weights: Mapping[int, float],
    classes: Sequence[str],
    draws: int,
    seed: int,
) -> dict[str, Any] | None:
    """Fine-tuned blocks beside the head alone, on the validation pictures; None where no block trains.

    Args:
        fitted: from :func:`train`.
        labels: (n,) of the validation pictures.
        groups: (n,) of the validation pictures.
        weights: of each class, as in fitting; a class that is not among them counts 1.
        classes: class names.
        draws: resamples for the interval.
        seed: of the resamples.

    Returns:
        ``chosen``; ``loss``, ``accuracy`` and ``roc_auc`` of either; ``gain``, by how much fine-tuning lowers the loss, with a
        95 % interval over groups (negative where it does harm); ``sentence``.
    """
    if FINE_TUNED not in fitted.validation:
        return None
    of_rows = np.array([weights.get(label, 1.0) for label in labels.tolist()])
    losses = {name: cross_entropies(values, labels) for name, values in fitted.validation.items()}

    def mean(values: npt.NDArray[np.float64], rows: Indices) -> float:
        return float(values[rows] @ of_rows[rows] / of_rows[rows].sum())

    every, gains = np.arange(len(labels)), losses[HEAD] - losses[FINE_TUNED]
    names = [classes[label] for label in labels]
    interval = group_bootstrap(groups, names, lambda rows: mean(gains, rows), draws, seed).to_dict()
    facts: dict[str, Any] = {
        "chosen": fitted.chosen,
        "pictures": len(labels),
        "groups": len(set(groups)),
        "gain": {"value": mean(gains, every), "interval": interval},
    }
    for name, values in fitted.validation.items():
        facts[name] = {
            "loss": mean(losses[name], every),
            "accuracy": float((values.argmax(axis=1) == labels).mean()),
            "roc_auc": macro_area(labels, values),
        }
    return facts | {"sentence": _sentence(facts)}


def _sentence(facts: Mapping[str, Any]) -> str:
    gain, interval = facts["gain"]["value"], facts["gain"]["interval"]
    between = "" if interval["low"] is None else f", 95 % interval {interval['low']:.3f} to {interval['high']:.3f}"
    kept = "the fine-tuned network is kept" if facts["chosen"] == FINE_TUNED else "the head alone is kept"
    head, tuned = (facts[name]["loss"] for name in (HEAD, FINE_TUNED))
    return (
        f"Fine-tuning the blocks that are not frozen {'lowers' if gain > 0 else 'raises'} the validation loss from {head:.3f} "
        f"to {tuned:.3f} (a gain of {gain:.3f}{between}; {facts['pictures']} pictures in {facts['groups']} groups, on which "
        f"its best epoch was chosen too): {kept}."
    )


def with_training_facts(
    classifier: Classifier,
    slices: int,
    data_digest: str,
    warnings: Sequence[str] = (),
    learnt_from: Sequence[str] = (),
) -> Classifier:
    """Record what it learnt from, and which weights that gave.

    Args:
        classifier: trained.
        slices: number of training slices.
        data_digest: which they were, by :func:`~lung_tumor.consistency.training_digest`.
        warnings: what the data set's audit says against believing any figure.
        learnt_from: which pictures they were, by :func:`~lung_tumor.consistency.learnt_digests`.
    """
    metadata = replace(
        classifier.metadata,
        slices=slices,
        data_digest=data_digest,
        model_digest=weights_digest(classifier.model),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        warnings=tuple(warnings),
        learnt_from=tuple(learnt_from),
    )
    return Classifier(classifier.model, metadata)


def weights_digest(model: keras.Model) -> str:
    """SHA-256 over all weights of a network, hexadecimal: what was made of it can be told from what was not."""
    digest = hashlib.sha256()
    for values in model.get_weights():
        digest.update(f"{values.shape};".encode())
        digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
    return digest.hexdigest()


def recipe_digest(
    classifier: Classifier, features: Mapping[str, Any], head: FittingOptions, fine_tuning: FittingOptions, seed: int
) -> str:
    """SHA-256 over how a classifier is fitted, whatever pictures it learns from.

    Equal for a training and for the cross-validation that tells what such a training is worth.

    Args:
        classifier: untrained.
        features: how activations are computed, as the features pipeline wrote it.
        head: of the first phase.
        fine_tuning: of the second.
        seed: of both.
    """
    recipe = {
        # Not Keras's own description: it names operations by how many networks the process built before.
        "network": [network.summarise(classifier.model), asdict(network.head_options(classifier.model))],
        "pretrained": classifier.metadata.weights_digest,
        "preparation": classifier.metadata.preparation.to_dict(),
        "features": {name: features[name] for name in ("computation", "views_computation", "augmentation", "seed")},
        "fitting": [asdict(head), asdict(fine_tuning), seed],
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()

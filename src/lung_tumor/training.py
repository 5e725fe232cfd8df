"""Training a classifier: the frozen part once per slice, then the head, then whatever blocks are not frozen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lung_tumor import fitting, network
from lung_tumor.classifier import Classifier
from lung_tumor.feature_store import FeatureStore
from lung_tumor.features import BATCH, Activations, run_in_batches, run_with_store
from lung_tumor.fitting import FittingOptions, History, LabelledActivations, best_epoch
from lung_tumor.imaging import Pixels

if TYPE_CHECKING:
    import keras


def frozen_activations(
    classifier: Classifier, slices: Iterable[Pixels], total: int, store: FeatureStore | None = None
) -> Activations:
    """Run the frozen part of the network over prepared slices, each (size, size) uint8.

    Args:
        classifier: trained or not; its frozen part alone is used.
        slices: read a few at a time.
        total: number of slices.
        store: gives what it knows and keeps what is computed; None computes everything.

    Returns:
        One float32 array, ``total`` rows, for each activation that the trainable part reads.
    """
    prefix, title = network.frozen_prefix(classifier.model), "Frozen VGG16 pass"
    if store is None:
        return run_in_batches(prefix, slices, total, title)
    return run_with_store(prefix, slices, total, title, store)


def train(
    classifier: Classifier,
    training: LabelledActivations,
    validation: LabelledActivations,
    options: FittingOptions,
    seed: int,
) -> History:
    """Fit the classifier's trainable part in place, head first, then together with the blocks that are not frozen.

    Args:
        classifier: untrained; only its trainable weights and its standardisation change.
        training: activations from :func:`frozen_activations` with labels.
        validation: the same for the slices that decide when to stop.
        options: see :class:`FittingOptions`.
        seed: seeds shuffling and dropout.

    Returns:
        The history, one row an epoch; ``phase`` is 0 for the head alone, 1 for fine-tuning. The classifier is left as it
        was after the :func:`~lung_tumor.fitting.best_epoch` of all.
    """
    model = classifier.model
    blocks = network.trainable_blocks(model)
    seen, unseen = (_features(blocks, part) for part in (training, validation))
    network.set_standardisation(model, seen.values)
    head = network.head(model)
    rows = fitting.fit(head, seen, unseen, options, rate=options.learning_rate, seed=seed, title="Head")
    history = [{**row, "phase": 0.0} for row in rows]
    if blocks is not None:
        history += _fine_tune(network.trainable_tail(model), training, validation, options, history, seed)
    return history


def _fine_tune(
    tail: keras.Model,
    training: LabelledActivations,
    validation: LabelledActivations,
    options: FittingOptions,
    history: History,
    seed: int,
) -> History:
    """Fit blocks and head together; undone where validation was better before. Returns the rows to append."""
    before = tail.get_weights()
    rows = fitting.fit(
        tail, training, validation, options, rate=options.fine_tuning_rate, seed=seed, title="Fine-tuning"
    )
    if best_epoch(rows)["val_loss"] >= best_epoch(history)["val_loss"]:
        tail.set_weights(before)
    return [{**row, "epoch": row["epoch"] + len(history), "phase": 1.0} for row in rows]


def _features(blocks: keras.Model | None, part: LabelledActivations) -> LabelledActivations:
    if blocks is None:
        return part
    *known, last = part.values
    outputs = blocks.predict(last, batch_size=BATCH, verbose=0)
    return LabelledActivations([*known, *(outputs if isinstance(outputs, list) else [outputs])], part.labels)


def with_training_facts(
    classifier: Classifier, slices: int, data_digest: str, warnings: Sequence[str] = ()
) -> Classifier:
    """Record what it learnt from.

    Args:
        classifier: trained.
        slices: number of training slices.
        data_digest: which they were, by :func:`~lung_tumor.consistency.training_digest`.
        warnings: what the data set's audit says against believing any figure.
    """
    metadata = replace(
        classifier.metadata,
        slices=slices,
        data_digest=data_digest,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        warnings=tuple(warnings),
    )
    return Classifier(classifier.model, metadata)

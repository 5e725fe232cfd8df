"""Nothing is trained or judged on a mixture of two runs: a pipeline run alone must fit what the one before left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from lung_tumor.errors import LeakError, SourceError, StaleError
from lung_tumor.manifest import SPLITS, TRAINING, VALIDATION, accepted
from lung_tumor.metadata import ModelMetadata
from lung_tumor.splits import require_disjoint

_SHORT = 16
"""Hexadecimal digits of a short digest: by chance two of a million pictures share one in 3 of 100 million data sets."""


def digest_of(texts: Iterable[str]) -> str:
    """SHA-256 over texts, whatever their order."""
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()


def manifest_digest(manifest: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Digest of what an ingestion decides: labels, verdicts, groups, splits, the preparation, and the verified pairs."""
    columns = ["path", "pixels", "label", "verdict", "group", "split", "fold", "preparation"]
    rows = manifest[columns].astype(str)
    ends = pairs[["first", "second", "kind"]].astype(str)
    return digest_of("|".join(row) for table in (rows, ends) for row in table.itertuples(index=False))


def audit_digest(audit: Mapping[str, Any], scores: pd.DataFrame) -> str:
    """Digest of what the audit says of the data set, and of the scores that the network is set beside."""
    rows = ["|".join(map(repr, row)) for row in scores.itertuples(index=False)]
    return digest_of([json.dumps(audit, sort_keys=True), *rows])


def training_digest(manifest: pd.DataFrame) -> str:
    """Digest of the pictures of the training split."""
    return digest_of(accepted(manifest, TRAINING)["pixels"])


def learnt_digests(manifest: pd.DataFrame) -> tuple[str, ...]:
    """Short digests of the pictures of the training and the validation split, 8 bytes each in hexadecimal, sorted.

    Of the latter a model learns when to stop, its temperature, its operating point and its precision.
    Of each the content of its file and its decoded pixels: the former are the same whatever window DICOM is read through, the
    latter whatever container a picture is copied to.
    """
    rows = accepted(manifest, TRAINING, VALIDATION)
    return tuple(sorted({digest[:_SHORT] for name in ("digest", "pixels") for digest in rows[name]}))


def groups_learnt_from(manifest: pd.DataFrame, learnt_from: Collection[str]) -> frozenset[str]:
    """Groups of which a model learnt from any file, whatever became of that file in this manifest.

    Args:
        manifest: of the present run.
        learnt_from: :func:`learnt_digests` of the manifest that the model was trained with.
    """
    known = set(learnt_from)
    seen = [manifest[name].astype(str).str[:_SHORT].isin(known) for name in ("digest", "pixels")]
    return frozenset(manifest.loc[seen[0] | seen[1], "group"].astype(str)) - {""}


def require_whole(manifest: pd.DataFrame, pairs: pd.DataFrame, provenance: Mapping[str, Any]) -> pd.DataFrame:
    """Pass on a manifest that is leak-free, has every class everywhere, and is the one the ingestion ended with.

    Raises:
        LeakError: something stands in two splits.
        SourceError: a class is missing in a split.
        StaleError: ingestion was cut short between manifest and provenance, its last output, or one was changed since.
    """
    if manifest_digest(manifest, pairs) != provenance["manifest_digest"]:
        # Whoever moves a file to another split by hand must hear of the leak, not of a digest.
        require_disjoint(manifest, pairs)
        raise StaleError(
            "manifest, pairs of near-duplicates and prepared slices are not of one run; "
            "run `kedro run --pipeline=data_ingestion` again"
        )
    usable = accepted(manifest)
    for label in sorted(manifest["label"].unique()):
        rows = usable[usable["label"] == label]
        if missing := [split for split in SPLITS if split not in set(rows["split"])]:
            raise SourceError(
                f"class {label!r} has {rows['group'].nunique()} independent group(s) of slices and none for "
                f"{' and '.join(missing)}; training, validation and test need one each: add slices of other patients or "
                "leave the class out (data_ingestion.classes.folders)"
            )
    return require_disjoint(manifest, pairs)


def require_own_audit(audit: Mapping[str, Any], scores: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Check that the audit is of these slices: what it warns of must not come from, or vanish with, another data set.

    Raises:
        StaleError: it is of another run.
    """
    if audit_digest(audit, scores) != provenance["audit_digest"]:
        raise StaleError(
            "audit.json and shortcut_scores.csv are not of the run that prepared these slices; "
            "run `kedro run --pipeline=data_ingestion` again"
        )


def require_own_folds(predictions: pd.DataFrame, manifest: pd.DataFrame, training: Mapping[str, Any]) -> None:
    """Check that out-of-fold predictions are of this manifest's pictures and folds, by models fitted as this one was.

    Args:
        predictions: of cross-validation.
        manifest: of this run.
        training: as written to ``training_facts.json``.

    Raises:
        StaleError: they are of another run, or of a model fitted otherwise.
    """
    columns = ["pixels", "label", "group", "fold"]
    theirs, ours = (
        {tuple(map(str, row)) for row in table[columns].itertuples(index=False)}
        for table in (predictions, accepted(manifest))
    )
    if theirs != ours:
        raise StaleError(
            "out-of-fold predictions are not of these pictures and folds; run `kedro run --pipeline=cross_validation` again"
        )
    if "recipe" not in predictions or set(predictions["recipe"]) != {training.get("recipe")}:
        raise StaleError(
            "out-of-fold predictions are of models fitted otherwise than this classifier, by other options, another seed or "
            "another network; run `kedro run --pipeline=cross_validation` again, or remove out_of_fold_predictions.csv to "
            "evaluate without them"
        )


def require_own_training(metadata: ModelMetadata, training: Mapping[str, Any]) -> None:
    """Check that a classifier came of the training that these facts tell of.

    Args:
        metadata: of the classifier.
        training: as written to ``training_facts.json``.

    Raises:
        StaleError: it came of another; training was cut short between the two files, or one was changed since.
    """
    if not metadata.model_digest or metadata.model_digest != training.get("model_digest"):
        raise StaleError(
            "classifier.keras and training_facts.json are not of one training; run `kedro run --pipeline=training` again"
        )


def require_own_candidate(
    metadata: ModelMetadata, digest: str, training: Mapping[str, Any], serving: Mapping[str, Any]
) -> None:
    """Check that the model to be judged was made of the classifier of the last training, and is what its facts tell of.

    Args:
        metadata: of the candidate.
        digest: SHA-256 of its file.
        training: as written to ``training_facts.json``.
        serving: as written to ``serving_facts.json``.

    Raises:
        StaleError: it was made of a classifier trained before, or changed since.
    """
    if not metadata.model_digest or metadata.model_digest != training.get("model_digest"):
        raise StaleError(
            "candidate.onnx was not made of the classifier that was trained last; run `kedro run --pipeline=serving` again"
        )
    if digest != serving.get("candidate_digest"):
        raise StaleError(
            "candidate.onnx and serving_facts.json are not of one run; run `kedro run --pipeline=serving` again"
        )


def require_same_origin(metadata: ModelMetadata, provenance: Mapping[str, Any]) -> None:
    """Check that a model was built for these slices, prepared in this way.

    Raises:
        StaleError: classes, source or preparation differ.
    """
    received = {"classes": list(metadata.classes), "source": metadata.source, "synthetic": metadata.synthetic}
    received["preparation"] = metadata.preparation.to_dict()
    for name, value in received.items():
        # What went through JSON has lists where the options have tuples.
        if _listed(value) != _listed(provenance[name]):
            raise StaleError(
                f"the model was built for other slices: its {name} is {value!r}, that of the prepared slices "
                f"{provenance[name]!r}; run `kedro run --pipeline=model_prep`, then training and evaluation"
            )


def require_unseen(metadata: ModelMetadata, manifest: pd.DataFrame) -> None:
    """Check that the model learnt from exactly the training split of this manifest, so that its test split is unseen.

    Raises:
        LeakError: it learnt from others.
    """
    if metadata.data_digest != training_digest(manifest):
        raise LeakError(
            "the classifier learnt from another training split than this manifest's, so test slices may have been among "
            "them; run `kedro run --pipeline=training` first"
        )


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _listed(entry) for name, entry in value.items()}
    return [_listed(entry) for entry in value] if isinstance(value, list | tuple) else value

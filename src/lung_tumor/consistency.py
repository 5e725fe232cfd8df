"""Nothing is trained or judged on a mixture of two runs: a pipeline run alone must fit what the one before left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from lung_tumor.errors import LeakError, StaleError
from lung_tumor.manifest import accepted
from lung_tumor.metadata import ModelMetadata
from lung_tumor.splits import TRAINING, require_disjoint


def digest_of(texts: Iterable[str]) -> str:
    """SHA-256 over texts, whatever their order."""
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()


def manifest_digest(manifest: pd.DataFrame) -> str:
    """Digest of what a manifest decides: which picture, under which label, stands in which split."""
    rows = accepted(manifest)
    return digest_of(map("|".join, zip(rows["pixels"], rows["label"], rows["split"], strict=True)))


def training_digest(manifest: pd.DataFrame) -> str:
    """Digest of the distinct pictures of the training split."""
    return digest_of(accepted(manifest, TRAINING)["pixels"].unique())


def require_whole(manifest: pd.DataFrame, provenance: Mapping[str, Any]) -> pd.DataFrame:
    """Pass on a manifest that is leak-free and is the one that the rest of the ingestion was made with.

    Raises:
        LeakError: something stands in two splits.
        StaleError: ingestion was cut short between manifest and provenance, its last output.
    """
    if manifest_digest(manifest) != provenance["manifest_digest"]:
        raise StaleError(
            "manifest and prepared slices are of two runs; run `kedro run --pipeline=data_ingestion` again"
        )
    return require_disjoint(manifest)


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

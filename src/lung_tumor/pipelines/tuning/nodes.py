"""Adapters between the catalog and the library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import lung_tumor
from lung_tumor import __version__, network, tuning_figures, tuning_report
from lung_tumor.classifier import Classifier
from lung_tumor.cohort import Cohort
from lung_tumor.computation import Computation, ComputationOptions
from lung_tumor.consistency import digest_of, require_same_origin
from lung_tumor.cross_validation import Fold, cross_validate, forget
from lung_tumor.feature_store import FeatureStore
from lung_tumor.fitting import FittingOptions
from lung_tumor.manifest import TRAINING, VALIDATION, accepted
from lung_tumor.network import Cut, NetworkOptions
from lung_tumor.pipelines.cohorts import gather
from lung_tumor.pipelines.tuning.tracking import TrialRuns
from lung_tumor.prepared import Partitions
from lung_tumor.training import Probabilities
from lung_tumor.tuning import Evaluate, SearchResult, search
from lung_tumor.tuning_evaluation import evaluator, searched_cuts, sets_aside_in_search
from lung_tumor.tuning_memory import Configuration, TrialMemory
from lung_tumor.tuning_options import TuningOptions
from lung_tumor.weights import Tensors

BEST_PARAMETERS = "data/08_reporting/best_parameters.yml"
"""Where the catalog keeps the best configuration, for the instructions in that file."""


def search_configuration(
    slices: Partitions,
    manifest: pd.DataFrame,
    classifier: Classifier,
    tensors: Tensors,
    provenance: dict[str, Any],
    features: dict[str, Any],
    store: FeatureStore,
    memory: TrialMemory,
    present: NetworkOptions,
    head: FittingOptions,
    fine_tuning: FittingOptions,
    options: TuningOptions,
    seed: int,
) -> SearchResult:
    """Search on the folds of training and validation pictures; the test split has no part in what is chosen."""
    require_same_origin(classifier.metadata, provenance)
    rows = accepted(manifest, TRAINING, VALIDATION)
    default = Configuration(present, head.learning_rate, features["augmentation"]["views"])
    evaluate = make_evaluator(
        slices, rows, classifier, tensors, features, store, default, head, fine_tuning, options, seed
    )
    made_by = digest_of(
        ["|".join(row) for row in rows[["pixels", "label", "group", "fold", "preparation"]].astype(str).to_numpy()]
        + [f"{asdict(head)} {asdict(fine_tuning)} {features} seed {seed}"]
        + [f"weights {classifier.metadata.weights_digest}", code_digest()]
        + [f"stopping {sets_aside_in_search(options, present, head)}"]
    )
    tags = {"synthetic": str(provenance["synthetic"]).lower(), "slices_from": provenance["source"]}
    with TrialRuns(tags) as runs:
        result = search(evaluate, default, options, seed, memory=memory.of(made_by), on_trial=runs.log)
    # Trials that were stopped early leave theirs; an interrupted search goes on from them.
    forget(_checkpoint(store))
    return result


def _checkpoint(store: FeatureStore) -> Path:
    return store.path.with_name("tuning.npz")


def make_evaluator(
    slices: Partitions,
    rows: pd.DataFrame,
    classifier: Classifier,
    tensors: Tensors,
    features: dict[str, Any],
    store: FeatureStore,
    default: Configuration,
    head: FittingOptions,
    fine_tuning: FittingOptions,
    options: TuningOptions,
    seed: int,
) -> Evaluate:
    """The scores of a configuration, fold after fold, over these pictures alone.

    All that heads may read is computed at once and kept in memory; what fine-tuning reads stays in the store.
    """
    cuts = searched_cuts(options, default.network)

    def network_of(chosen: NetworkOptions) -> Classifier:
        size = classifier.metadata.preparation.size
        model = network.build(len(classifier.metadata.classes), chosen, size, seed)
        return Classifier(network.load_base(model, tensors), classifier.metadata)

    def cohort_of(made: Classifier, views: int, needed: Sequence[Cut] | None) -> Cohort:
        cohort = gather(rows, slices, made, features, store, augmented=(TRAINING, VALIDATION), views=views, cuts=needed)
        cohort.remembered.compute("Frozen VGG16 pass")
        return cohort

    def fine_tuned(configuration: Configuration) -> Iterator[tuple[Fold, Probabilities]]:
        made = network_of(configuration.network)
        cohort = cohort_of(made, configuration.views, None)
        rated = replace(head, learning_rate=configuration.learning_rate)
        judged = cross_validate(
            made.model,
            cohort,
            rated,
            fine_tuning,
            seed,
            precision=Computation(**features["computation"]).trains_in,
            checkpoint=_checkpoint(store),
        )
        for part in judged:
            yield part.fold, part.probabilities

    wide = network_of(NetworkOptions(feature_blocks=tuple({cut.block for cut in cuts})))
    cohort = cohort_of(wide, max(default.views, *options.views), cuts).in_memory()
    aside = sets_aside_in_search(options, default.network, head)
    return evaluator(cohort, len(classifier.metadata.classes), head, fine_tuned, seed, stopping=aside)


def code_digest(folder: Path = Path(lung_tumor.__file__).parent) -> str:
    """Digest of the library's sources and of the numbers beside them: scores that other code gave are not believed."""
    sources = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".json"))
    return digest_of([__version__, *(f"{source.name} {source.read_text(encoding='utf-8')}" for source in sources)])


def summarise_search(result: SearchResult, provenance: dict[str, Any]) -> dict[str, Any]:
    """What was found, in figures and words."""
    return tuning_report.summarise(result, source=provenance["source"], synthetic=provenance["synthetic"])


def write_best_parameters(
    result: SearchResult,
    provenance: dict[str, Any],
    features: dict[str, Any],
    computation: ComputationOptions,
    head: FittingOptions,
    fine_tuning: FittingOptions,
    seed: int,
) -> str:
    """The best configuration for ``kedro run --config``, with all that it was found under.

    The computation is written as it was asked for: what this machine made of it may be nothing for the next.
    """
    searched_with = {
        "training": {"head": asdict(head), "fine_tuning": asdict(fine_tuning)},
        "features": {"computation": asdict(computation), "augmentation": features["augmentation"]},
    }
    return tuning_report.parameters_file(result, BEST_PARAMETERS, searched_with, seed, source=provenance["source"])


def draw_search_history(result: SearchResult, provenance: dict[str, Any]) -> Figure:
    """Score of every trial."""
    return tuning_figures.search_history(result, synthetic=provenance["synthetic"], caution=provenance["few_groups"])


def draw_importances(result: SearchResult, provenance: dict[str, Any]) -> Figure:
    """What set good trials apart."""
    return tuning_figures.importances(result, synthetic=provenance["synthetic"], caution=provenance["few_groups"])

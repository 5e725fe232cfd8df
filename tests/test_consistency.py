"""What keeps two runs from being mixed."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest

from lung_tumor.consistency import (
    audit_digest,
    digest_of,
    groups_learnt_from,
    learnt_digests,
    manifest_digest,
    require_own_audit,
    require_own_candidate,
    require_own_folds,
    require_own_training,
    require_same_origin,
    require_unseen,
    require_whole,
    training_digest,
)
from lung_tumor.errors import LeakError, SourceError, StaleError
from lung_tumor.imaging import PreparationOptions
from lung_tumor.metadata import ModelMetadata
from lung_tumor.prepared import name_preparation
from lung_tumor.splits import SplitOptions, assign_splits
from tests.support.manifests import many, pairs_of

NONE = pairs_of()
PREPARATION = PreparationOptions(percentiles=(2.0, 98.0))


@pytest.fixture
def manifest() -> pd.DataFrame:
    return assign_splits(many({"a": 20, "b": 20}), SplitOptions(), seed=1)


def metadata(**changes: object) -> ModelMetadata:
    facts = ModelMetadata(classes=("a", "b"), synthetic=True, source="x", slices=3, preparation=PREPARATION)
    return dataclasses.replace(facts, **changes)  # type: ignore[arg-type]


def provenance() -> dict[str, object]:
    facts = {"classes": ["a", "b"], "synthetic": True, "source": "x", "preparation": PREPARATION.to_dict()}
    return json.loads(json.dumps(facts))


def test_a_digest_knows_no_order_but_every_text() -> None:
    assert digest_of(["a", "b"]) == digest_of(["b", "a"])
    assert digest_of(["a", "b"]) != digest_of(["ab"])


def own(manifest: pd.DataFrame, pairs: pd.DataFrame = NONE) -> dict[str, str]:
    return {"manifest_digest": manifest_digest(manifest, pairs)}


def test_a_manifest_passes_with_its_own_provenance_alone(manifest: pd.DataFrame) -> None:
    assert require_whole(manifest, NONE, own(manifest)) is manifest
    other = assign_splits(manifest, SplitOptions(), seed=2)
    with pytest.raises(StaleError, match="not of one run"):
        require_whole(other, NONE, own(manifest))


def test_pairs_of_another_run_do_not_pass(manifest: pd.DataFrame) -> None:
    pairs = pairs_of(("a/1.png", "a/1.png"))
    assert require_whole(manifest, pairs, own(manifest, pairs)) is manifest
    with pytest.raises(StaleError, match="not of one run"):
        require_whole(manifest, NONE, own(manifest, pairs))


def test_a_manifest_that_leaks_does_not_pass_whatever_its_provenance_says(manifest: pd.DataFrame) -> None:
    leaking = manifest.assign(group="one")
    for provenance in (own(leaking), own(manifest)):
        with pytest.raises(LeakError, match="more than one split"):
            require_whole(leaking, NONE, provenance)


def test_a_verified_pair_across_splits_does_not_pass(manifest: pd.DataFrame) -> None:
    one, other = (str(manifest.loc[manifest["split"] == name, "path"].iloc[0]) for name in ("training", "test"))
    pairs = pairs_of((one, other))
    with pytest.raises(LeakError, match="near-duplicates"):
        require_whole(manifest, pairs, own(manifest, pairs))


def test_slices_prepared_otherwise_do_not_pass(manifest: pd.DataFrame) -> None:
    one, other = (name_preparation(manifest, PreparationOptions(blank_outside=blank)) for blank in (False, True))
    with pytest.raises(StaleError, match="not of one run"):
        require_whole(other, NONE, own(one))


def test_the_audit_of_another_run_does_not_pass() -> None:
    audit, scores = {"warnings": ["few"]}, pd.DataFrame({"pixels": ["p", "q"], "before_a": [0.25, float("nan")]})
    provenance = {"audit_digest": audit_digest(json.loads(json.dumps(audit)), scores.copy())}
    require_own_audit(audit, scores, provenance)
    for changed in ({"warnings": []}, scores), (audit, scores.assign(before_a=0.5)):
        with pytest.raises(StaleError, match="not of the run that prepared these slices"):
            require_own_audit(*changed, provenance)


def test_out_of_fold_predictions_of_other_pictures_or_folds_do_not_pass(manifest: pd.DataFrame) -> None:
    predictions = manifest[["pixels", "label", "group", "fold"]].sample(frac=1.0, random_state=1).assign(recipe="r")
    require_own_folds(predictions, manifest, {"recipe": "r"})
    for changed in (predictions.iloc[1:], predictions.assign(fold=0)):
        with pytest.raises(StaleError, match="kedro run --pipeline=cross_validation"):
            require_own_folds(changed, manifest, {"recipe": "r"})


def test_out_of_fold_predictions_of_models_fitted_otherwise_do_not_pass(manifest: pd.DataFrame) -> None:
    predictions = manifest[["pixels", "label", "group", "fold"]].assign(recipe="r")
    # The last two are of files that know no recipe.
    for changed, training in (
        (predictions, {"recipe": "another"}),
        (predictions.drop(columns="recipe"), {"recipe": "r"}),
        (predictions, {}),
    ):
        with pytest.raises(StaleError, match=r"models fitted otherwise .*kedro run --pipeline=cross_validation"):
            require_own_folds(changed, manifest, training)


def test_a_classifier_passes_with_the_facts_of_its_own_training_alone() -> None:
    require_own_training(metadata(model_digest="m"), {"model_digest": "m"})
    for digest, training in (("m", {"model_digest": "older"}), ("m", {}), ("", {}), ("", {"model_digest": ""})):
        with pytest.raises(StaleError, match="not of one training; run `kedro run --pipeline=training` again"):
            require_own_training(metadata(model_digest=digest), training)


def test_a_candidate_of_an_earlier_training_or_another_serving_does_not_pass() -> None:
    of_now = {"model_digest": "m"}, {"candidate_digest": "c"}
    require_own_candidate(metadata(model_digest="m"), "c", *of_now)
    with pytest.raises(
        StaleError, match="not made of the classifier that was trained last; run `kedro run --pipeline=s"
    ):
        require_own_candidate(metadata(model_digest="older"), "c", *of_now)
    with pytest.raises(StaleError, match=r"serving_facts.json are not of one run; run `kedro run --pipeline=serving`"):
        require_own_candidate(metadata(model_digest="m"), "older", *of_now)
    with pytest.raises(StaleError, match="--pipeline=serving"):
        require_own_candidate(metadata(), "c", {}, {})


def test_a_class_of_which_nothing_is_accepted_is_missed(manifest: pd.DataFrame) -> None:
    gone = manifest.copy()
    gone.loc[gone["label"] == "b", ["verdict", "split"]] = ["quarantined", ""]
    with pytest.raises(SourceError, match=r"class 'b' has 0 independent group\(s\)"):
        require_whole(gone, NONE, own(gone))


def test_a_class_that_no_split_can_be_made_of_is_named_with_the_way_out() -> None:
    few = assign_splits(many({"a": 2, "b": 20}), SplitOptions(), seed=1)
    with pytest.raises(SourceError, match=r"class 'a' has 2 independent group\(s\) of slices and none for test"):
        require_whole(few, NONE, own(few))


def test_a_model_passes_for_the_slices_that_it_was_built_for() -> None:
    require_same_origin(metadata(), provenance())


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ("a", "c")},
        {"synthetic": False},
        {"source": "y"},
        {"preparation": PreparationOptions(denoise="none")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_model_built_for_other_slices_is_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(StaleError, match=rf"its {next(iter(changes))} is .*model_prep"):
        require_same_origin(metadata(**changes), provenance())


def test_a_classifier_that_learnt_from_another_split_may_not_be_judged_on_this_one(manifest: pd.DataFrame) -> None:
    require_unseen(metadata(data_digest=training_digest(manifest)), manifest)
    other = assign_splits(manifest, SplitOptions(), seed=2)
    with pytest.raises(LeakError, match="another training split"):
        require_unseen(metadata(data_digest=training_digest(other)), manifest)


# --- What another model learnt from --------------------------------------------------------------------------------------


def long(start: str) -> str:
    return start + "0" * (64 - len(start))


@pytest.mark.parametrize("split", ["training", "validation"])
def test_a_model_keeps_short_digests_of_files_and_pixels_of_what_it_learnt_or_was_tuned_by(
    manifest: pd.DataFrame, split: str
) -> None:
    given = manifest.assign(digest=long("other"), pixels=long("else"))
    learnt = given.index[given["split"] == split][:2]
    given.loc[learnt, "digest"] = [long("bbbb"), long("aaaa")]
    given.loc[learnt, "pixels"] = long("cccc")
    only = given.assign(split=given["split"].where(given.index.isin(learnt), "test"))
    assert learnt_digests(only) == tuple(long(start)[:16] for start in ("aaaa", "bbbb", "cccc"))


@pytest.mark.parametrize("column", ["digest", "pixels"])
def test_of_a_group_of_which_a_model_learnt_one_copy_it_has_learnt(manifest: pd.DataFrame, column: str) -> None:
    """Whatever that copy is here: it need be no accepted picture."""
    given = manifest.assign(digest=long("other"), pixels=long("else"))
    given.loc[given.index[3], [column, "verdict"]] = [long("aaaa"), "duplicate"]
    assert groups_learnt_from(given, [long("aaaa")[:16]]) == {given["group"].iloc[3]}
    assert groups_learnt_from(given, [long("dddd")[:16]]) == frozenset()
    assert groups_learnt_from(given, []) == frozenset()
    given.loc[given.index[3], "group"] = ""
    assert groups_learnt_from(given, [long("aaaa")[:16]]) == frozenset()

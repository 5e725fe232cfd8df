"""Held-out slices to figures and a report."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError
from onnx import numpy_helper

from app import create_app
from lung_tumor.calibration import calibrated
from lung_tumor.carried_figures import carried_figures
from lung_tumor.datasets.file_content import FileContentDataset
from lung_tumor.datasets.onnx_model import OnnxModelDataset
from lung_tumor.datasets.optional_table import OptionalTableDataset
from lung_tumor.errors import LeakError, StaleError
from lung_tumor.foreign import ALTERATIONS
from lung_tumor.hooks import flatten
from lung_tumor.imaging import to_network_input
from lung_tumor.manifest import TEST, accepted
from lung_tumor.onnx_metadata import read_metadata, with_metadata
from lung_tumor.operating_point import OperatingPointOptions
from lung_tumor.pipelines import evaluation
from lung_tumor.pipelines.evaluation import reporting
from lung_tumor.pipelines.evaluation.novelty import ALTERED
from lung_tumor.pipelines.evaluation.promotion import choose_served
from lung_tumor.predictor import Predictor
from lung_tumor.promotion import PromotionOptions
from lung_tumor.settings import PROJECT
from lung_tumor.sources import SliceSource
from tests.support.pipelines import KeptDataset, model_files, run, run_everything

RunOf = Callable[[int], DataCatalog]


def test_every_distinct_test_picture_is_predicted_once_and_nothing_else(ran: DataCatalog) -> None:
    predictions, manifest = ran.load("predictions"), ran.load("manifest")
    held_out = accepted(manifest, TEST)
    pd.testing.assert_frame_equal(
        predictions[["path", "label", "group", "pixels"]],
        held_out[["path", "label", "group", "pixels"]],
    )


def test_probabilities_are_the_classifiers_calibrated_and_the_prediction_the_likeliest_class(ran: DataCatalog) -> None:
    predictions, classifier = ran.load("predictions"), ran.load("classifier")
    metadata, slices = ran.load("candidate_model").metadata, ran.load("prepared_slices")
    given = to_network_input(np.stack([np.asarray(slices[digest]()) for digest in predictions["pixels"]]))
    expected = calibrated(classifier.model.predict_on_batch(given), metadata.temperature)
    columns = [f"p_{name}" for name in metadata.classes]
    # In int8 they may differ as much as the rule allows.
    tolerance = 1e-4 if metadata.precision == "float32" else 0.2
    np.testing.assert_allclose(predictions[columns], expected, atol=tolerance)
    likeliest = predictions[columns].to_numpy().argmax(axis=1)
    assert predictions["predicted"].tolist() == [metadata.classes[index] for index in likeliest]


def test_each_answer_follows_from_suspicion_and_distance(ran: DataCatalog) -> None:
    predictions, metadata = ran.load("predictions"), ran.load("candidate_model").metadata
    point, rule = metadata.operating_point, metadata.novelty
    assert point.negative == "normal"
    np.testing.assert_allclose(predictions["suspicion"], 1.0 - predictions["p_normal"], atol=1e-6)
    refused = predictions["distance"] > rule.threshold
    referred = predictions["suspicion"].between(point.low, point.high, inclusive="left") & ~refused
    assert set(predictions.loc[refused, "answer"]) <= {"refused"}
    assert set(predictions.loc[referred, "answer"]) <= {"uncertain"}
    assert set(predictions.loc[~refused & ~referred, "answer"]) <= {"suspected", "clear"}
    told = ran.load("metrics")["operating_point"]["test"]["referred"]["value"]
    assert told == pytest.approx((predictions["answer"] == "uncertain").mean())


def test_what_is_refused_is_counted_by_groups_and_of_many_altered_slices(ran: DataCatalog) -> None:
    found, predictions = ran.load("metrics")["novelty"], ran.load("predictions")
    held_out = pd.concat([predictions, ran.load("validation_predictions")])
    passed = held_out["distance"] <= found["rule"]["threshold"]
    refused = set(held_out.loc[~passed, "group"])
    groups = held_out["group"].nunique()
    assert found["held_out_groups"]["groups"] == groups
    assert found["held_out_groups"]["value"] == pytest.approx(1.0 - len(refused) / groups)
    assert found["held_out_groups"]["interval"]["low"] < found["held_out_groups"]["value"]
    for kind in ALTERATIONS:
        assert found["foreign"][kind]["pictures"] == min(ALTERED, len(predictions))


def test_the_figures_are_those_of_the_predictions(ran: DataCatalog) -> None:
    predictions, metrics = ran.load("predictions"), ran.load("metrics")
    classes, test = metrics["classes"], metrics["test"]
    table = pd.crosstab(predictions["label"], predictions["predicted"]).reindex(classes, axis=0)
    expected = table.reindex(classes, axis=1).fillna(0).to_numpy().tolist()
    assert test["network"]["confusion_matrix"] == expected
    assert test["network"]["accuracy"] == pytest.approx((predictions["label"] == predictions["predicted"]).mean())
    assert (test["slices"], test["groups"]) == (len(predictions), len(predictions))
    assert metrics["cross_validation"]["slices"] == len(ran.load("out_of_fold_predictions"))
    pooled = ran.load("cross_validation_metrics")["pooled"]
    assert {name: metrics["cross_validation"]["network"][name] for name in pooled} == pooled
    assert (metrics["source"], metrics["synthetic"]) == ("made-up slices", False)
    assert json.loads(json.dumps(metrics)) == metrics


def test_every_figure_stands_beside_that_of_the_majority_class_and_of_numbers_without_anatomy(ran: DataCatalog) -> None:
    metrics = ran.load("metrics")
    learnt = accepted(ran.load("manifest"), "training")["label"].value_counts()
    held_out = ran.load("predictions")["label"]
    for where in ("test", "cross_validation"):
        network, majority = metrics[where]["network"], metrics[where]["majority"]
        assert network.keys() == majority.keys() == metrics[where]["trivial"].keys()
        assert majority["roc_auc"] == 0.5
    likeliest = learnt[learnt == learnt.max()].index
    assert metrics["test"]["majority"]["accuracy"] in [pytest.approx((held_out == name).mean()) for name in likeliest]


def test_the_network_is_compared_with_numbers_without_anatomy_out_of_fold_too(ran: DataCatalog) -> None:
    found, metrics = ran.load("metrics")["shortcuts"]["cross_validation"], ran.load("metrics")
    assert found["network"]["auc"] == pytest.approx(metrics["cross_validation"]["network"]["roc_auc"], abs=0.02)
    for page in ("report", "model_card_page"):
        assert f"Out of fold: {found['sentence']}" in unescape(ran.load(page)), page


def scores_without_anatomy(ran: DataCatalog, name: str) -> np.ndarray[Any, Any]:
    """Suspicions of the numbers without anatomy, those that the audit found to know more, of a table's pictures."""
    shortcuts = ran.load("audit")["shortcuts"]
    stronger = max(("before", "after"), key=lambda when: shortcuts[when]["auc"])
    known = ran.load("shortcut_scores").set_index("pixels")[f"{stronger}_normal"]
    return 1.0 - known.loc[ran.load(name)["pixels"]].to_numpy()


def threshold_without_anatomy(ran: DataCatalog) -> float:
    """By hand: midway in log-odds below the least suspicion that finds 95 % of the diseased, 0.5 at most."""
    scores = scores_without_anatomy(ran, "validation_predictions")
    sick = (ran.load("validation_predictions")["label"] != "normal").to_numpy()
    ordered = np.sort(scores[sick])[::-1]
    least = ordered[int(np.ceil(0.95 * len(ordered))) - 1]
    below = max([*scores[scores < least].tolist(), 1e-7])
    middle = sum(np.log(value / (1 - value)) for value in np.clip([least, below], 1e-7, 1 - 1e-7)) / 2
    return float(min(0.5, 1 / (1 + np.exp(-middle))))


def test_the_figures_at_the_operating_point_stand_beside_those_of_a_threshold_on_numbers_without_anatomy(
    ran: DataCatalog,
) -> None:
    metrics, held_out = ran.load("metrics"), ran.load("predictions")
    beside = metrics["operating_point"]["beside"]
    sick = held_out["label"] != "normal"
    assert metrics["operating_point"]["test"]["sensitivity"]["groups"] == held_out.loc[sick, "group"].nunique()
    assert (beside["majority"]["sensitivity"]["value"], beside["majority"]["specificity"]["value"]) in [(0, 1), (1, 0)]
    chosen, scores = threshold_without_anatomy(ran), scores_without_anatomy(ran, "predictions")
    reached = beside["trivial"]
    assert reached["sensitivity"]["value"] == pytest.approx((scores[sick.to_numpy()] >= chosen).mean())
    assert reached["specificity"]["value"] == pytest.approx((scores[~sick.to_numpy()] < chosen).mean())
    assert metrics["operating_point"]["test"].keys() == beside["majority"].keys()


def test_the_benchmark_of_a_whole_run_reads_what_the_run_writes(
    ran_two: DataCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    from run_against_pass import verdict

    assert verdict(40.0, 5.0, 1.0, ran_two.load("metrics"))["met"]
    assert not verdict(40.1, 5.0, 1.0, ran_two.load("metrics"))["met"]


def test_slices_that_brightness_tells_apart_are_told_apart(ran_two: DataCatalog) -> None:
    assert ran_two.load("metrics")["test"]["network"]["accuracy"] == 1.0
    assert ran_two.load("metrics")["test"]["network"]["roc_auc"] == 1.0


def test_figures_report_and_summary_show_the_same_figures(ran: DataCatalog) -> None:
    metrics, drawn = ran.load("metrics"), ran.load("evaluation_figures")
    network = metrics["test"]["network"]
    counts = [int(text.get_text().split("\n")[0]) for text in drawn["Confusion matrix"].axes[0].texts]
    assert counts == list(itertools.chain(*network["confusion_matrix"]))
    assert {"ROC", "Precision and recall", "Reliability", "Coverage", "Suspicion", "Training history"} <= set(drawn)
    for page in ("report", "summary", "model_card", "model_card_page"):
        assert f"{network['roc_auc']:.3f}" in ran.load(page), page
    assert f"accuracy {network['accuracy']:.3f}" in ran.load("summary")
    assert ran.load("summary").count(metrics["promotion"]["sentence"]) == 1


def test_a_first_model_is_served_with_its_figures(ran: DataCatalog) -> None:
    metrics, served = ran.load("metrics"), ran.load("served_model")
    assert metrics["promotion"]["first"]
    assert metrics["promotion"] == ran.load("promotion")
    assert served.metadata.metrics["test"]["network"]["accuracy"] == metrics["test"]["network"]["accuracy"]
    assert served.metadata.lineage == metrics["promotion"]["lineage"]
    assert served.metadata.lineage["best"]["roc_auc"] == metrics["test"]["network"]["roc_auc"]
    assert replace(served.metadata, metrics={}, lineage={}) == ran.load("candidate_model").metadata


def carried(ran: DataCatalog) -> dict[str, Any]:
    """What should travel with the model that a run served, from what the run wrote into ``metrics.json``."""
    metrics = ran.load("metrics")
    parts = {name: metrics[name] for name in ("operating_point", "calibration", "novelty", "evidence", "promotion")}
    return carried_figures(metrics, **parts)


def test_the_page_about_the_model_tells_the_figures_of_the_evaluation(ran: DataCatalog) -> None:
    """From the file that the pipeline really wrote, whatever shape either side believes in."""
    metrics, served = ran.load("metrics"), ran.load("served_model")
    page = create_app(served).test_client().get("/about")
    shown = unescape(" ".join(re.sub(r"<[^>]+>", " ", page.text).split())).replace("\xa0", " ")
    assert page.status_code == 200
    assert "No figures travel with this model" not in shown
    for part in ("test", "cross_validation"):
        network, interval = metrics[part]["network"], metrics[part]["network"]["intervals"]["accuracy"]
        between = "" if interval["low"] is None else f" ({interval['low']:.3f} to {interval['high']:.3f})"
        beside = [metrics[part][judge]["accuracy"] for judge in ("trivial", "majority")]
        assert f"Accuracy {network['accuracy']:.3f}{between} {beside[0]:.3f} {beside[1]:.3f}" in shown
    calibration, tested = metrics["calibration"], metrics["operating_point"]["test"]
    before, after = (calibration[when]["calibration_error"] for when in ("before", "after"))
    assert f"expected calibration error {before:.3f} before, {after:.3f} after" in shown
    assert f" sensitivity {100 * tested['sensitivity']['value']:.1f} %" in shown
    assert f"; {100 * metrics['novelty']['accepted_held_out']:.1f} % of held-out slices" in shown
    for count in metrics["novelty"]["foreign"].values():
        assert f"{count['refused']} of {count['pictures']}" in shown
    assert metrics["promotion"]["sentence"] in shown
    assert served.metadata.metrics == carried(ran)
    assert len(served.metadata.to_json()) < 50_000


def test_the_card_lists_the_options_that_trained_the_model_and_not_those_of_the_evaluation(
    ran_two: DataCatalog, tmp_path: Path
) -> None:
    other = {
        "params:serving.operating_point": OperatingPointOptions(target_sensitivity=0.5),
        "parameters": {"training": {"head": {"epochs": 999}}},
        "params:evaluation.promotion": PromotionOptions(draws=123),
    }
    card = evaluated_again(ran_two, tmp_path, **other).load("model_card").replace("\\", "")
    for row in (
        "| training.head.epochs | 6 |",
        "| model_prep.network.feature_blocks | [2] |",
        "| data_ingestion.split.test | 0.25 |",
        "| features.augmentation.views | 1 |",
        "| serving.operating_point.target_sensitivity | 0.95 |",
        "| evaluation.promotion.draws | 123 |",
        "| seed | 1 |",
    ):
        assert row in card
    assert "999" not in card
    assert "dvc.lock" not in card


def evaluated_again(ran: DataCatalog, folder: Path, candidate: bytes | None = None, **changed: Any) -> DataCatalog:
    """Another evaluation of what a run left, with copies of its models, or of another candidate."""
    files = model_files(folder)
    files["candidate_file"].save(candidate or ran["candidate_file"].load())
    files["champion"].save(ran["champion"].load())
    pipeline = evaluation.create_pipeline()
    given = {name: ran.load(name) for name in pipeline.inputs() if name not in files}
    if candidate:
        given["serving_facts"] = given["serving_facts"] | {"candidate_digest": hashlib.sha256(candidate).hexdigest()}
    return run(pipeline, {**given, **files, **changed})


def test_the_champion_evaluated_again_does_not_compete_with_itself_and_stays_served(
    ran_two: DataCatalog, tmp_path: Path
) -> None:
    before = ran_two.load("served_model")
    again = evaluated_again(ran_two, tmp_path)
    verdict = again.load("promotion")
    assert (verdict["promoted"], verdict["served"], verdict["first"], verdict["compared"]) == (False, True, False, {})
    assert "the champion itself, evaluated again" in verdict["sentence"]
    assert again.load("served_model").digest == before.digest
    for page in ("report", "summary", "model_card_page"):
        assert "the champion itself, evaluated again" in again.load(page), page
        assert "not served" not in again.load(page), page


def test_the_champion_evaluated_again_carries_the_new_figures(ran_two: DataCatalog, tmp_path: Path) -> None:
    files = model_files(tmp_path / "other")
    files["champion"].save(described(ran_two["champion"].load(), metrics={"accuracy": 0.0}))
    again = evaluated_again(ran_two, tmp_path, champion=files["champion"])
    served = again.load("served_model").metadata
    assert served.metrics == carried(again)
    assert served.metrics["promotion"]["sentence"] == again.load("promotion")["sentence"]
    assert replace(served, metrics={}) == replace(ran_two.load("served_model").metadata, metrics={})


def test_an_equal_model_of_another_training_is_promoted_and_a_clearly_worse_one_is_not(
    ran_two: DataCatalog, tmp_path: Path
) -> None:
    before = ran_two.load("served_model")
    other = described(ran_two["candidate_file"].load(), precision_reason="of another serving")
    equal = evaluated_again(ran_two, tmp_path / "equal", other)
    assert (equal.load("promotion")["promoted"], equal.load("promotion")["first"]) == (True, False)
    assert equal.load("served_model").metadata.precision_reason == "of another serving"
    # The network with its two classes exchanged says the opposite of what it did.
    worse = evaluated_again(ran_two, tmp_path / "worse", opposite(ran_two["candidate_file"].load()))
    assert worse.load("promotion")["promoted"] is False
    assert worse.load("promotion")["sentence"].startswith("The champion stays")
    assert worse.load("served_model").digest == before.digest
    assert worse.load("promotion")["champion"]["digest"] == before.digest
    for page in ("report", "model_card", "model_card_page"):
        told = worse.load(page)
        # Before any figure and any heading of a section.
        assert before.digest in told[: told.index("esearch use only")], page
        assert "NOT SERVED" not in equal.load(page), page


def described(candidate: bytes, **facts: Any) -> bytes:
    """The same model, saying something else of itself."""
    model = onnx.load_from_string(candidate)
    return with_metadata(model, replace(read_metadata(model), **facts))


def test_what_is_served_is_written_before_anything_says_so(ran_two: DataCatalog, tmp_path: Path) -> None:
    order: list[str] = []

    class Noted(OnnxModelDataset):
        def save(self, data: bytes) -> None:
            order.append("served_model")
            super().save(data)

    class Told(KeptDataset):
        def __init__(self, name: str) -> None:
            super().__init__(copy_mode="assign")
            self._name = name

        def save(self, data: Any) -> None:
            order.append(self._name)
            super().save(data)

    served = Noted(filepath=str(tmp_path / "classifier.onnx"))
    evaluated_again(ran_two, tmp_path, served_model=served, promotion=Told("promotion"), metrics=Told("metrics"))
    assert order == ["served_model", "promotion", "metrics"]


@pytest.mark.parametrize("name", ["candidate", "champion"])
def test_a_file_that_was_changed_while_it_was_judged_stops_the_evaluation(ran_two: DataCatalog, name: str) -> None:
    files = {"candidate": b"candidate", "champion": b"champion"}
    digests = {f"{key}_digest": hashlib.sha256(content).hexdigest() for key, content in files.items()}
    verdict = {"promoted": False, "served": False, "lineage": {}, **digests}
    measured = {key: {} for key in ("measured", "operating_point", "calibration", "novelty", "evidence")}
    assert choose_served(**files, verdict=verdict, **measured) == (b"champion", verdict)
    with pytest.raises(StaleError, match=f"the {name}'s file was changed while it was judged"):
        choose_served(**{**files, name: b"another"}, verdict=verdict, **measured)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("training_facts", "run `kedro run --pipeline=serving` again"),
        ("serving_facts", "run `kedro run --pipeline=serving` again"),
        ("out_of_fold_predictions", "run `kedro run --pipeline=cross_validation` again"),
    ],
)
def test_what_is_left_of_another_training_stops_the_evaluation(
    ran_two: DataCatalog, changed: str, message: str
) -> None:
    pipeline = evaluation.create_pipeline()
    given = {name: ran_two.load(name) for name in pipeline.inputs()}
    others = {
        "training_facts": {"model_digest": "of a later training"},
        "serving_facts": {"candidate_digest": "of a later serving"},
        "out_of_fold_predictions": {"recipe": "of other options"},
    }
    table = given[changed]
    stale = table.assign(**others[changed]) if isinstance(table, pd.DataFrame) else table | others[changed]
    with pytest.raises(StaleError, match=message):
        run(pipeline, {**given, changed: stale, "prepared_slices": {}})


def test_without_cross_validation_the_evaluation_says_what_is_lacking(ran_two: DataCatalog, tmp_path: Path) -> None:
    none = OptionalTableDataset(filepath=str(tmp_path / "none.csv"))
    found = evaluated_again(ran_two, tmp_path, out_of_fold_predictions=none)
    metrics = found.load("metrics")
    assert metrics["cross_validation"] is None
    assert metrics["calibration"]["cross_validation"] is None
    assert metrics["test"] == ran_two.load("metrics")["test"]
    assert "Cross-validation" not in found.load("evaluation_figures")
    assert "kedro run --pipeline=cross_validation" in found.load("report")
    assert "Cross-validation, pooled: not measured." in found.load("model_card_page")


def test_a_champion_that_does_not_say_what_it_learnt_from_is_compared_and_the_reader_is_told_what_that_means(
    ran_two: DataCatalog, tmp_path: Path
) -> None:
    files = model_files(tmp_path / "other")
    files["champion"].save(described(ran_two["champion"].load(), data_digest="of other slices", learnt_from=()))
    worse = opposite(ran_two["candidate_file"].load())
    for candidate, way_out in ((None, False), (worse, True)):
        found = evaluated_again(ran_two, tmp_path, candidate, champion=files["champion"])
        sentence = found.load("promotion")["sentence"]
        assert "on the same" in sentence
        assert "learnt from another training split, so that it may have seen some of these test slices" in sentence
        assert ("remove its file and evaluate again" in sentence) == way_out


def test_a_champion_of_other_test_slices_is_judged_on_the_present_ones(ran_two: DataCatalog, tmp_path: Path) -> None:
    lineage = {"test_digest": "other slices", "best": {"roc_auc": 1.0}}
    files = model_files(tmp_path / "other")
    files["champion"].save(described(ran_two["champion"].load(), lineage=lineage, version="0.0.0"))
    verdict = evaluated_again(ran_two, tmp_path, champion=files["champion"]).load("promotion")
    assert "The champion was promoted on other test slices than these" in verdict["sentence"]
    assert verdict["compared"]["roc_auc"]["best"] is None
    assert verdict["lineage"]["test_digest"] == ran_two.load("promotion")["lineage"]["test_digest"]


def test_a_champion_with_another_negative_class_makes_way(ran_two: DataCatalog, tmp_path: Path) -> None:
    champion = ran_two.load("served_model").metadata
    other = replace(champion.operating_point, negative=champion.classes[0])
    files = model_files(tmp_path / "other")
    files["champion"].save(described(ran_two["champion"].load(), operating_point=other))
    verdict = evaluated_again(ran_two, tmp_path, champion=files["champion"]).load("promotion")
    assert verdict["promoted"]
    assert "another class means no disease to the champion" in verdict["sentence"]


def opposite(candidate: bytes) -> bytes:
    """A model whose logits have the other sign."""
    model = onnx.load_from_string(candidate)
    node = next(node for node in model.graph.node if "temperature" in node.input)
    value = next(value for value in model.graph.initializer if value.name == "temperature")
    assert node.op_type == "Div"
    value.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(value), "temperature"))
    return bytes(model.SerializeToString())


def rival(ran: DataCatalog, folder: Path, **facts: Any) -> FileContentDataset:
    """A champion that is the served model but for what it says of itself."""
    file = model_files(folder)["champion"]
    file.save(described(ran["champion"].load(), **facts))
    return file


def test_a_champion_that_wants_other_preparation_judges_the_slices_prepared_so(
    ran_two: DataCatalog, tmp_path: Path
) -> None:
    # Through this window every slice is black, so that the champion says the same of all.
    blind = replace(ran_two.load("served_model").metadata.preparation, normalise="window", window=(254.0, 255.0))
    champion = rival(ran_two, tmp_path / "blind", preparation=blind, version="0.0.9", created="2026-01-02T03:04:05")
    found = evaluated_again(ran_two, tmp_path / "new", champion=champion).load("promotion")
    assert found["promoted"]
    assert found["compared"]["roc_auc"]["champion"] == 0.5
    assert found["compared"]["roc_auc"]["candidate"] == 1.0
    assert (found["champion"]["version"], found["champion"]["created"]) == ("0.0.9", "2026-01-02T03:04:05")
    assert found["champion"]["digest"] == hashlib.sha256(champion.load()).hexdigest()
    worse = opposite(ran_two["candidate_file"].load())
    again = evaluated_again(ran_two, tmp_path / "worse", worse, champion=champion)
    assert not again.load("promotion")["promoted"], "one changed option does not dethrone a champion"


def test_a_champion_whose_files_cannot_be_read_any_more_stays(ran_two: DataCatalog, tmp_path: Path) -> None:
    other = replace(ran_two.load("served_model").metadata.preparation, denoise="bilateral")
    champion = rival(ran_two, tmp_path / "other", preparation=other)

    def gone() -> SliceSource:
        raise DatasetError("/home/someone/slices is gone")

    source = ran_two.load("slice_source")
    changed = replace(source, files=tuple(replace(file, location=Path(__file__)) for file in source.files))
    for name, opened in {"gone": gone, "changed": lambda: changed, "empty": lambda: replace(source, files=())}.items():
        found = evaluated_again(ran_two, tmp_path / name, champion=champion, original_files=opened)
        verdict = found.load("promotion")
        assert (verdict["promoted"], verdict["served"]) == (False, False)
        assert "wants its slices prepared otherwise, and their files cannot be read" in verdict["sentence"]
        assert "someone" not in verdict["sentence"]


def test_test_slices_that_the_champion_learnt_from_do_not_count(ran_two: DataCatalog, tmp_path: Path) -> None:
    """The whole group of a picture whose digest the champion carries."""
    manifest, predictions = ran_two.load("manifest"), ran_two.load("predictions")
    assert set(ran_two.load("served_model").metadata.learnt_from) == {
        digest[:16] for name in ("digest", "pixels") for digest in accepted(manifest, "training", "validation")[name]
    }
    learnt = predictions["pixels"].iloc[0][:16]
    champion = rival(ran_two, tmp_path / "other", data_digest="of another split", learnt_from=(learnt,))
    found = evaluated_again(ran_two, tmp_path, champion=champion).load("promotion")
    group = predictions["group"].iloc[0]
    assert found["left_out"] == (predictions["group"] == group).sum()
    assert not found["promoted"]
    assert "The champion stays: it is not comparable with the new model." in found["sentence"]
    elsewhere = rival(ran_two, tmp_path / "else", data_digest="of another split", learnt_from=("0123456789abcdef",))
    found = evaluated_again(ran_two, tmp_path / "again", champion=elsewhere).load("promotion")
    assert (found["promoted"], found["left_out"]) == (True, 0)
    assert "may have seen" not in found["sentence"]


def test_a_champion_that_cannot_be_read_makes_way_and_the_verdict_says_so(ran_two: DataCatalog, tmp_path: Path) -> None:
    bare = onnx.load_from_string(ran_two["champion"].load())
    del bare.metadata_props[:]
    contents = {"InvalidProtobuf": b"no model", "carries no 'lung_tumor' metadata": bare.SerializeToString()}
    for number, (why, content) in enumerate(contents.items()):
        file = model_files(tmp_path / f"broken {number}")["champion"]
        file.save(content)
        verdict = evaluated_again(ran_two, tmp_path / f"{number}", champion=file).load("promotion")
        assert verdict["promoted"] is True
        assert verdict["champion"] is None
        assert "the champion's file could not be read" in verdict["sentence"]
        assert why in verdict["sentence"]


def test_an_error_that_is_not_the_file_s_dethrones_nobody(
    ran_two: DataCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(content: bytes) -> Predictor:
        raise MemoryError("no memory for this model")

    monkeypatch.setattr("lung_tumor.champion.Predictor", exhausted)
    with pytest.raises(MemoryError):
        evaluated_again(ran_two, tmp_path)


def test_a_leak_stops_the_evaluation_before_a_slice_is_predicted(ran_two: DataCatalog) -> None:
    pipeline = evaluation.create_pipeline()
    given = {name: ran_two.load(name) for name in pipeline.inputs()}
    manifest = given["manifest"].copy()
    held_out, learnt = (manifest.index[manifest["split"] == split][0] for split in (TEST, "training"))
    manifest.loc[held_out, "digest"] = manifest.loc[learnt, "digest"]
    with pytest.raises(LeakError, match=r"digest value\(s\) stand in more than one split"):
        run(pipeline, {**given, "manifest": manifest, "prepared_slices": {}})


def test_the_audit_of_another_data_set_stops_the_evaluation(ran_two: DataCatalog) -> None:
    pipeline = evaluation.create_pipeline()
    given = {name: ran_two.load(name) for name in pipeline.inputs()}
    silenced = {**given["audit"], "warnings": []}
    with pytest.raises(StaleError, match="not of the run that prepared these slices"):
        run(pipeline, {**given, "audit": silenced, "prepared_slices": {}})


def test_misjudged_slices_are_shown_most_confident_first_and_not_more_than_a_page_holds(ran_two: DataCatalog) -> None:
    count = reporting.MOST_PICTURES + 3
    certainty = np.linspace(0.51, 0.99, count)
    predictions = pd.DataFrame(
        {
            "path": [*(f"well/{n:02}" for n in range(count)), "sick/right"],
            "label": [*["well"] * count, "sick"],
            "pixels": [str(n) for n in range(count + 1)],
            "predicted": "sick",
            "answer": "suspected",
            "suspicion": [*certainty, 1.0],
            "p_sick": [*certainty, 1.0],
            "p_well": [*(1 - certainty), 0.0],
        }
    )
    shown = reporting.misjudged(predictions, "well")
    assert shown["path"].tolist() == [f"well/{n:02}" for n in range(count - 1, 2, -1)]
    assert shown["place"].tolist() == list(range(count - 1, 2, -1))


def test_a_wrong_answer_is_shown_even_where_the_likeliest_class_is_the_true_one() -> None:
    predictions = pd.DataFrame(
        {
            "path": ["alarm", "missed", "referred", "right"],
            "label": ["well", "sick", "well", "well"],
            "predicted": ["well", "sick", "well", "well"],
            "answer": ["suspected", "clear", "uncertain", "clear"],
            "p_sick": [0.4, 0.6, 0.4, 0.1],
            "p_well": [0.6, 0.4, 0.6, 0.9],
        }
    )
    assert reporting.misjudged(predictions, "well")["path"].tolist() == ["alarm", "missed"]


def test_the_same_seed_gives_the_same_split_and_the_same_figures(run_of: RunOf, tmp_path: Path) -> None:
    first, again = run_of(3), run_everything(tmp_path, 3)
    pd.testing.assert_frame_equal(first.load("manifest"), again.load("manifest"))
    columns = [f"p_{name}" for name in first.load("metrics")["classes"]]
    np.testing.assert_allclose(first.load("predictions")[columns], again.load("predictions")[columns], atol=1e-6)
    assert flatten(again.load("metrics")) == pytest.approx(flatten(first.load("metrics")), abs=1e-6)

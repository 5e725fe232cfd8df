"""The report and the summary that ends a run."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lung_tumor.overlays import overlay
from lung_tumor.report import count_table, render, summarise
from tests.support.data_sets import facts_of, files_of
from tests.support.evaluations import evaluation, judged, measured, predicted
from tests.support.html_pages import Page, chromium

AUDIT = facts_of(
    files_of(
        [
            {"path": "sick/1", "picture": "one"},
            {"path": "sick/1 copy", "picture": "one", "verdict": "duplicate", "copy_of": "sick/1"},
            {"path": "sick/2", "split": "test"},
            {"path": "sick/3", "verdict": "quarantined", "pixels": ""},
            {"path": "well/1"},
            {"path": "well/2", "split": "validation"},
            {"path": "well/3", "split": "validation"},
            {"path": "well/4", "split": "test"},
        ]
    )
)
WORST = [judged()]
EXAMPLES = [judged("adenocarcinoma", path="adenocarcinoma/2.png")]


def metrics(classes: int = 2, **given: Any) -> dict[str, Any]:
    return evaluation(predicted(classes), **given)


def page(**given: object) -> Page:
    drawn = {"ROC": Figure(), "Training history": Figure()}
    facts = {"metrics": metrics(), "audit": AUDIT, "worst": WORST, "examples": EXAMPLES, "drawn": drawn}
    return Page(render(**{**facts, **given}))  # type: ignore[arg-type]


# --- The page ------------------------------------------------------------------------------------------------------------


def test_files_are_counted_by_class_and_pictures_by_split() -> None:
    sick = {"label": "sick", "files": 4, "quarantined": 1, "pictures": 2, "groups": 2}
    well = {"label": "well", "files": 4, "quarantined": 0, "pictures": 4, "groups": 4}
    assert count_table(AUDIT) == [
        {**sick, "training": 1, "validation": 0, "test": 1},
        {**well, "training": 1, "validation": 2, "test": 1},
    ]
    assert "sick 4 1 2 2 1 0 1" in page().text


def test_the_page_begins_with_what_was_found_in_plain_words() -> None:
    given = metrics()
    ill, well = (given["operating_point"]["answers"][name] for name in ("adenocarcinoma", "normal"))
    told = f"{ill['suspected']} of 30 adenocarcinoma slices suspected, {ill['clear']} cleared wrongly; {well['clear']} of 30 "
    text = page(metrics=given).text
    assert f"{told}normal slices cleared, {well['suspected']} suspected wrongly" in text
    assert "On 60 pictures of 30 independent groups (15 adenocarcinoma and 15 normal)" in text
    assert text.index("suspected wrongly") < text.index("Before you believe any figure")


def test_every_figure_of_every_judge_stands_on_the_page_with_its_interval() -> None:
    given = metrics()
    text = page(metrics=given).text
    for judge in ("network", "trivial", "majority"):
        found = given["test"][judge]
        for name in ("accuracy", "roc_auc", "balanced_accuracy", "mcc", "brier", "log_loss", "calibration_error"):
            interval = found["intervals"][name]
            assert f"{found[name]:.3f}" in text
            if interval["low"] is not None:
                assert f"{found[name]:.3f} {interval['low']:.3f} to {interval['high']:.3f}" in text
        for row in found["per_class"].values():
            assert all(f"{row[name]:.3f}" in text for name in ("recall", "f1") if row[name] is not None)
    for heading in ("network", "numbers without anatomy", "most frequent class"):
        assert heading in text


def test_operating_point_calibration_novelty_evidence_and_verdict_are_told() -> None:
    text = page().text
    for sentence in (
        "suspected of adenocarcinoma from a suspicion of 0.400 on",
        "From 0.350 to 0.550 the answer is “uncertain: refer”",
        "expected calibration error 0.081 before, 0.034 after",
        "from the 3rd nearest of 140 training slices",
        "natural pictures 40 40 100 %",
        "noise 8 7 88 %",
        "Refused: 47 of 48 pictures",
        "lies on the mass (within 8 of 224 pixels) in 98 %",
        "17.2 times as dense",
        "lowers the log-odds of suspicion by 0.31 on average, hiding the same area at random by 0.04 (60 slices, the most",
        "Served in float32: int8 agrees on 97.0 % of validation labels, under 99 %.",
        "Promoted: it is the first model.",
        "The frozen part of VGG16 was passed once for each of 18 slices",
        "lung-tumor-detection 9.8.7",
    ):
        assert sentence in text
    assert AUDIT["meaning"][0] in text


def test_every_warning_stands_before_the_first_figure() -> None:
    text = page().text
    for warning in AUDIT["warnings"]:
        assert text.index(warning) < text.index("balanced accuracy")


def test_cross_validation_has_a_table_of_its_own_or_the_page_says_there_is_none() -> None:
    assert "No cross-validation was run" in page().text
    pooled = measured(predicted(slices=90, seed=3))
    text = page(metrics=metrics() | {"cross_validation": pooled}).text
    assert "No cross-validation was run" not in text
    assert "saw no known relative of it (90 slices in 45 independent groups)" in text
    assert f"{pooled['network']['accuracy']:.3f}" in text


def test_undefined_figures_are_a_dash_and_the_reason_is_told() -> None:
    given = metrics()
    given["test"]["network"]["roc_auc"] = None
    given["test"]["network"]["per_class"]["normal"]["precision"] = None
    reason = "precision of normal: never predicted"
    given["test"]["network"]["undefined"] = [reason]
    given["test"]["network"]["intervals"]["per_class.normal.precision"] |= {"low": None, "reason": reason}
    text = page(metrics=given).text
    assert "– undefined ROC AUC" in text
    assert re.search(r"precision – [a-z] ", text)
    assert re.search(r"[a-z] undefined: precision of normal: never predicted", text)
    assert "Undefined: precision of normal: never predicted." in text


def test_a_test_without_errors_says_so() -> None:
    assert "No test slice was judged wrongly" in page(worst=[]).text
    assert "No test slice was judged wrongly" not in page().text


def test_exact_intervals_stand_in_table_and_text_alike() -> None:
    perfect = replace(predicted(), probabilities=np.eye(2)[predicted().labels])
    text = page(metrics=evaluation(perfect)).text
    assert re.search(r"recall \(sensitivity\) 1\.000 ?[a-z] ?0\.782 to 1\.000", text)
    assert "sensitivity 100 % (95 % interval 78 to 100 %; exact interval, as all slices of 15 groups agree)" in text
    assert re.search(r"[a-z] exact interval, as all slices of 15 groups agree", text)


def test_three_classes_and_a_test_without_baseline_have_a_page_too() -> None:
    given = metrics(3)
    given["test"] |= {"trivial": None, "trivial_reason": "too few groups"}
    text = page(metrics=given).text
    assert "adenocarcinoma or squamous cell slices suspected" in text
    assert "squamous cell: 20 slices in 10 independent groups" in text
    assert "ROC AUC without anatomy – · most frequent class 0.500 · 30 groups" in text
    beside, point = given["operating_point"]["beside"], given["operating_point"]["test"]["sensitivity"]
    found = [beside[judge]["sensitivity"]["value"] for judge in ("trivial", "majority")]
    below = f"without anatomy {found[0]:.3f} · most frequent class {found[1]:.3f} · {point['groups']} groups"
    assert f"sensitivity at the operating point {below}" in text
    assert "not measured: too few groups" in text


def test_the_page_needs_no_network_and_runs_nothing() -> None:
    made = page()
    assert not {"script", "link", "iframe", "object"} & set(made.tags)
    sources = [value for name, value in made.attributes if name in ("src", "srcset", "action")]
    assert len(sources) == 2 + 2 * (1 + 2)
    assert all(re.match("data:image/(png|jpeg);base64,", source) for source in sources)
    assert {value for name, value in made.attributes if name == "href"} == {"dataset_card.html", "model_card.html"}


def test_names_are_escaped_and_shown_without_control_signs() -> None:
    hostile = "<script>alert(1)</script>\u202e.png"
    given = metrics(source=f"folder {hostile}")
    made = page(metrics=given, worst=[judged(hostile, path=hostile)], examples=[judged(given=hostile)])
    assert "script" not in made.tags
    assert r"<script>alert(1)</script>\u202e.png" in made.text
    assert "\u202e" not in made.text


def test_a_slice_is_shown_pixel_by_pixel_beside_its_evidence_on_the_scale_of_all() -> None:
    strong = judged() | {"evidence": 2.0 * WORST[0]["evidence"]}
    sources = [value for name, value in page(examples=[], worst=[*WORST, strong]).attributes if name == "src"]
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in sources[-4:]]
    np.testing.assert_array_equal(shown[0], WORST[0]["pixels"])
    expected = overlay(WORST[0]["pixels"], WORST[0]["evidence"], 4.0).astype(int)
    other = overlay(WORST[0]["pixels"], WORST[0]["evidence"], 2.0).astype(int)
    assert abs(shown[1][:8, :8] - expected[:8, :8]).mean() < abs(shown[1][:8, :8] - other[:8, :8]).mean()
    np.testing.assert_array_equal(shown[2], strong["pixels"])


def test_a_caption_tells_truth_answer_and_suspicion_of_each_slice() -> None:
    text = page().text
    assert "normal taken for adenocarcinoma · suspicion 0.91 · suspected" in text
    assert re.search("adenocarcinoma ?, named rightly", text)
    assert "evidence for adenocarcinoma normal/1.png" in text


def test_every_picture_has_a_text_in_its_place() -> None:
    made = page()
    alternatives = [value for name, value in made.attributes if name == "alt"]
    assert len(alternatives) == made.tags.count("img")
    assert all(alternatives)
    assert "slice of class normal, taken for adenocarcinoma" in alternatives


def test_everything_says_whether_the_slices_are_synthetic() -> None:
    real, drawn = (page(metrics=metrics(synthetic=synthetic)) for synthetic in (False, True))
    assert "synthetic" not in real.text.replace("synthetic slices with a mass", "")
    assert drawn.text.count("synthetic") > 15
    headings = sum(drawn.tags.count(name) for name in ("h1", "h2", "h3")) - 1  # but for the warnings' own
    assert drawn.attributes.count(("class", "tag")) == headings
    pictures = [value for name, value in drawn.attributes if name == "alt"]
    assert all("synthetic" in text for text in pictures if "transparent" not in text)


# --- The summary -----------------------------------------------------------------------------------------------------------


def test_the_summary_gives_counts_figures_caveats_and_the_next_command() -> None:
    given = metrics()
    network = given["test"]["network"]
    low, high = (network["intervals"]["accuracy"][end] for end in ("low", "high"))
    text = re.sub(" +", " ", summarise(given, AUDIT))
    assert "sick 4 files 2 pictures 2 groups: 1 training, 0 validation, 1 test" in text
    assert "Test 60 pictures in 30 independent groups" in text
    assert f"accuracy {network['accuracy']:.3f} ({low:.3f} to {high:.3f}), ROC AUC {network['roc_auc']:.3f} (" in text
    beside = [given["test"][judge]["accuracy"] for judge in ("trivial", "majority")]
    area = given["test"]["trivial"]["roc_auc"]
    assert (
        f"without anatomy (size, brightness, a tiny thumbnail): accuracy {beside[0]:.3f}, ROC AUC {area:.3f}; always the most "
        f"frequent class: accuracy {beside[1]:.3f}"
    ) in text
    assert f"normal precision {network['per_class']['normal']['precision']:.3f} recall" in text
    assert f"! {AUDIT['warnings'][0]}" in text
    assert "make serve" in text


def test_the_summary_has_a_line_for_point_novelty_and_verdict() -> None:
    lines = summarise(metrics(), AUDIT).splitlines()
    assert any(line.startswith("Point    suspected from 0.400: sensitivity") for line in lines)
    assert any("without anatomy: sensitivity 0" in line for line in lines)
    assert any(line.endswith("; always adenocarcinoma: sensitivity 1.000, specificity 0.000") for line in lines)
    assert any(line.startswith("Novelty  accepts 96 %") and "refuses 47 of 48" in line for line in lines)
    assert "Verdict  Promoted: it is the first model." in lines
    assert any(line.endswith("data/06_models/classifier.onnx (float32)") for line in lines)


def test_the_summary_calls_undefined_what_is_undefined() -> None:
    given = metrics()
    given["test"]["network"]["roc_auc"] = None
    none = {"low": None, "high": None, "reason": "no slice to measure it on"}
    given["operating_point"]["test"]["specificity"] |= {"value": None, "interval": none}
    given["test"]["trivial"] = given["operating_point"]["beside"]["trivial"] = None
    text = summarise(given, AUDIT)
    assert "ROC AUC undefined" in text
    assert "specificity undefined" in text
    assert "a tiny thumbnail): not measured; always" in text
    assert "without anatomy: not measured; always" in text


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_summary_says_whether_the_slices_are_synthetic(synthetic: bool) -> None:
    assert ("(synthetic)" in summarise(metrics(synthetic=synthetic), AUDIT).lower()) == synthetic


# --- In a browser --------------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_nothing_but_tables_scrolls_sideways_on_a_telephone() -> None:
    drawn = {"ROC": Figure(), "Training history": Figure()}
    html = render(metrics(3, synthetic=True), AUDIT, WORST * 3, EXAMPLES * 3, drawn)
    with chromium() as browser:
        shown = browser.new_page(viewport={"width": 400, "height": 800})
        shown.set_content(html)
        assert shown.evaluate("document.documentElement.scrollWidth") <= 400

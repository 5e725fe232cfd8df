"""The report and the summary that ends a run."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lung_tumor.metrics import classification_metrics
from lung_tumor.report import caveats, count_table, render, summarise, training_sentences
from tests.support.data_sets import facts_of, files_of
from tests.support.html_pages import Page
from tests.support.training_facts import TRAINING

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
PIXELS = np.arange(32 * 32, dtype=np.uint32).reshape(32, 32).astype(np.uint8)
WRONG = [{"path": "sick/2", "label": "sick", "predicted": "well", "probability": 0.834, "pixels": PIXELS}]


def metrics(
    *,
    synthetic: bool = False,
    source: str = "made up",
    labels: tuple[int, ...] = (0, 1, 1),
    clearly_above: bool = True,
) -> dict[str, object]:
    probabilities = np.array([[0.2, 0.8], [0.1, 0.9], [0.3, 0.7]])
    test = classification_metrics(np.array(labels), probabilities, ("sick", "well")) | {"slices": 3, "groups": 2}
    trivial = {"trivial": {"auc": 0.25}, "clearly_above": clearly_above, "sentence": "The network against numbers."}
    shortcuts = {"dataset": AUDIT["shortcuts"], "test": trivial}
    facts = {"source": source, "synthetic": synthetic, "version": "9.8.7", "few_groups": AUDIT["few_groups"]}
    facts["training"] = TRAINING
    return {"test": test, "classes": ["sick", "well"], "shortcuts": shortcuts, **facts}


def page(**given: object) -> Page:
    drawn = {"ROC": Figure(), "Training history": Figure()}
    return Page(render(**{"metrics": metrics(), "audit": AUDIT, "misclassified": WRONG, "drawn": drawn, **given}))  # type: ignore[arg-type]


# --- Counts and caveats ------------------------------------------------------------------------------------------------


def test_files_are_counted_by_class_and_pictures_by_split() -> None:
    sick = {"label": "sick", "files": 4, "quarantined": 1, "pictures": 2, "groups": 2}
    well = {"label": "well", "files": 4, "quarantined": 0, "pictures": 4, "groups": 4}
    assert count_table(AUDIT) == [
        {**sick, "training": 1, "validation": 0, "test": 1},
        {**well, "training": 1, "validation": 2, "test": 1},
    ]


def test_every_warning_of_the_audit_is_a_caveat() -> None:
    assert any("sick: 2 independent pictures behind 3 files" in text for text in AUDIT["warnings"])
    assert caveats(metrics(), AUDIT)[: len(AUDIT["warnings"])] == AUDIT["warnings"]


def test_a_network_no_better_than_numbers_is_the_first_caveat_but_for_synthetic_slices() -> None:
    weak = metrics(clearly_above=False)
    assert caveats(weak, AUDIT)[0] == "The network against numbers."
    drawn = {**AUDIT, "synthetic": True, "warnings": ["Synthetic.", *AUDIT["warnings"]]}
    assert caveats(weak, drawn)[:2] == ["Synthetic.", "The network against numbers."]
    assert "The network against numbers." not in caveats(metrics(), AUDIT)


def test_undefined_figures_are_named() -> None:
    assert caveats(metrics(), AUDIT)[-1] == "Undefined: precision of sick: never predicted."


# --- The page ------------------------------------------------------------------------------------------------------------


def test_the_page_states_the_figures() -> None:
    text = page().text
    # Two of three right; the one sick slice ranks between the two well ones: AUC 1/2.
    assert "Of 3 test slices that the network had never seen, it named 2 rightly: 66.7 %." in text
    assert "sick 0.000 0.000 0.000 0.500 1" in text
    assert "well 0.667 1.000 0.800 0.500 2" in text
    assert "sick 4 1 2 2 1 0 1" in text
    assert "0.250 ROC AUC without anatomy, same pictures" in text
    assert "The network against numbers." in text
    assert AUDIT["meaning"][0] in text
    assert "sick taken for well (83 %) sick/2" in text
    assert "lung-tumor-detection 9.8.7" in text


def test_undefined_figures_are_a_dash_not_a_number() -> None:
    text = page(metrics=metrics(labels=(1, 1, 1))).text
    assert "sick 0.000 0.000 0.000 – 0" in text
    assert "– ROC AUC" in text


def test_the_page_needs_no_network() -> None:
    made = page()
    assert not {"script", "link", "iframe", "object"} & set(made.tags)
    sources = [value for name, value in made.attributes if name in ("src", "srcset", "action")]
    assert len(sources) == 3
    assert [value for name, value in made.attributes if name == "href"] == ["dataset_card.html"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_a_misclassified_slice_is_shown_pixel_by_pixel() -> None:
    uri = [value for name, value in page().attributes if name == "src"][-1]
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), PIXELS)


def test_every_picture_has_a_text_in_its_place() -> None:
    made = page()
    alternatives = [value for name, value in made.attributes if name == "alt"]
    assert alternatives == ["ROC", "Training history", "slice of class sick, taken for well"]


def test_names_from_the_source_cannot_become_markup() -> None:
    hostile = "<script>alert(1)</script>"
    made = page(
        metrics=metrics(source=hostile),
        audit={**AUDIT, "counts": {"by_class": {hostile: AUDIT["counts"]["by_class"]["sick"]}}},
        misclassified=[{**WRONG[0], "label": hostile, "path": hostile}],
    )
    assert "script" not in made.tags
    assert made.text.count(hostile) == 4


def test_without_a_mistake_the_page_says_none() -> None:
    assert "Misclassified test slices None." in page(misclassified=[]).text


def test_the_page_says_how_it_was_trained() -> None:
    assert training_sentences(TRAINING) == [
        "The frozen part of VGG16 was passed once for each of 18 slices, computed in float32 by MNN (Winograd convolutions).",
        (
            "Decisions from these activations and from the whole network in float32 are equal on 100.0 % of 4 validation "
            "slices (largest difference of a probability 0.0003)."
        ),
        "No block of VGG16 was fine-tuned; the head alone learnt.",
    ]
    features = TRAINING["features"] | {"augmentation": {"views": 2}, "slices": 42, "pictures": 18}
    told = training_sentences({**TRAINING, "features": features, "fine_tuning": {"sentence": "It did harm."}})
    assert "42 slices (18 pictures; of those to learn from, 2 changed views each), computed" in told[0]
    assert told[2] == "It did harm."


@pytest.mark.parametrize("synthetic", [True, False])
def test_page_and_summary_say_whether_the_slices_are_synthetic(synthetic: bool) -> None:
    assert ("synthetic slices" in page(metrics=metrics(synthetic=synthetic)).text) == synthetic
    assert ("(synthetic)" in summarise(metrics(synthetic=synthetic), AUDIT).lower()) == synthetic


# --- The summary -----------------------------------------------------------------------------------------------------------


def test_the_summary_gives_counts_figures_caveats_and_the_next_command() -> None:
    text = re.sub(" +", " ", summarise(metrics(), AUDIT))
    assert "sick 4 files 2 pictures 2 groups: 1 training, 0 validation, 1 test" in text
    assert "Test 3 pictures in 2 independent groups: accuracy 0.667, ROC AUC 0.500" in text
    assert "judged without anatomy (size, brightness, a tiny thumbnail): ROC AUC 0.250" in text
    assert "well precision 0.667 recall 1.000 F1 0.800 of 2" in text
    assert f"! {AUDIT['warnings'][0]}" in text
    assert "make serve" in text


def test_the_summary_of_one_class_calls_the_auc_undefined() -> None:
    assert "ROC AUC undefined" in summarise(metrics(labels=(1, 1, 1)), AUDIT)

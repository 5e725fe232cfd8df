"""The report and the summary that ends a run."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lung_tumor.metrics import classification_metrics
from lung_tumor.report import caveats, count_table, render, summarise
from tests.support.manifests import manifest_of

COPIED = manifest_of(
    [
        {"path": "sick/1", "label": "sick", "split": "training", "pixels": "p1"},
        {"path": "sick/1 copy", "label": "sick", "split": "training", "pixels": "p1"},
        {"path": "sick/2", "label": "sick", "split": "test"},
        {"path": "sick/3", "label": "sick", "split": "", "verdict": "quarantined", "pixels": ""},
        {"path": "well/1", "label": "well", "split": "training"},
        {"path": "well/2", "label": "well", "split": "validation"},
        {"path": "well/3", "label": "well", "split": "validation"},
        {"path": "well/4", "label": "well", "split": "test"},
    ]
)
PLAIN = COPIED[COPIED["path"] != "sick/1 copy"]
PIXELS = np.arange(32 * 32, dtype=np.uint32).reshape(32, 32).astype(np.uint8)
WRONG = [{"path": "sick/2", "label": "sick", "predicted": "well", "probability": 0.834, "pixels": PIXELS}]


def metrics(
    *, synthetic: bool = False, source: str = "made up", labels: tuple[int, ...] = (0, 1, 1)
) -> dict[str, object]:
    probabilities = np.array([[0.2, 0.8], [0.1, 0.9], [0.3, 0.7]])
    test = classification_metrics(np.array(labels), probabilities, ("sick", "well")) | {"slices": 3, "groups": 2}
    return {"test": test, "classes": ["sick", "well"], "source": source, "synthetic": synthetic, "version": "9.8.7"}


class Page(HTMLParser):
    """Tags, pictures and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def page(**given: object) -> Page:
    drawn = {"ROC": Figure(), "Training history": Figure()}
    return Page(render(**{"metrics": metrics(), "manifest": COPIED, "misclassified": WRONG, "drawn": drawn, **given}))  # type: ignore[arg-type]


# --- Counts and caveats ------------------------------------------------------------------------------------------------


def test_files_are_counted_by_class_and_pictures_by_split() -> None:
    assert count_table(COPIED) == [
        {"label": "sick", "files": 4, "quarantined": 1, "pictures": 2, "training": 1, "validation": 0, "test": 1},
        {"label": "well", "files": 4, "quarantined": 0, "pictures": 4, "training": 1, "validation": 2, "test": 1},
    ]


def test_exact_copies_are_confessed_with_their_number() -> None:
    assert any(text.startswith("1 of 7 usable files are exact copies") for text in caveats(metrics(), COPIED))
    assert not any("exact copies" in text for text in caveats(metrics(), PLAIN))


def test_a_synthetic_source_is_the_first_caveat_and_brightness_none() -> None:
    found = caveats(metrics(synthetic=True), COPIED)
    assert "say nothing about patients" in found[0]
    assert not any("Brightness" in text for text in found)
    assert any("Brightness" in text for text in caveats(metrics(), COPIED))


def test_undefined_figures_are_named() -> None:
    assert caveats(metrics(), PLAIN)[-1] == "Undefined: precision of sick: never predicted."


# --- The page ------------------------------------------------------------------------------------------------------------


def test_the_page_states_the_figures() -> None:
    text = page().text
    # Two of three right; the one sick slice ranks between the two well ones: AUC 1/2.
    assert "Of 3 test slices that the network had never seen, it named 2 rightly: 66.7 %." in text
    assert "sick 0.000 0.000 0.000 0.500 1" in text
    assert "well 0.667 1.000 0.800 0.500 2" in text
    assert "sick 4 1 2 1 0 1" in text
    assert "sick taken for well (83 %) sick/2" in text
    assert "lung-tumor-detection 9.8.7" in text


def test_undefined_figures_are_a_dash_not_a_number() -> None:
    text = page(metrics=metrics(labels=(1, 1, 1))).text
    assert "sick 0.000 0.000 0.000 – 0" in text
    assert "– ROC AUC" in text


def test_the_page_needs_no_network() -> None:
    made = page()
    assert not {"script", "link", "iframe", "object"} & set(made.tags)
    sources = [value for name, value in made.attributes if name in ("src", "href", "srcset", "action")]
    assert len(sources) == 3
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
        manifest=COPIED.assign(label=hostile),
        misclassified=[{**WRONG[0], "label": hostile, "path": hostile}],
    )
    assert "script" not in made.tags
    assert made.text.count(hostile) == 4


def test_without_a_mistake_the_page_says_none() -> None:
    assert "Misclassified test slices None." in page(misclassified=[]).text


@pytest.mark.parametrize("synthetic", [True, False])
def test_page_and_summary_say_whether_the_slices_are_synthetic(synthetic: bool) -> None:
    assert ("synthetic slices" in page(metrics=metrics(synthetic=synthetic)).text) == synthetic
    assert ("(synthetic)" in summarise(metrics(synthetic=synthetic), COPIED).lower()) == synthetic


# --- The summary -----------------------------------------------------------------------------------------------------------


def test_the_summary_gives_counts_figures_caveats_and_the_next_command() -> None:
    text = re.sub(" +", " ", summarise(metrics(), COPIED))
    assert "sick 4 files 2 pictures: 1 training, 0 validation, 1 test" in text
    assert "Test 3 distinct pictures: accuracy 0.667, ROC AUC 0.500" in text
    assert "well precision 0.667 recall 1.000 F1 0.800 of 2" in text
    assert "! 1 of 7 usable files are exact copies" in text
    assert "make serve" in text


def test_the_summary_of_one_class_calls_the_auc_undefined() -> None:
    assert "ROC AUC undefined" in summarise(metrics(labels=(1, 1, 1)), pd.DataFrame(COPIED))

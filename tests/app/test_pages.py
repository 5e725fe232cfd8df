"""What the pages say in each of their states, without a browser."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from app import create_app, pages, samples
from app.model import EXTENSION, Champion, Resources, ServedModel
from app.security import HEADERS
from lung_tumor.answers import decide
from lung_tumor.imaging import SYNTHETIC_NOTE, decode, prepare
from lung_tumor.predictor import Predictor
from lung_tumor.wording import chance
from tests.support.forms import sent
from tests.support.html_pages import Page
from tests.support.page_model import GREYS, METRICS, RULE, chest, page_app, page_model, series

STATIC = Path(samples.__file__).parent / "static"


@pytest.fixture(scope="module")
def predictor():
    return Predictor(page_model(), threads=1)


@pytest.fixture
def client(predictor):
    return create_app(predictor).test_client()


def send(client, *contents: bytes, name: str = "slice.png"):
    return client.post("/", **sent(*contents, name=name))


def models(*versions: str) -> list[Predictor]:
    return [Predictor(page_model(version=version), threads=1) for version in versions]


def words(response) -> str:
    """Visible text, without the templates that the script fills in."""
    return Page(re.sub(r"<template.*?</template>", "", response.text, flags=re.DOTALL)).text


def test_the_empty_page_has_the_form_and_the_facts_of_the_model(client):
    response = client.get("/")
    assert response.status_code == 200
    for expected in ("Your slices", "Research use only. Not a medical device.", "phantom:600?seed=7", "0.1.0", "480"):
        assert expected in words(response)


@pytest.mark.parametrize(
    ("answer", "headline", "why"),
    [
        ("suspected", "adenocarcinoma suspected", "above the operating point"),
        ("uncertain", "uncertain: refer", "let a radiologist look"),
        ("clear", "no sign of adenocarcinoma", "below the operating point"),
    ],
)
def test_each_answer_stands_with_its_reason_and_its_suspicion(client, answer, headline, why):
    response = send(client, chest(GREYS[answer]))
    assert response.status_code == 200
    shown = words(response)
    assert f'data-answer="{answer}"' in response.text
    assert headline in shown
    assert why in shown
    assert "operating point 40.0 %" in shown
    assert "referred from 30.0 % to 50.0 %" in shown
    assert "refused above 0.100" in shown
    assert "Model 0.1.0, float32, 2026-11-23" in shown


def test_a_refused_picture_gets_a_distance_and_no_probability(client):
    response = send(client, chest(220, lopsided=True))
    assert "not a chest CT slice I can judge: refused" in words(response)
    assert re.search(r'data-slot="gauge" hidden', response.text)
    assert re.search(r'data-slot="distance">0\.[1-9]', response.text)


def test_the_pictures_are_the_slice_as_the_model_saw_it_and_its_evidence(client, predictor):
    content = chest(GREYS["suspected"])
    uris = re.findall(r'src="data:image/png;base64,([^"]+)"', send(client, content).text)
    shown, evidence = (
        cv2.imdecode(np.frombuffer(base64.b64decode(uri), np.uint8), cv2.IMREAD_UNCHANGED) for uri in uris
    )
    np.testing.assert_array_equal(shown, prepare(decode(content).pixels, predictor.metadata.preparation))
    assert evidence.shape == (224, 224, 4)
    assert evidence[..., 3].max() > evidence[..., 3].min()


def test_the_page_answers_as_the_library_does(client, predictor):
    """Parity: the page adds nothing to, and leaves nothing out of, what training did to a slice."""
    for grey in (240, 174, 168, 120):
        content = chest(grey)
        prepared = prepare(decode(content).pixels, predictor.metadata.preparation)
        judged = predictor.judge(prepared[None])
        (decision,) = decide(judged.probabilities, judged.distances, predictor.metadata)
        shown = words(send(client, content))
        assert decision.headline in shown
        assert decision.sentence in shown
        assert f"Suspicion {chance(decision.suspicion)}" in shown


@pytest.mark.parametrize(
    "classes",
    [("adenocarcinoma", "squamous", "normal"), ("adenocarcinoma", "large_cell_carcinoma", "squamous", "normal")],
)
def test_three_and_four_classes_are_listed_most_probable_first(classes):
    shown = words(send(page_app(classes).test_client(), chest(GREYS["suspected"])))
    listed = [shown.index(name.replace("_", " "), shown.index("All classes")) for name in classes]
    assert listed == sorted(listed)
    assert f"is not {classes[-1]}" in shown


def test_several_slices_are_answered_one_below_the_other(client):
    shown = words(send(client, chest(GREYS["suspected"]), b"no picture", chest(GREYS["clear"])))
    places = [shown.index(text) for text in ("adenocarcinoma suspected", "This file type is not read", "no sign of")]
    assert places == sorted(places)


def test_the_title_tells_one_answer_and_of_several_their_number(client):
    def title(*contents: bytes) -> str:
        return re.search(r"<title>(.*?)</title>", send(client, *contents).text, re.DOTALL)[1]

    suspected, clear = chest(GREYS["suspected"]), chest(GREYS["clear"])
    assert title(suspected) == "adenocarcinoma suspected · Chest-CT slice classifier"
    assert title(b"text") == "This file type is not read · Chest-CT slice classifier"
    for several in ((suspected, clear), (clear, suspected), (b"text", clear)):
        assert title(*several) == "2 slices · Chest-CT slice classifier"


def test_the_form_says_what_it_takes_at_a_time_and_the_script_what_it_takes_a_file(predictor):
    limits = {"MAX_CONTENT_LENGTH": 2**21, "MAX_FILES": 7, "MAX_SLICES": 9}
    page = create_app(predictor, limits).test_client().get("/").text
    (shown,) = re.findall(r'<p class="fine" id="limits" data-scripted="([^"]*)">(.*?)</p>', page)
    assert shown[0].startswith("Less than 2 MiB and at most 9 slices a file.")
    assert shown[1].startswith("At most 7 files, 2 MiB and 9 slices at a time.")


def test_only_a_synthetic_model_carries_the_banner(client):
    def is_hidden(client) -> bool:
        (banner,) = re.findall(r'<aside class="note synthetic"[^>]*>', client.get("/").text)
        return banner.endswith(" hidden>")

    assert "learnt from synthetic slices" in words(client.get("/"))
    assert not is_hidden(client)
    assert is_hidden(page_app(synthetic=False).test_client())


def test_who_tries_a_sample_on_a_model_of_real_slices_is_told_that_it_may_be_refused(client):
    assert "may rightly refuse them" in words(page_app(synthetic=False).test_client().get("/"))
    assert "may rightly refuse them" not in words(client.get("/"))


def test_what_the_audit_warned_of_stands_above_the_form(client):
    warnings = ("normal: 14 independent pictures behind 148 files", "<b>no</b> markup")
    page = page_app(synthetic=False, warnings=warnings).test_client().get("/").text
    assert page.index("normal: 14 independent pictures behind 148 files") < page.index("<form")
    assert "&lt;b&gt;no&lt;/b&gt; markup" in page


def test_neither_a_class_nor_a_file_name_can_write_html():
    app = page_app(("<script>", "normal"))
    text = send(app.test_client(), chest(GREYS["suspected"]), name="<img src=x>.png").text
    assert "<script>" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt; suspected" in text


@pytest.mark.parametrize(
    ("content", "status", "headline", "fix"),
    [
        (b"text", 415, "This file type is not read", "Save the slice as PNG"),
        (b"", 422, "This picture cannot be used", "The file is empty"),
        (b"\x89PNG\r\n\x1a\nbroken", 422, "This picture cannot be used", "can be read. Export the whole slice again"),
    ],
)
def test_an_error_is_on_the_page_in_words_with_the_fix(client, content, status, headline, fix):
    response = send(client, content)
    assert response.status_code == status
    assert response.content_type == "text/html; charset=utf-8"
    assert headline in words(response)
    assert fix in words(response)
    assert "Judge other slices" in words(response)


def test_a_form_without_a_file_is_400_and_says_so(client):
    response = client.post("/", data={}, content_type="multipart/form-data")
    assert response.status_code == 400
    assert "No slice was sent" in words(response)
    assert "Try again with another file" in words(response)


def test_an_upload_above_the_limit_is_413(predictor):
    content = chest(200)
    response = send(create_app(predictor, {"MAX_CONTENT_LENGTH": 1024}).test_client(), content)
    assert len(content) > 1024
    assert response.status_code == 413
    assert "Send a smaller picture" in words(response)


def test_an_unknown_page_is_404_and_another_method_405(client):
    assert client.get("/nothing").status_code == 404
    assert client.delete("/").status_code == 405


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "." * 300])
def test_a_host_of_no_valid_name_is_400_everywhere(predictor, host):
    limited = create_app(predictor, {"RATE_PER_SECOND": 0.001, "RATE_BURST": 0}).test_client()
    for client, status in ((create_app(predictor).test_client(), 400), (limited, 429)):
        for path in ("/", "/about", "/nowhere", "/static/page.css"):
            response = client.get(path, headers={"Host": host})
            assert response.status_code == status
            assert response.content_type == "application/problem+json"
            assert "X-Request-ID" in response.headers
    assert "`Host`" in create_app(predictor).test_client().get("/readyz", headers={"Host": host}).text


def test_without_a_model_every_page_says_how_to_train_one(client_without_model):
    for response in (
        client_without_model.get("/"),
        client_without_model.get("/about"),
        send(client_without_model, chest(200)),
    ):
        assert response.status_code == 503
        assert "make run" in words(response)
        assert "<form" not in response.text


def test_a_probability_is_never_shown_as_certainty(client):
    shown = words(send(client, chest(40)))
    assert "Suspicion under 0.1 %" in shown
    assert "The suspicion of under 0.1 % lies below" in shown


def test_a_position_of_0_mm_is_shown_and_none_is_not(client):
    for position, shown in ((0.0, "slice.dcm 0.0 mm"), (-12.5, "slice.dcm −12.5 mm")):
        (content,) = series([GREYS["clear"]], start=position)
        assert shown in words(send(client, content, name="slice.dcm"))
    assert not re.search(r"\d mm", words(send(client, chest(GREYS["clear"]))))


def test_the_model_is_named_by_its_digest_wherever_it_is_named(predictor):
    """Version and day are those of many models."""
    digest = "0123456789abcdef" * 4
    app = create_app(predictor)
    resources = app.extensions[EXTENSION].current().resources
    app.extensions[EXTENSION] = Champion(ServedModel(resources, predictor, digest))
    client = app.test_client()
    assert "Model 0.1.0, float32, 2026-11-23, 0123456789ab" in words(send(client, chest(GREYS["clear"])))
    assert "Version 0.1.0, float32, 0123456789ab" in words(client.get("/"))
    assert "Version 0.1.0, trained 2026-11-23, SHA-256 0123456789ab" in words(client.get("/about"))
    for path in ("/", "/about"):
        assert "0123456789abc" not in words(client.get(path))


def test_a_model_that_took_over_meanwhile_is_not_named_beside_the_answer_of_the_old(client, monkeypatch):
    """The page is about the model that answered, whichever is served when it is written."""
    old, new = (ServedModel(Resources.of(client.application.config), model) for model in models("1.0", "2.0"))
    client.application.extensions[EXTENSION] = Champion(old)
    judge = pages.judge_uploads

    def overtaken(*arguments, **options):
        client.application.extensions[EXTENSION] = Champion(new)
        return judge(*arguments, **options)

    monkeypatch.setattr(pages, "judge_uploads", overtaken)
    response = send(client, chest(GREYS["clear"]))
    assert "Model 1.0, float32" in words(response)
    assert "2.0, float32" not in response.text
    assert "2.0, float32" in client.get("/").text


# Samples


@pytest.mark.parametrize("sample", samples.SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_is_what_its_command_draws_and_says_that_it_is_synthetic(sample):
    stored = (samples.FOLDER / sample.name).read_bytes()
    assert SYNTHETIC_NOTE.encode() in stored
    kept, drawn = (np.asarray(Image.open(io.BytesIO(content))) for content in (stored, samples.draw(sample)))
    # Another version of the JPEG library may round otherwise.
    assert np.abs(kept.astype(int) - drawn).mean() < 1.0


def test_the_samples_are_light_and_no_other_file_lies_among_them():
    files = {file.name: file.stat().st_size for file in samples.FOLDER.iterdir()}
    assert set(files) == {sample.name for sample in samples.SAMPLES}
    assert sum(files.values()) < 100_000


def test_a_sample_is_judged_without_a_script(client):
    for sample in samples.SAMPLES:
        response = client.post("/", data={"sample": sample.name})
        assert response.status_code == 200
        assert sample.name in words(response)


@pytest.mark.parametrize("name", ["../page.css", "x.jpg", "/etc/passwd"])
def test_no_other_file_can_be_asked_for_as_a_sample(client, name):
    assert client.post("/", data={"sample": name}).status_code == 400


# The cards


def test_the_cards_work_from_the_metadata_alone(client):
    shown = words(client.get("/about"))
    for expected in (
        "Model card",
        "Data card",
        "not a medical device",
        "40.0 %",
        "30.0 % and 50.0 %",
        "further than 0.100 from the 480 training slices",
        "24 independent groups",
        "Chosen on few groups: read it with care.",
        "No figures travel with this model",
        "phantom:600?seed=7",
        "synthetic, drawn by the phantom: no patient",
        "224 × 224 pixels",
    ):
        assert expected in shown


def test_a_share_that_was_counted_may_be_all_or_nothing(client):
    tested = {"sensitivity": {"value": 1.0, "interval": None}, "referred": {"value": 0.0, "interval": None}}
    shown = words(page_app(metrics={"operating_point": {"test": tested}}).test_client().get("/about"))
    # A model that was evaluated by an earlier version carries no figures of what needs no network.
    assert "sensitivity 100.0 % – – –" in shown
    assert "referred 0.0 % – – –" in shown


def test_the_figures_at_the_operating_point_stand_beside_what_needs_no_network():
    tested = {"sensitivity": {"value": 0.9, "interval": {"low": 0.8, "high": 1.0}, "slices": 30, "groups": 17}}
    beside = {
        "trivial": {"sensitivity": 0.95},
        "majority": {"sensitivity": None},
        "trivial_reason": "",
        "majority_class": "adenocarcinoma",
    }
    given = {"operating_point": {"test": tested, "beside": beside}}
    shown = words(page_app(metrics=given).test_client().get("/about"))
    assert "Always adenocarcinoma" in shown
    assert "sensitivity 90.0 % (80.0 % to 100.0 %) 95.0 % undefined 17" in shown
    beside |= {"trivial": None, "trivial_reason": "too few independent groups"}
    shown = words(page_app(metrics=given).test_client().get("/about"))
    assert "No anatomy: not measured, too few independent groups." in shown


def test_the_cards_set_figures_beside_their_intervals_and_the_baselines():
    shown = words(
        page_app(metrics=METRICS, warnings=("few groups",), precision_reason="faster").test_client().get("/about")
    )
    for expected in (
        "Accuracy 0.867 (0.710 to 0.960) 0.800 0.933",
        "ROC AUC 0.929 0.964 0.500",
        "Matthews correlation undefined 0.100 undefined",
        "Matthews correlation: one class was never predicted.",
        "No interval for ROC AUC: one class alone.",
        "normal 0.500 (0.000 to 1.000) 0.893 undefined 2, 2 no anatomy 0.500 0.893 undefined majority class 0.500",
        "30 slices in 28 independent groups",
        "sensitivity 93.0 % (80.0 % to 100.0 %) 95.0 % 100.0 % 26",
        "wrong when it answers 7.1 % (0.9 % to 22.6 %) 11.1 % 6.7 % 26",
        "0.081 before, 0.034 after",
        "natural pictures 23 of 24",
        "hits the mass in 97.0 % of 60 slices",
        "hiding the strongest evidence of 16 slices lowers the log-odds of suspicion by 0.31, hiding as much at random by 0.04",
        "Evidence maps show what moved the model",
        "96.0 % of held-out slices, and all slices of 94.7 % (85.4 % to 98.9 %) of their 57 groups",
        "It is not worse than the champion.",
        "float32: faster",
        "few groups",
    ):
        assert expected in shown
    assert "cross-validation" not in shown


def test_maps_that_do_not_show_what_the_model_relies_on_are_not_said_to():
    deletion = {"evidence": -0.08, "random": -0.37, "slices": 16}
    metrics = {**METRICS, "evidence": {"kind": "exact", "phantom": None, "deletion": deletion}}
    shown = words(page_app(metrics=metrics).test_client().get("/about"))
    assert "by -0.08, hiding as much at random by -0.37: these maps do not show what the model relies on" in shown
    assert "Evidence maps show what moved the model" not in shown


def test_of_the_training_slices_those_are_said_to_be_accepted_that_the_whole_rule_accepts():
    rule = replace(RULE, learnt=150, accepted=138)
    shown = words(page_app(novelty=rule).test_client().get("/about"))
    assert "accepts 92.0 % of 150 training slices judged without their own group" in shown
    assert "its distance alone accepts 97.0 % of training slices" in words(page_app().test_client().get("/about"))


def test_what_stands_in_the_columns_and_brackets_is_explained_once_above_the_first_table(client):
    key = "In brackets stand 95 % intervals over groups; “No anatomy” is a classifier that is given only numbers that know no"
    whole = page_app(metrics=METRICS).test_client().get("/about").text
    unpointed = page_app(metrics={**METRICS, "operating_point": None}).test_client().get("/about").text
    twice = page_app(metrics={**METRICS, "cross_validation": METRICS["test"]}).test_client().get("/about").text
    crossed = page_app(metrics={"cross_validation": METRICS["test"]}).test_client().get("/about").text
    for text in (whole, unpointed, twice, crossed):
        before, after = text.split("<table>", 1)
        assert key in Page(before).text
        assert "In brackets" not in after
    assert key not in words(client.get("/about"))


def test_no_two_tables_are_called_alike_and_the_first_column_holds_figures():
    text = page_app(metrics=METRICS).test_client().get("/about").text
    headings = [Page(found).text for found in re.findall(r"<h[2-4]>.*?</h[2-4]>|<caption>.*?</caption>", text)]
    assert len(headings) == len(set(headings))
    assert re.findall(r'<thead><tr><th scope="col">(.*?)</th>', text) == ["Figure", "Figure", "Class"]


def test_the_page_about_the_model_names_all_that_the_banner_warns_of(predictor):
    app = page_app(warnings=("few groups",))
    served = app.extensions[EXTENSION].current()
    app.extensions[EXTENSION] = Champion(replace(served, cautions=("sums may overflow",)))
    for path in ("/", "/about"):
        shown = words(app.test_client().get(path))
        assert shown.index("sums may overflow") < shown.index("few groups")
    assert "Nothing that" not in shown
    assert "Nothing that" in words(page_app().test_client().get("/about"))


@pytest.mark.parametrize(
    ("count", "summary"), [(2, "1 more reason not to believe it"), (4, "3 more reasons not to believe it")]
)
def test_the_banner_counts_its_reasons(count, summary):
    text = page_app(warnings=tuple(f"reason {number}" for number in range(count))).test_client().get("/").text
    assert f"<summary>{summary}</summary>" in text


# What holds everywhere


def everything(client):
    return (
        client.get("/"),
        client.get("/about"),
        send(client, chest(GREYS["suspected"])),
        send(client, b""),
        client.get("/x"),
    )


def test_every_answer_carries_the_security_headers(client):
    for response in (*everything(client), client.get("/healthz")):
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert {name: response.headers[name] for name in HEADERS} == HEADERS
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in response.headers


def test_no_page_names_an_asset_from_outside_or_inline_code(client):
    for response in everything(client):
        assert not re.search(r'(src|href|action)="(?!/|#|data:image/png)', response.text)
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", response.text)


def test_the_scripts_name_no_address_and_evaluate_no_text():
    for script in STATIC.glob("*.js"):
        text = script.read_text()
        assert not re.search(
            r"https?://(?!www\.w3\.org/2000/svg)|innerHTML|insertAdjacent|document\.write|eval\(", text
        )

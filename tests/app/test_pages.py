"""What the page says in each of its states, without a browser."""

from __future__ import annotations

import base64
import io
import re

import cv2
import numpy as np
import pytest

from app import create_app
from app.pages import percent
from lung_tumor.imaging import decode, prepare
from lung_tumor.predictor import Predictor


def send(client, content: bytes, name: str = "slice.png"):
    return client.post("/", data={"file": (io.BytesIO(content), name)}, content_type="multipart/form-data")


def test_the_empty_page_has_the_form_and_the_facts_of_the_model(client):
    response = client.get("/")
    assert response.status_code == 200
    for words in ("Classify slice", "Research use only. Not a medical device.", "phantom:600?seed=7", "0.1.0", "480"):
        assert words in response.text


def test_the_answer_shows_class_probability_and_every_class(client, bright):
    response = send(client, bright)
    assert response.status_code == 200
    assert re.search(r'class="class">adenocarcinoma<.*?class="share">5\d\.\d%<', response.text, re.DOTALL)
    assert response.text.count('class="bar"') == 2


def test_the_picture_is_the_slice_as_the_model_saw_it(client, predictor, bright):
    uri = re.search(r'src="data:image/png;base64,([^"]+)"', send(client, bright).text)
    assert uri is not None
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(uri[1]), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown, prepare(decode(bright).pixels, predictor.metadata.preparation))


def test_page_and_api_answer_as_the_library_does(client, predictor, make_slice):
    """Parity: the app adds nothing to, and leaves nothing out of, what training did to a slice."""
    for content in (make_slice(120), make_slice(200, mode="RGB", kind="JPEG"), make_slice(90, mode="RGBA")):
        prepared = prepare(decode(content).pixels, predictor.metadata.preparation)
        expected = predictor.predict(prepared[None])[0]
        answer = client.post("/api/v1/predictions", data={"file": (io.BytesIO(content), "slice")}).json
        assert list(answer["predictions"][0]["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-6)
        assert percent(float(expected.max())) in send(client, content).text.replace("&gt;", ">")


@pytest.mark.parametrize("classes", [("a", "b", "c"), ("adenocarcinoma", "large_cell_carcinoma", "squamous", "normal")])
def test_three_and_four_classes_work(make_model, bright, classes):
    text = send(create_app(Predictor(make_model(classes), threads=1)).test_client(), bright).text
    assert text.count('class="bar"') == len(classes)
    for name in classes:
        assert name.replace("_", " ") in text


def test_only_a_synthetic_model_carries_the_banner(client, make_model):
    assert "learnt from synthetic slices" in client.get("/").text
    real = create_app(Predictor(make_model(synthetic=False), threads=1)).test_client()
    assert "synthetic" not in real.get("/").text


def test_what_the_audit_warned_of_stands_above_the_form_of_a_real_model(make_model):
    warnings = ("normal: 14 independent pictures behind 148 files", "<b>no</b> markup")
    page = create_app(Predictor(make_model(synthetic=False, warnings=warnings), threads=1)).test_client().get("/").text
    assert page.index("normal: 14 independent pictures behind 148 files") < page.index("<form")
    assert "&lt;b&gt;no&lt;/b&gt; markup" in page


def test_a_class_name_cannot_write_html(make_model, bright):
    client = create_app(Predictor(make_model(("<script>", "normal")), threads=1)).test_client()
    assert "<script>" not in send(client, bright).text


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"text", 415, "Save the slice as PNG"),
        (b"", 422, "The file is empty"),
        (b"\x89PNG\r\n\x1a\nbroken", 422, "Export the whole slice again"),
    ],
)
def test_an_error_is_on_the_page_in_words_with_the_fix(client, content, status, words):
    response = send(client, content)
    assert response.status_code == status
    assert response.content_type == "text/html; charset=utf-8"
    assert words in response.text
    assert 'role="alert"' in response.text
    assert "Try again with another file" in response.text


def test_no_file_is_400(client):
    assert client.post("/", data={}, content_type="multipart/form-data").status_code == 400


def test_the_page_takes_one_slice_at_a_time(client, bright):
    files = [(io.BytesIO(bright), "a.png"), (io.BytesIO(bright), "b.png")]
    response = client.post("/", data={"file": files})
    assert response.status_code == 413
    assert "2 files were sent; send at most 1" in response.text


def test_an_upload_above_the_limit_is_413(predictor, bright):
    response = send(create_app(predictor, {"MAX_CONTENT_LENGTH": 1024}).test_client(), bright)
    assert response.status_code == 413
    assert "Send a smaller picture" in response.text


def test_an_unknown_page_is_404_and_another_method_405(client):
    assert client.get("/nothing").status_code == 404
    assert client.delete("/").status_code == 405


def test_without_a_model_the_page_says_how_to_train_one(client_without_model, bright):
    for response in (client_without_model.get("/"), send(client_without_model, bright)):
        assert response.status_code == 503
        assert "make run" in response.text
        assert "<form" not in response.text


@pytest.mark.parametrize(
    ("share", "words"), [(1.0, "> 99.9%"), (0.9991, "> 99.9%"), (0.934, "93.4%"), (0.0005, "< 0.1%"), (0.0, "< 0.1%")]
)
def test_a_probability_is_never_shown_as_certainty(share, words):
    assert percent(share) == words


def test_every_answer_carries_the_security_headers(client, bright):
    for response in (
        client.get("/"),
        send(client, bright),
        send(client, b""),
        client.get("/healthz"),
        client.get("/x"),
    ):
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in response.headers


def test_the_page_names_no_asset_from_outside_and_no_inline_code(client, bright):
    text = send(client, bright).text
    assert not re.search(r'(src|href|action)="(?!/|data:image/png)', text)
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)

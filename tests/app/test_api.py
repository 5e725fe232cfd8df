"""Every status code of the JSON API."""

from __future__ import annotations

import io

import pytest

from app import create_app
from lung_tumor.errors import SliceError
from lung_tumor.predictor import Predictor
from tests.support.dicom_files import (
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    SECRETS,
    compressed,
    ct_file,
    dataset_of,
    phantom_hounsfield,
    written,
)

URL = "/api/v1/predictions"


def form(*contents: bytes, field: str = "file", name: str = "slice.png") -> dict:
    return {field: [(io.BytesIO(content), name) for content in contents]}


def assert_problem(response, status: int, *words: str) -> dict:
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    body = response.get_json(force=True)
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    for word in words:
        assert word in body["detail"]
    return body


def test_a_bright_and_a_dark_slice_get_different_answers(client, bright, dark):
    labels = [client.post(URL, data=form(content)).json["predictions"][0]["label"] for content in (bright, dark)]
    assert labels == ["adenocarcinoma", "normal"]


def test_an_answer_names_the_model_and_every_class(client, bright):
    response = client.post(URL, data=form(bright))
    assert response.status_code == 200
    assert response.json["model"] == {
        "version": "0.1.0",
        "created": "",
        "classes": ["adenocarcinoma", "normal"],
        "source": "phantom:600?seed=7",
        "synthetic": True,
        "warnings": [],
    }
    assert response.json["notice"] == "Research use only. Not a medical device."
    (prediction,) = response.json["predictions"]
    assert list(prediction["probabilities"]) == ["adenocarcinoma", "normal"]
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_four_classes_come_from_the_model(make_model, bright):
    classes = ("adenocarcinoma", "large_cell_carcinoma", "squamous_cell_carcinoma", "normal")
    client = create_app(Predictor(make_model(classes), threads=1)).test_client()
    (prediction,) = client.post(URL, data=form(bright)).json["predictions"]
    assert sorted(prediction["probabilities"]) == sorted(classes)
    assert prediction["label"] == "adenocarcinoma"


def test_several_files_are_answered_in_their_order(client, bright, dark):
    response = client.post(URL, data=form(bright, dark, bright))
    labels = [prediction["label"] for prediction in response.json["predictions"]]
    assert labels == ["adenocarcinoma", "normal", "adenocarcinoma"]


def test_a_bad_file_does_not_take_the_answers_of_the_others(client, bright):
    response = client.post(URL, data=form(bright, b"no picture", bright[:200]))
    assert response.status_code == 200
    first, second, third = response.json["predictions"]
    assert first["label"] == "adenocarcinoma"
    assert second["error"]["status"] == 415
    assert third["error"]["status"] == 422


def test_files_that_all_fail_alike_share_their_status(client, bright):
    body = assert_problem(client.post(URL, data=form(bright[:200], b"")), 422, "None of the 2 files")
    assert [error["status"] for error in body["errors"]] == [422, 422]


def test_files_that_fail_differently_are_422(client):
    body = assert_problem(client.post(URL, data=form(b"no picture", b"")), 422, "None of the 2 files")
    assert [error["status"] for error in body["errors"]] == [415, 422]


@pytest.mark.parametrize(
    "data",
    [None, {}, {"other": "x"}, {"file": "text, not a file"}, {"file": (io.BytesIO(b""), "")}],
    ids=["no body", "empty form", "another field", "text field", "no file chosen"],
)
def test_a_missing_file_is_400(client, data):
    assert_problem(client.post(URL, data=data, content_type="multipart/form-data"), 400, "field `file`")


def test_a_file_in_the_wrong_field_is_400(client, bright):
    assert_problem(client.post(URL, data=form(bright, field="slice")), 400, "field `file`")


def test_a_broken_form_is_400(client):
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x", ""):
        assert_problem(client.post(URL, data=b"--y\r\nnonsense", content_type=content_type), 400)


def test_another_method_is_405(client):
    response = client.get(URL)
    assert_problem(response, 405)
    assert "POST" in response.headers["Allow"]


def test_an_unknown_address_is_404(client):
    assert_problem(client.get("/api/v2/predictions"), 404)


def test_an_upload_above_the_limit_is_413(predictor, bright):
    client = create_app(predictor, {"MAX_CONTENT_LENGTH": 1024}).test_client()
    assert len(bright) > 1024
    assert_problem(client.post(URL, data=form(bright)), 413, "0.000976562 MiB")


def test_too_many_files_are_413(client, bright):
    assert_problem(client.post(URL, data=form(*[bright] * 17)), 413, "17 files", "at most 16")


def test_too_many_parts_are_413(client):
    assert_problem(client.post(URL, data=form(*[b"x"] * 40)), 413, "16 files")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"not a picture, whatever its name says", "not a PNG, JPEG or DICOM"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "not a PNG, JPEG or DICOM"),
    ],
)
def test_a_file_that_is_no_png_jpeg_or_dicom_is_415(client, content, word):
    body = assert_problem(client.post(URL, data=form(content)), 415, word)
    assert len(body["errors"]) == 1


def test_a_body_that_is_no_form_is_415(client, bright):
    assert_problem(client.post(URL, data=bright, content_type="image/png"), 415, "multipart/form-data")
    assert_problem(client.post(URL, json={"file": "x"}), 415, "multipart/form-data")


@pytest.mark.parametrize("syntax", [None, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE])
def test_a_dicom_slice_is_judged_and_its_patient_is_named_nowhere(client, syntax, caplog):
    # Werkzeug's test client spools a body above 500 kB to a file that it leaves open.
    dataset = dataset_of(phantom_hounsfield()[::2, ::2].copy(), **SECRETS)
    content = written(dataset) if syntax is None else compressed(dataset, syntax)
    with caplog.at_level("DEBUG"):
        response = client.post(URL, data=form(content))
    assert response.status_code == 200
    (prediction,) = response.json["predictions"]
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert "Quux" not in response.text + caplog.text


def test_dicom_that_is_no_ct_slice_is_422_and_says_what_it_is(client):
    for content, word in ((ct_file(Modality="MR"), "MR"), (ct_file()[:-3000], "cut short"), (bytes(128) + b"DICM", "")):
        assert_problem(client.post(URL, data=form(content)), 422, word, "send the new file")


def test_a_picture_that_cannot_be_used_is_422(client, make_slice, bright):
    small = make_slice(size=(20, 20))
    for content, word in ((b"", "empty"), (bright[:300], "damaged"), (small, "20x20"), (make_slice(grey=0), "blank")):
        assert_problem(client.post(URL, data=form(content)), 422, word, "send the new file")


def test_a_type_is_read_from_the_content_not_from_the_name(client, make_slice):
    for name, content in (("slice.png", make_slice(kind="JPEG")), ("slice.txt", make_slice())):
        assert client.post(URL, data=form(content, name=name)).status_code == 200


def test_without_a_model_the_api_is_503_and_says_how_to_train_one(client_without_model, bright):
    for response in (client_without_model.post(URL, data=form(bright)), client_without_model.get("/api/v1/model")):
        assert_problem(response, 503, "make run")


def test_what_nothing_else_caught_is_500_without_its_reason(predictor, bright, monkeypatch):
    def fail(content: bytes) -> None:
        raise SliceError.__base__("the patient's name")

    monkeypatch.setattr("app.prediction.decode", fail)
    response = create_app(predictor).test_client().post(URL, data=form(bright))
    assert "patient" not in str(assert_problem(response, 500))


def test_the_model_says_everything_of_itself(client):
    body = client.get("/api/v1/model").json
    assert body["classes"] == ["adenocarcinoma", "normal"]
    assert body["preparation"]["size"] == 224
    assert body["slices"] == 480


def test_health_is_200_with_a_model_and_503_without(client, client_without_model):
    healthy = client.get("/healthz")
    assert (healthy.status_code, healthy.json["status"]) == (200, "ok")
    assert healthy.json["model"]["version"] == "0.1.0"
    ill = client_without_model.get("/healthz")
    assert (ill.status_code, ill.json["status"]) == (503, "no model")
    assert "make run" in ill.json["reason"]

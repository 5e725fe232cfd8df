"""Every status code of the JSON API."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
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
from tests.support.forms import sent
from tests.support.slice_files import zipped

URL = "/api/v1/predictions"


def form(*contents: bytes, field: str = "file", name: str = "slice.png") -> dict:
    return {field: [(io.BytesIO(content), name) for content in contents]}


def picture_of(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/png;base64,")
    content = base64.b64decode(uri.partition(",")[2])
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


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
        "digest": "",
        "precision": "float32",
    }
    assert response.json["notice"] == "Research use only. Not a medical device."
    (prediction,) = response.json["predictions"]
    assert list(prediction["probabilities"]) == ["adenocarcinoma", "normal"]
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_each_of_the_four_answers_is_given_with_its_reason(client, bright, middling, dark, foreign):
    response = client.post(URL, data=form(bright, middling, dark, foreign))
    items = response.json["predictions"]
    assert [item["answer"] for item in items] == ["suspected", "uncertain", "clear", "refused"]
    assert [item["headline"] for item in items] == [
        "adenocarcinoma suspected",
        "uncertain: refer",
        "no sign of adenocarcinoma",
        "not a chest CT slice I can judge: refused",
    ]
    for item in items:
        assert item["sentence"].endswith(".")
        assert item["operating_point"] == {"negative": "normal", "threshold": 0.4, "low": 0.3, "high": 0.5}
        assert item["novelty"]["threshold"] == 0.8
        assert item["position"] is None
        assert "images" not in item
    for item in items[:3]:
        assert item["suspicion"] == pytest.approx(1 - item["probabilities"]["normal"], abs=2e-6)
        assert item["novelty"]["distance"] < 0.8
    assert [items[3][name] for name in ("label", "suspicion", "probabilities")] == [None, None, None]
    assert items[3]["novelty"]["distance"] > 0.8


def test_pictures_come_only_when_asked_for(client, bright):
    for query, data in (("?images=true", {}), ("", {"images": "true"})):
        (item,) = client.post(URL + query, data={**form(bright), **data}).json["predictions"]
        assert item["images"]["class"] == "adenocarcinoma"
        shown, evidence = (picture_of(item["images"][name]) for name in ("slice", "evidence"))
        assert shown.shape == (64, 64)
        assert evidence.shape == (64, 64, 4)
    for query in ("", "?images=false"):
        (item,) = client.post(URL + query, data=form(bright)).json["predictions"]
        assert "images" not in item


@pytest.mark.parametrize("value", ["banana", "yes", "1", "True", ""])
def test_whether_pictures_are_wanted_is_true_or_false_and_nothing_else(client, bright, value):
    for query, fields in ((f"?images={value}", {}), ("", {"images": value}), ("?images=true", {"images": value})):
        response = client.post(URL + query, **sent(bright, **fields))
        assert_problem(response, 400, "`images` must be `true` or `false`")


def test_of_a_refused_slice_nothing_is_told_but_its_picture_and_its_distance(client, foreign):
    (item,) = client.post(URL + "?images=true", data=form(foreign)).json["predictions"]
    assert item["answer"] == "refused"
    assert item["images"]["evidence"] is item["images"]["class"] is item["label"] is item["suspicion"] is None
    assert picture_of(item["images"]["slice"]).shape == (64, 64)
    assert item["novelty"]["distance"] > item["novelty"]["threshold"]


def test_evidence_is_opaque_where_the_slice_is_brighter_than_usual_and_transparent_elsewhere(client, bright):
    (item,) = client.post(URL + "?images=true", data=form(bright)).json["predictions"]
    shown, evidence = (picture_of(item["images"][name]) for name in ("slice", "evidence"))
    grid = shown.reshape(8, 8, 8, 8).mean(axis=(1, 3)) / 255
    alpha = evidence[..., 3].reshape(8, 8, 8, 8).mean(axis=(1, 3))
    assert alpha[grid < 0.1].max() < 60
    assert alpha[grid > 0.9].min() > 120
    assert (evidence[..., :3] == (0, 94, 213)).all()


def test_a_slice_without_suspicion_shows_its_evidence_faintly(client, bright, dark):
    items = client.post(URL + "?images=true", data=form(bright, dark)).json["predictions"]
    strong, faint = (picture_of(item["images"]["evidence"])[..., 3].max() for item in items)
    assert faint < 0.1 * strong


def test_names_are_told_to_the_client_that_gave_them(client, bright, dark):
    files = {"file": [(io.BytesIO(bright), "first slice.png"), (io.BytesIO(dark), "zweite Schicht (é).png")]}
    items = client.post(URL, data=files).json["predictions"]
    assert [(item["name"], item["file"]) for item in items] == [("first slice.png", 0), ("zweite Schicht (é).png", 1)]


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
    body = assert_problem(client.post(URL, **sent(bright[:200], b"")), 422, "None of the 2 files")
    assert [error["status"] for error in body["errors"]] == [422, 422]


def test_files_that_fail_differently_are_422(client):
    body = assert_problem(client.post(URL, **sent(b"no picture", b"")), 422, "None of the 2 files")
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


def test_too_many_files_are_413(client):
    assert_problem(client.post(URL, data=form(*[b"x"] * 257)), 413, "257 files", "at most 256")


def test_beyond_the_last_slice_each_file_has_one_entry_that_says_what_to_do(predictor, bright):
    client = create_app(predictor, {"MAX_SLICES": 2}).test_client()
    items = client.post(URL, data=form(*[bright] * 6)).json["predictions"]
    assert [item["file"] for item in items] == [0, 1, 2, 3, 4, 5]
    assert [item.get("error", {}).get("status") for item in items] == [None, None, 413, 413, 413, 413]
    assert items[2]["error"]["detail"] == (
        "At most 2 slices are judged at a time, and the files before this one hold as many. Send it again by itself."
    )


def test_of_a_zip_that_the_limit_cuts_the_first_slice_that_was_not_judged_says_how_many_were_not(predictor, bright):
    client = create_app(predictor, {"MAX_SLICES": 5}).test_client()
    pack = zipped({f"{index}.png": bright for index in range(3)})
    items = client.post(URL, data=form(pack, pack, pack, bright, name="case.zip")).json["predictions"]
    assert [(item["name"], item["file"], "error" in item) for item in items] == [
        *((f"{index}.png", 0, False) for index in range(3)),
        *((f"{index}.png", 1, False) for index in range(2)),
        ("2.png", 1, True),
        ("case.zip", 2, True),
        ("case.zip", 3, True),
    ]
    assert items[5]["error"]["detail"] == (
        "At most 5 slices are judged at a time: this one, the last of its file, was not. Send it by itself."
    )
    assert "by itself" in items[6]["error"]["detail"]
    (*judged, rest) = client.post(URL, data=form(zipped({f"{index}.png": bright for index in range(9)}))).json[
        "predictions"
    ]
    assert [item["name"] for item in judged] == [f"{index}.png" for index in range(5)]
    assert (rest["name"], rest["error"]["status"]) == ("5.png", 413)
    assert rest["error"]["detail"] == (
        "At most 5 slices are judged at a time: the last 4 of this file, from this one on, were not. "
        "Send them in a file of their own."
    )


def test_files_that_just_fill_the_limit_are_all_judged(predictor, bright):
    client = create_app(predictor, {"MAX_SLICES": 4}).test_client()
    pack = zipped({f"{index}.png": bright for index in range(2)})
    items = client.post(URL, data=form(pack, pack)).json["predictions"]
    assert ["error" in item for item in items] == [False] * 4


def test_a_jpeg_with_thousands_of_scans_is_refused_before_it_is_decoded(client, bright):
    _, jpeg = cv2.imencode(".jpg", cv2.imdecode(np.frombuffer(bright, np.uint8), cv2.IMREAD_UNCHANGED))
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    assert_problem(client.post(URL, data=form(jpeg.tobytes()[:-2] + 2000 * scan + b"\xff\xd9")), 422, "scans")
    assert client.post(URL, data=form(jpeg.tobytes())).status_code == 200


def test_too_many_parts_are_413(client):
    assert_problem(client.post(URL, data=form(*[b"x"] * 320)), 413, "256 files")


def test_slices_beyond_the_limit_are_413_and_the_others_answered(predictor, bright):
    client = create_app(predictor, {"MAX_SLICES": 2}).test_client()
    items = client.post(URL, data=form(bright, bright, bright)).json["predictions"]
    assert [item.get("answer") for item in items] == ["suspected", "suspected", None]
    assert items[2]["error"]["status"] == 413


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
    for content, word in ((ct_file()[:-3000], "cut short"), (bytes(128) + b"DICM", "")):
        assert_problem(client.post(URL, **sent(content)), 422, word, "send the new file")


@pytest.mark.parametrize(
    ("elements", "fix"),
    [
        ({"Modality": "MR"}, "it names modality MR; give slices of a CT series."),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "give the axial slices of the series."),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "not axial; give the axial slices of the series."),
    ],
)
def test_a_fix_that_the_reason_names_is_not_followed_by_another(client, elements, fix):
    body = assert_problem(client.post(URL, data=form(ct_file(**elements))), 422, fix)
    assert body["detail"].endswith(fix)


def test_a_picture_that_cannot_be_used_is_422(client, make_slice, bright):
    small = make_slice(size=(20, 20))
    for content, word in ((b"", "empty"), (bright[:300], "damaged"), (small, "20x20"), (make_slice(grey=0), "blank")):
        assert_problem(client.post(URL, **sent(content)), 422, word, "send the new file")


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
    assert body["preparation"]["size"] == 64
    assert body["slices"] == 480
    assert body["operating_point"]["threshold"] == 0.4
    assert body["novelty"]["neighbours"] == 5
    assert body["digest"] == ""


def test_the_model_does_not_say_which_pictures_it_learnt_from(make_model):
    client = create_app(Predictor(make_model(learnt_from=("c0ffee00c0ffee00",)), threads=1)).test_client()
    for path in ("/api/v1/model", "/about", "/"):
        assert "c0ffee00" not in client.get(path).text


def test_a_process_is_healthy_as_long_as_it_answers_and_ready_with_a_model_alone(client, client_without_model):
    for process in (client, client_without_model):
        assert process.get("/healthz").json == {"status": "alive"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json["status"], ready.json["model"]["version"]) == (200, "ready", "0.1.0")
    assert_problem(client_without_model.get("/readyz"), 503, "make run")

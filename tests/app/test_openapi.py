"""The document that describes the API is valid, and the API does what it says."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from app import create_app, openapi
from tests.support.forms import sent

URL = "/api/v1/predictions"


def resolved(schema: dict) -> dict:
    """A schema with the document's components beside it, so that references resolve."""
    return {**schema, "components": openapi.document()["components"]}


def response_schema(path: str, method: str, status: str, content_type: str) -> dict:
    document = openapi.document()
    answer = document["paths"][path][method]["responses"][status]
    if "$ref" in answer:
        answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return resolved(answer["content"][content_type]["schema"])


def assert_as_described(response, path: str, method: str) -> None:
    schema = response_schema(path, method, str(response.status_code), response.content_type.partition(";")[0])
    Draft202012Validator(schema).validate(response.get_json(force=True))
    headers = openapi.document()["components"]["responses"].get(str(response.status_code), {}).get("headers", {})
    assert set(headers) <= set(response.headers.keys())


def test_the_document_is_valid_openapi_3_1(client):
    document = client.get("/api/v1/openapi.json").json
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_the_document_names_every_route_of_the_api_and_no_other(predictor):
    rules = create_app(predictor).url_map.iter_rules()
    served = {rule.rule for rule in rules if rule.endpoint.startswith("api.")} - {"/api/v1/docs"}
    assert set(openapi.document()["paths"]) == served


@pytest.mark.parametrize("images", ["true", "false"])
def test_answers_are_as_described(client, bright, middling, dark, foreign, images):
    response = client.post(f"{URL}?images={images}", **sent(bright, middling, dark, foreign, b"text", b""))
    assert response.status_code == 200
    assert_as_described(response, URL, "post")


def test_problems_are_as_described(client, bright):
    responses = [
        client.post(URL, data={}),
        client.post(URL, **sent(*[b"x"] * 257)),
        client.post(URL, data=b"x", content_type="image/png"),
        client.post(URL, **sent(b"text")),
        client.post(URL, **sent(b"", bright[:90])),
    ]
    assert [response.status_code for response in responses] == [400, 413, 415, 415, 422]
    for response in responses:
        assert_as_described(response, URL, "post")


def test_401_429_and_503_are_as_described(predictor, client_without_model, bright):
    guarded = create_app(predictor, {"TOKEN": "x"}).test_client()
    limited = create_app(predictor, {"RATE_PER_SECOND": 0.001, "RATE_BURST": 0}).test_client()
    for client, status in ((guarded, 401), (limited, 429), (client_without_model, 503)):
        response = client.post(URL, **sent(bright))
        assert response.status_code == status
        assert_as_described(response, URL, "post")
        response = client.get("/api/v1/model")
        assert response.status_code == status
        assert_as_described(response, "/api/v1/model", "get")


def test_every_answer_that_is_described_once_is_given_somewhere():
    document = openapi.document()
    given = {
        status for methods in document["paths"].values() for one in methods.values() for status in one["responses"]
    }
    assert given == {"200", *document["components"]["responses"]}


@pytest.mark.parametrize("path", ["/api/v1/model", "/api/v1/openapi.json", "/healthz", "/readyz"])
def test_what_is_read_is_as_described(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert_as_described(response, path, "get")


def test_readiness_without_a_model_is_as_described(client_without_model):
    assert_as_described(client_without_model.get("/readyz"), "/readyz", "get")


def test_the_page_names_every_operation_and_field(client):
    text = client.get("/api/v1/docs").text
    for operation in openapi.operations():
        assert f"{operation['method']} {operation['path']}" in text
    for name in openapi.document()["components"]["schemas"]["Judged"]["properties"]:
        assert f"<code>{name}</code>" in text
    assert "`" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text

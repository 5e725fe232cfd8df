"""Counts, times and ids: enough to run the app, too little to tell who was in it."""

from __future__ import annotations

import logging
import re

import pytest

from app import create_app
from app.metrics import BUCKETS, Metrics
from tests.support.forms import sent

URL = "/api/v1/predictions"


def send(client, *contents: bytes, **options):
    return client.post(URL, **sent(*contents, name="DOE^JANE.png"), **options)


def samples(text: str) -> dict[str, float]:
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_requests_answers_and_refusals_are_counted(client, bright, dark, foreign):
    send(client, bright, dark, dark, foreign, b"text")
    send(client, b"")
    client.get("/nowhere")
    found = samples(client.get("/metrics").text)
    assert found['lung_tumor_requests_total{route="api.predictions",method="POST",status="200"}'] == 1
    assert found['lung_tumor_requests_total{route="api.predictions",method="POST",status="422"}'] == 1
    assert found['lung_tumor_requests_total{route="-",method="GET",status="404"}'] == 1
    assert found['lung_tumor_answers_total{answer="suspected"}'] == 1
    assert found['lung_tumor_answers_total{answer="clear"}'] == 2
    assert found['lung_tumor_answers_total{answer="refused"}'] == 1
    assert found['lung_tumor_unusable_files_total{status="415"}'] == 1
    assert found['lung_tumor_unusable_files_total{status="422"}'] == 1
    assert found['lung_tumor_request_seconds_count{route="api.predictions"}'] == 2
    assert found["lung_tumor_queue_slices"] == 0
    assert found["lung_tumor_ready"] == 1
    assert found['lung_tumor_model_info{version="0.1.0",digest="",precision="float32"}'] == 1


def test_metrics_are_text_of_prometheus(client, bright):
    send(client, bright)
    response = client.get("/metrics")
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')
    for line in response.text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) lung_tumor_[a-z_]+ .+", line) or sample.fullmatch(line), line


def test_a_histogram_counts_up_to_each_bound():
    metrics = Metrics()
    for seconds in (0.001, 0.005, 0.3, 1000.0):
        metrics.observe("r", seconds)
    found = samples(metrics.render({}, {}))
    buckets = [found[f'lung_tumor_request_seconds_bucket{{route="r",le="{bound}"}}'] for bound in (*BUCKETS, "+Inf")]
    assert buckets == [2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4]
    assert found['lung_tumor_request_seconds_sum{route="r"}'] == pytest.approx(1000.306)


def test_a_label_cannot_write_a_line_of_its_own():
    metrics = Metrics()
    metrics.count("answers", answer='a"} 1\nfake 2\\')
    text = metrics.render({}, {})
    assert 'answers_total{answer="a\\"} 1\\nfake 2\\\\"} 1' in text


def test_a_method_or_path_that_a_client_made_up_becomes_no_label(client):
    client.open("/DOE%5EJANE", method="JANE")
    text = client.get("/metrics").text
    assert "JANE" not in text
    assert 'route="-",method="-"' in text


def test_without_a_model_metrics_say_so(client_without_model):
    found = samples(client_without_model.get("/metrics").text)
    assert found["lung_tumor_ready"] == 0


@pytest.mark.parametrize(
    "given", ["0123abcd" * 4, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"]
)
def test_a_clients_request_id_is_kept(client, given):
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given",
    ["", "short", "DOE-JANE-1950", "a" * 65, "1950-01-02", "19500102", "0" * 31, "1950-01-02-19500102-19500102abcdef"],
)
def test_a_request_id_that_could_spell_a_name_or_a_day_is_replaced(client, given):
    first, second = (client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] for _ in "ab")
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def test_each_request_leaves_one_line_with_its_id_route_status_and_time(client, bright, caplog):
    with caplog.at_level(logging.INFO, "app.requests"):
        response = send(client, bright, query_string={"patient": "JANE"})
    (record,) = [record for record in caplog.records if record.name == "app.requests"]
    assert record.fields["request_id"] == response.headers["X-Request-ID"]
    assert (record.fields["method"], record.fields["route"]) == ("POST", "api.predictions")
    assert record.fields["status"] == 200
    assert record.fields["ms"] > 0
    assert set(record.fields) == {"request_id", "method", "route", "status", "ms"}


def test_an_error_of_the_server_has_an_id_too_and_its_log_no_path(predictor, bright, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("app.prediction.prepare", fail)
    response = send(create_app(predictor).test_client(), bright, query_string={"patient": "JANE"})
    assert response.status_code == 500
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.fields == {"request_id": response.headers["X-Request-ID"], "route": "api.predictions"}
    assert record.exc_info[0] is RuntimeError
    assert "predictions" not in record.getMessage()
    assert "JANE" not in caplog.text

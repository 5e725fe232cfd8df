"""What the log says of faults and warnings: their kind and place, and nothing that could be a patient's."""

from __future__ import annotations

import json
import logging
import threading
import warnings

import pytest

from app.log_lines import JsonLines, log_warnings_and_threads


class Lines(logging.Handler):
    """Keeps the lines that would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines():
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler.lines
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def as_in_a_worker(monkeypatch):
    """The hooks of warnings and threads that a worker sets, and the test's own afterwards."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    log_warnings_and_threads()


def fail() -> None:
    try:
        raise KeyError("DOE^JANE")
    except KeyError as error:
        raise ValueError("no value for DOE^JANE, born 1950") from error


def test_of_an_exception_kind_and_places_are_written_and_not_what_it_says(lines):
    try:
        fail()
    except ValueError:
        logging.getLogger("app").exception("a request failed")
    (line,) = lines
    entry = json.loads(line)
    assert entry["message"] == "a request failed"
    assert "test_log.py" in entry["exception"]
    assert "in fail; ValueError. Caused by" in entry["exception"]
    assert entry["exception"].endswith("KeyError")
    assert "JANE" not in line
    assert "1950" not in line


def test_of_a_warning_kind_and_place_are_written_and_not_what_it_says(lines, as_in_a_worker):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # Entering keeps the hook of before, and so ours.
        warnings.warn("invalid value for DOE^JANE", UserWarning, stacklevel=1)
    (line,) = lines
    entry = json.loads(line)
    assert entry["logger"] == "py.warnings"
    assert entry["message"].startswith("UserWarning at test_log.py:")
    assert "JANE" not in line


def test_what_ends_a_thread_is_written_in_the_same_way(lines, as_in_a_worker, capsys):
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    (line,) = lines
    assert "ValueError" in json.loads(line)["exception"]
    assert "JANE" not in line + capsys.readouterr().err


def test_an_exception_that_was_never_raised_is_written_too(lines):
    logging.getLogger("app").error("odd", exc_info=ValueError("DOE^JANE"))
    assert json.loads(lines[0])["exception"].endswith("ValueError")
    assert "JANE" not in lines[0]

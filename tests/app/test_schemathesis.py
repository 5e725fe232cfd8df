"""Schemathesis reads the OpenAPI document and tries whatever it allows, and what it does not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# Any bytes fit the document's file; only true slices are judged, the others are told why not (422, 415).
EXCLUDED = "positive_data_acceptance"


@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_schemathesis_finds_nothing(server, tmp_path):
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/api/v1/openapi.json", "--checks", "all"]
    command += ["--exclude-checks", EXCLUDED, "--max-examples", "50", "--seed", "1"]
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "5 selected" in done.stdout
    assert "Traceback" not in server.log.read_text()

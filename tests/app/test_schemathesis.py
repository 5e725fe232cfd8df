"""Schemathesis reads the OpenAPI document and tries whatever it allows, and what it does not."""

from __future__ import annotations

import base64
import importlib.util
import os
import subprocess
import sys
import urllib.request

import pytest

from lung_tumor.answers import Answer

pytestmark = pytest.mark.slow

# Any bytes fit the document's file; only true slices are judged, the others are told why not (422, 415).
EXCLUDED = "positive_data_acceptance"

# Which no random bytes are: in every other form of files all of them are slices.
HOOKS = """
import base64, itertools, os, schemathesis

slices = [base64.b64decode(content) for content in os.environ["SLICES"].split()]
turns = itertools.count()


@schemathesis.hook
def map_body(context, body):
    files = body.get("file") if isinstance(body, dict) else None
    if isinstance(files, list) and files and next(turns) % 2:
        return {**body, "file": [slices[index % len(slices)] for index in range(len(files))]}
    return body
"""


@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_schemathesis_finds_nothing(server, tmp_path, bright, middling, dark, foreign):
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/api/v1/openapi.json", "--checks", "all"]
    command += ["--exclude-checks", EXCLUDED, "--max-examples", "50", "--seed", "1"]
    (tmp_path / "hooks.py").write_text(HOOKS)
    slices = " ".join(base64.b64encode(content).decode() for content in (bright, middling, dark, foreign))
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*", "SCHEMATHESIS_HOOKS": "hooks", "SLICES": slices}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "5 selected" in done.stdout
    assert "Traceback" not in server.log.read_text()
    counted = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
    for answer in Answer:
        assert f'lung_tumor_answers_total{{answer="{answer.value}"}}' in counted

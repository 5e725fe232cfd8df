"""The examples of docs/api.md run as they stand, against a live server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from lung_tumor.configuration import PROJECT


def example(language: str) -> str:
    text = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found


def run(command: list[str], server, folder, slice_file: bytes, fails: bool = False, **variables: str) -> str:
    """What it says; on standard error where it is to fail."""
    (folder / "slice.png").write_bytes(slice_file)
    environment = {**os.environ, "URL": server.url, "no_proxy": "*", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == int(fails), done.stderr
    return done.stderr if fails else done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_example_for_a_shell(server, tmp_path, bright):
    assert '"adenocarcinoma suspected"' in run(["bash", "-ec", example("sh")], server, tmp_path, bright)


def test_the_example_in_python(server, tmp_path, dark):
    out = run([sys.executable, "-c", example("python")], server, tmp_path, dark)
    assert re.fullmatch(r"slice\.png no sign of adenocarcinoma \(\d\.\d %\)\n", out)


def test_the_example_in_python_has_no_figure_for_a_refused_slice(server, tmp_path, foreign):
    out = run([sys.executable, "-c", example("python")], server, tmp_path, foreign)
    assert out == "slice.png not a chest CT slice I can judge: refused\n"


@pytest.mark.parametrize(("content", "said"), [(b"text", "415: The file is not"), (b"\x89PNG\r\n\x1a\n", "422: ")])
def test_the_example_in_python_says_why_its_only_file_was_not_judged(server, tmp_path, content, said):
    out = run([sys.executable, "-c", example("python")], server, tmp_path, content, fails=True)
    assert out.startswith(said)
    assert "Traceback" not in out
    assert len(out.splitlines()) == 1


def test_the_example_in_python_with_a_token(serve, served_project, tmp_path, dark):
    token = "s3cret-ü€à"
    with serve(served_project, LUNG_TUMOR_TOKEN=token) as server:
        out = run([sys.executable, "-c", example("python")], server, tmp_path, dark, LUNG_TUMOR_TOKEN=token)
    assert re.fullmatch(r"slice\.png no sign of adenocarcinoma \(\d\.\d %\)\n", out)

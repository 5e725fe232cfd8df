"""One whole run, which several modules look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project.copies import NO_NETWORK, copy_project, kedro_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which one whole run came to its end, cut off from the network."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    blocked = folder / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(blocked))
        done = kedro_run(cwd=folder)
    (folder / "said").write_text(done.stdout, encoding="utf-8")
    return folder

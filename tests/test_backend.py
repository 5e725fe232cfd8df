"""The same model code under another backend of Keras."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

MODULES = ("network", "head_learner", "tail_learner", "training", "classifier", "export", "evidence")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_the_tests_of_the_model_code_pass_under_jax() -> None:
    files = [f"tests/test_{name}.py" for name in MODULES]
    program = (
        "import sys, keras, pytest; assert keras.backend.backend() == 'jax';"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[1:]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *files],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout

"""VGG16's blocks in OpenVINO: silent, sending nothing, and right on numbers that can be checked."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lung_tumor import openvino_network
from lung_tumor.openvino_network import has_openvino, load
from lung_tumor.processor import multiplies_bfloat16
from tests.test_mnn_network import convolved, pooled

# Sought and not imported, which would report its use.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")


def few(*shape: int, seed: int = 0) -> np.ndarray:
    """-1, 0 and 1: their sums of products are exact, and exact in bfloat16 up to 256."""
    return np.random.default_rng(seed).integers(-1, 2, shape).astype(np.float32)


@pytest.mark.skipif(not multiplies_bfloat16(), reason="the processor has no bfloat16")
@pytest.mark.parametrize("size", [8, 9, 32])
@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_convolve_cut_off_and_pool(size: int, threads: int) -> None:
    blocks = [[(few(3, 3, 3, 5), few(5, seed=1))], [(few(3, 3, 5, 6, seed=3), few(6, seed=4))]]
    pixels = few(4, size, size, 3, seed=5)
    found = load(blocks, [1, 2], size, 4, threads)(pixels.transpose(0, 3, 1, 2))
    first = pooled(convolved(pixels, *blocks[0][0]))
    second = pooled(convolved(first, *blocks[1][0]))
    assert found.keys() == {1, 2}
    for block, wanted in ((1, first), (2, second)):
        assert found[block].dtype == np.float32
        assert np.abs(wanted).max() <= 256, "beyond, bfloat16 rounds whole numbers"
        np.testing.assert_array_equal(found[block], wanted)
        assert np.ptp(wanted) > 10


def test_answers_stay_when_the_network_is_used_again() -> None:
    run = load([[(few(3, 3, 3, 4), few(4, seed=1))]], [1], 8, 2, 1)
    first = run(few(2, 3, 8, 8, seed=2))[1]
    kept = first.copy()
    other = run(few(2, 3, 8, 8, seed=3))[1]
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, other)


QUIET = """
import sys
asked = []
sys.addaudithook(lambda event, given: asked.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
import numpy as np
from lung_tumor import openvino_network
assert openvino_network.has_openvino()
kernel = np.ones((3, 3, 3, 4), np.float32)
run = openvino_network.load([[(kernel, np.zeros(4, np.float32))]], [1], 8, 1, 2)
run(np.ones((1, 3, 8, 8), np.float32))
print("done", openvino_network.version(), asked)
"""


def test_nothing_is_printed_written_or_sent(tmp_path: Path) -> None:
    """It comes with a package that reports its use at import; that one writes to the home folder before it sends."""
    environment = {**os.environ, "PYTHONPATH": str(Path(openvino_network.__file__).parents[1]), "HOME": str(tmp_path)}
    answer = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout == f"done {openvino_network.version()} []\n"
    assert answer.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_that_it_is_missing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_openvino()
    # None in sys.modules is how Python marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert not has_openvino()

"""VGG16's blocks in MNN: silent, and right on numbers that can be checked."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from lung_tumor import mnn_network
from lung_tumor.mnn_network import load, silence

pytest.importorskip("_mnncengine", reason="MNN is not installed")


def whole_numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Small whole numbers: their products and sums are exact, in whatever order."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def convolved(pixels: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Convolution with a border of zeros and ReLU, from its definition; channels last."""
    height, width = pixels.shape[1:3]
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
    total = bias + sum(
        padded[:, row : row + height, column : column + width] @ kernel[row, column]
        for row in range(3)
        for column in range(3)
    )
    return np.maximum(total, 0)


def pooled(pixels: np.ndarray) -> np.ndarray:
    """The maximum of 2 by 2; a last odd row or column is left out."""
    count, height, width, channels = pixels.shape
    even = pixels[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(count, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


@pytest.mark.parametrize("size", [8, 9, 32])
@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_convolve_cut_off_and_pool(size: int, threads: int) -> None:
    blocks = [
        [(whole_numbers(3, 3, 3, 5), whole_numbers(5, seed=1)), (whole_numbers(3, 3, 5, 6), whole_numbers(6, seed=2))],
        [(whole_numbers(3, 3, 6, 7, seed=3), whole_numbers(7, seed=4))],
    ]
    pixels = whole_numbers(4, size, size, 3, seed=5)
    found = load(blocks, [1, 2], size, 4, threads)(pixels.transpose(0, 3, 1, 2))
    first = pooled(convolved(convolved(pixels, *blocks[0][0]), *blocks[0][1]))
    second = pooled(convolved(first, *blocks[1][0]))
    assert found.keys() == {1, 2}
    for block, wanted in ((1, first), (2, second)):
        assert found[block].dtype == np.float32
        # Winograd's transforms divide by 24 and the like: exact numbers come back rounded.
        np.testing.assert_allclose(found[block], wanted, atol=1e-4 * np.abs(wanted).max())
        assert np.ptp(wanted) > 10


def test_answers_stay_when_the_network_is_used_again() -> None:
    blocks = [[(whole_numbers(3, 3, 3, 4), whole_numbers(4, seed=1))]]
    run = load(blocks, [1], 8, 2, 1)
    first = run(whole_numbers(2, 3, 8, 8, seed=2))[1]
    kept = first.copy()
    other = run(whole_numbers(2, 3, 8, 8, seed=3))[1]
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, other)


def test_the_file_that_mnn_reads_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run = load([[(whole_numbers(3, 3, 3, 4), whole_numbers(4))]], [1], 8, 1, 1)
    assert list(tmp_path.iterdir()) == []
    assert run(whole_numbers(1, 3, 8, 8))[1].shape == (1, 4, 4, 4)


QUIET = """
import numpy as np
from lung_tumor import mnn_network
kernel = np.ones((3, 3, 3, 4), np.float32)
run = mnn_network.load([[(kernel, np.zeros(4, np.float32))]], [1], 8, 1, 2)
run(np.ones((1, 3, 8, 8), np.float32))
print("done", mnn_network.version())
"""


def test_nothing_is_printed_but_what_the_caller_prints() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(mnn_network.__file__).parents[1])}
    answer = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout == f"done {mnn_network.version()}\n"
    assert answer.stderr == ""


def test_silence_ends(capfd: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(ZeroDivisionError), silence():
        os.write(1, b"unheard")
        os.write(2, b"unheard")
        raise ZeroDivisionError
    os.write(1, b"heard")
    os.write(2, b"heard too")
    assert capfd.readouterr() == ("heard", "heard too")

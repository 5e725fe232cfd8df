"""Activations remembered by what they were made from."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lung_tumor import network
from lung_tumor.errors import StoreError
from lung_tumor.feature_store import FeatureStore, key_of
from lung_tumor.features import describe_engine, run_in_batches, run_with_store
from tests.support.classifiers import SMALL, pixels, small_classifier

PLENTY = 2**30


def store_at(folder: Path, budget: int = PLENTY) -> FeatureStore:
    return FeatureStore(folder / "features.sqlite", budget)


def record(seed: int, size: int = 50) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=size).astype(np.float32), rng.normal(size=(2, 3, 4)).astype(np.float32)]


def keys(count: int) -> list[bytes]:
    return [bytes([number]) * 16 for number in range(count)]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


def test_what_was_put_comes_back_bit_by_bit_and_nothing_else(tmp_path: Path) -> None:
    first, second, third = keys(3)
    store_at(tmp_path).put({first: record(1), second: record(2)}, "maker")
    found = store_at(tmp_path).get([second, third, first, first])
    assert found.keys() == {first, second}
    assert same(found[first], record(1))
    assert same(found[second], record(2))


def test_the_key_knows_the_pixels_their_shape_and_what_they_are_sent_through() -> None:
    (picture,) = pixels(1)
    changed = picture.copy()
    changed[3, 4] ^= 1
    others = [(changed, "a"), (picture.reshape(16, 64), "a"), (picture, "b")]
    assert key_of(picture, "a") == key_of(picture.copy(), "a")
    assert len({key_of(picture, "a"), *(key_of(*other) for other in others)}) == 4


def test_a_damaged_record_is_dropped_and_told_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = keys(2)
    store_at(tmp_path).put({good: record(1), bad: record(2)}, "maker")
    with sqlite3.connect(tmp_path / "features.sqlite") as file:
        (content,) = file.execute("SELECT content FROM activations WHERE key = ?", [bad]).fetchone()
        flipped = bytes([*content[:-1], content[-1] ^ 1])
        file.execute("UPDATE activations SET content = ? WHERE key = ?", [flipped, bad])
    file.close()
    with caplog.at_level(logging.WARNING):
        assert store_at(tmp_path).get([good, bad]).keys() == {good}
    assert "1 damaged records" in caplog.text
    assert store_at(tmp_path).summary()[0]["records"] == 1


def test_a_file_that_is_no_store_is_set_aside_and_not_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "features.sqlite").write_bytes(b"no database at all, " * 100)
    with caplog.at_level(logging.WARNING):
        store_at(tmp_path).put({keys(1)[0]: record(1)}, "maker")
    assert (tmp_path / "features.damaged").read_bytes().startswith(b"no database")
    assert "set aside as features.damaged" in caplog.text
    assert store_at(tmp_path).get(keys(1)).keys() == set(keys(1))


def test_beyond_the_budget_the_least_recently_used_are_forgotten(tmp_path: Path) -> None:
    one, two, three, four = keys(4)
    size = store_bytes(tmp_path / "probe")
    store = store_at(tmp_path, budget=3 * size)
    for number, key in enumerate((one, two, three)):
        store.put({key: record(number)}, "maker")
    store.get([one])
    store.put({four: record(4)}, "maker")
    assert store.get(keys(4)).keys() == {one, three, four}
    assert store.summary()[0]["bytes"] <= 3 * size


def store_bytes(folder: Path) -> int:
    store = store_at(folder)
    store.put({keys(1)[0]: record(0)}, "maker")
    return int(store.summary()[0]["bytes"])


def test_the_summary_counts_by_what_made_the_records(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.put({key: record(1) for key in keys(3)}, "large")
    store.put({b"x" * 16: record(1)}, "small")
    assert [(row["made_by"], row["records"]) for row in store.summary()] == [("large", 3), ("small", 1)]


def test_a_store_in_a_place_that_cannot_be_one_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "features.sqlite").mkdir()
    with pytest.raises(StoreError, match=r"features\.sqlite cannot be opened"):
        store_at(tmp_path).get(keys(1))


def test_a_budget_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="budget_bytes must be at least 1, received 0"):
        store_at(tmp_path, budget=0)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from lung_tumor.feature_store import FeatureStore
store = FeatureStore(Path(sys.argv[1]), 2**30)
print("ready", flush=True)
for number in range(100000):
    store.put({number.to_bytes(16, "big"): [np.full(2000, number, np.float32)]}, "writer")
"""


@pytest.mark.parametrize("moment", [0.05, 0.2, 0.4])
def test_a_writer_that_is_killed_leaves_whole_records(tmp_path: Path, moment: float) -> None:
    path = tmp_path / "features.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(moment)
        os.kill(writer.pid, signal.SIGKILL)
    found = FeatureStore(path, PLENTY).get(number.to_bytes(16, "big") for number in range(100000))
    numbers = sorted(int.from_bytes(key, "big") for key in found)
    assert numbers == list(range(len(numbers)))
    assert all((found[number.to_bytes(16, "big")][0] == number).all() for number in numbers)


# --- With a network -----------------------------------------------------------------------------------------------------


def test_only_what_is_new_is_computed_and_the_numbers_are_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = network.frozen_prefix(small_classifier().model)
    slices = pixels(45)
    expected = run_in_batches(prefix, slices, 45, "test")
    with caplog.at_level(logging.INFO):
        run_with_store(prefix, slices[:40], 40, "test", store_at(tmp_path))
        found = run_with_store(prefix, slices, 45, "test", store_at(tmp_path))
    assert [
        record.getMessage().partition(" slices")[0] for record in caplog.records if "computed" in record.message
    ] == [
        "test: 40 of 40",
        "test: 5 of 45",
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_other_weights_another_cut_and_another_size_are_other_engines() -> None:
    base = small_classifier(options=SMALL).model
    changed = small_classifier(options=SMALL).model
    kernel, bias = changed.get_layer("block1_conv1").get_weights()
    kernel[0, 0, 0, 0] += 1e-3
    changed.get_layer("block1_conv1").set_weights([kernel, bias])
    cut = small_classifier(options=network.NetworkOptions(feature_blocks=(1,))).model
    larger = network.build(2, SMALL, 48, seed=3)
    prefixes = [network.frozen_prefix(model) for model in (base, changed, cut, larger)]
    assert len({describe_engine(prefix) for prefix in prefixes}) == 4
    again = describe_engine(network.frozen_prefix(small_classifier(options=SMALL).model))
    assert describe_engine(prefixes[0]) == again
    assert again.startswith("32x32x3 to block1_features+block2_features | network ")

"""Activations remembered by what they were made from."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from lung_tumor import feature_store
from lung_tumor.errors import StoreError
from lung_tumor.feature_store import FeatureStore, digest_of, key_of
from tests.support.classifiers import pixels

PLENTY = 2**30


def store_at(folder: Path, budget: int = PLENTY) -> FeatureStore:
    return FeatureStore(folder / "features.sqlite", budget)


def record(seed: int, shape: tuple[int, ...] = (2, 3, 9)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def keys(count: int) -> list[bytes]:
    return [bytes([number]) * 16 for number in range(count)]


def test_what_was_put_comes_back_bit_by_bit_and_nothing_else(tmp_path: Path) -> None:
    first, second, third, fourth = keys(4)
    values = {first: record(1), second: record(2, (512,))}
    store_at(tmp_path).put({"maker": values, "other": {fourth: record(4)}})
    store = store_at(tmp_path)
    assert store.known([third, first, second, first]) == {first, second}
    found = store.get([second, third, first, first])
    assert found.keys() == {first, second}
    for key, value in found.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, values[key], strict=True)


def test_put_again_a_record_stays_as_it_is(tmp_path: Path) -> None:
    (key,) = keys(1)
    store = store_at(tmp_path)
    store.put({"maker": {key: record(1)}})
    store.put({"maker": {key: record(2, (7,))}})
    np.testing.assert_array_equal(store.get([key])[key], record(1), strict=True)
    assert [(row["records"], row["bytes"]) for row in store.summary()] == [(1, record(1).nbytes)]


def test_a_record_under_the_name_of_another_is_not_believed(tmp_path: Path) -> None:
    first, second = keys(2)
    store = store_at(tmp_path)
    store.put({"maker": {first: record(1), second: record(2)}})
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("UPDATE contents SET id = CASE id WHEN 1 THEN -2 ELSE -1 END")
        database.execute("UPDATE contents SET id = -id")
    assert store.get([first, second]) == {}


def test_what_is_asked_for_by_name_is_not_forgotten_for_what_comes_next(tmp_path: Path) -> None:
    old, other, new = keys(3)
    store = FeatureStore(tmp_path / "features.sqlite", 2 * record(1).nbytes)
    store.put({"maker": {old: record(1)}})
    store.put({"maker": {other: record(2)}})
    assert store.known([old]) == {old}
    store.put({"maker": {new: record(3)}})
    assert store.known([old, other, new]) == {old, new}


def test_numbers_of_16_bits_take_two_bytes_each_and_lose_nothing(tmp_path: Path) -> None:
    short, full, special = keys(3)
    rounded = (record(1).view(np.uint32) & 0xFFFF0000).view(np.float32)
    extremes = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 2.0**-133], np.float32)
    store = store_at(tmp_path)
    store.put({"short": {short: rounded, special: extremes}, "full": {full: record(1)}})
    found = store.get([short, full, special])
    np.testing.assert_array_equal(found[short], rounded, strict=True)
    np.testing.assert_array_equal(found[special].view(np.uint32), extremes.view(np.uint32))
    np.testing.assert_array_equal(found[full], record(1), strict=True)
    assert {row["made_by"]: row["bytes"] for row in store.summary()} == {"short": 2 * (54 + 6), "full": 4 * 54}


def test_the_key_knows_the_pixels_their_shape_and_what_they_are_sent_through() -> None:
    (picture,) = pixels(1)
    changed = picture.copy()
    changed[3, 4] ^= 1
    digests = [digest_of(given) for given in (picture, changed, picture.reshape(16, 64))]
    assert digest_of(np.asfortranarray(picture)) == digests[0]
    assert digest_of(np.repeat(picture, 2, axis=1)[:, ::2]) == digests[0]
    assert len({key_of(digest, made_by) for digest in digests for made_by in ("a", "b")}) == 6
    assert key_of(digests[0], "a") == key_of(digest_of(picture.copy()), "a")


def test_a_damaged_record_is_dropped_and_told_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, flipped, reshaped, lost = keys(4)
    store_at(tmp_path).put({"maker": {key: record(1) for key in (good, flipped, reshaped, lost)}})
    with sqlite3.connect(tmp_path / "features.sqlite") as file:
        (content,) = file.execute("SELECT content FROM contents WHERE id = 2").fetchone()
        changed = bytes([*content[:-1], content[-1] ^ 1])
        file.execute("UPDATE contents SET content = ? WHERE id = 2", [changed])
        file.execute("UPDATE contents SET shape = '54' WHERE id = 3")
        file.execute("DELETE FROM contents WHERE id = 4")
    file.close()
    with caplog.at_level(logging.WARNING):
        assert store_at(tmp_path).get([good, flipped, reshaped, lost]).keys() == {good}
    assert "3 damaged records" in caplog.text
    assert store_at(tmp_path).summary()[0]["records"] == 1


def test_text_that_can_no_longer_be_read_is_damage_like_any_other(tmp_path: Path) -> None:
    good, shape, kind = keys(3)
    store = store_at(tmp_path)
    store.put({"maker": dict.fromkeys((good, shape, kind), record(1))})
    with closing(sqlite3.connect(store.path)) as database, database:
        # One bit more, and a letter of ASCII is no UTF-8.
        database.execute("UPDATE contents SET shape = CAST(x'b278337839' AS TEXT) WHERE id = 2")
        database.execute("UPDATE contents SET kind = CAST(x'e66c6f61743332' AS TEXT) WHERE id = 3")
        database.execute("UPDATE makers SET made_by = CAST(x'ed616b6572' AS TEXT)")
    assert store.get([good, shape, kind]).keys() == {good}
    assert [row["records"] for row in store.summary()] == [1]


def test_a_file_that_is_no_store_is_set_aside_and_not_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "features.sqlite").write_bytes(b"no database at all, " * 100)
    with caplog.at_level(logging.WARNING):
        store_at(tmp_path).put({"maker": {keys(1)[0]: record(1)}})
    assert (tmp_path / "features.damaged").read_bytes().startswith(b"no database")
    assert "set aside as features.damaged" in caplog.text
    assert store_at(tmp_path).get(keys(1)).keys() == set(keys(1))


@pytest.mark.parametrize("offset", [0, 5 * 16384])
def test_a_file_whose_pages_are_damaged_is_set_aside_with_its_journal(
    tmp_path: Path, offset: int, caplog: pytest.LogCaptureFixture
) -> None:
    path, many = tmp_path / "features.sqlite", {key: record(1, (2000,)) for key in keys(50)}
    store_at(tmp_path).put({"maker": many})
    content = bytearray(path.read_bytes())
    content[offset : offset + 40 * 16384] = bytes(40 * 16384)
    path.write_bytes(content)
    (tmp_path / "features.sqlite-wal").write_bytes(b"left by a killed run")
    store = store_at(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert store.get(keys(50)).keys() < many.keys()
    store.put({"maker": many})
    assert store.get(keys(50)).keys() == many.keys()
    assert "damaged" in caplog.text


def test_a_file_whose_tables_contradict_each_other_is_set_aside(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.put({"maker": {key: record(1) for key in keys(3)}})
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("DELETE FROM records WHERE id = 3")  # its content stays, under the number of the next record
    store.put({"maker": {key: record(1) for key in keys(4)}})
    assert store.get(keys(4)).keys() == set(keys(4))
    assert (tmp_path / "features.damaged").exists()


def test_a_file_whose_schema_is_no_text_any_more_is_set_aside(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.put({"maker": {keys(1)[0]: record(1)}})
    content = store.path.read_bytes()
    # Kind, name and table of an entry, one after the other.
    assert content.count(b"indexby_userecords") == 1
    store.path.write_bytes(content.replace(b"indexby_userecords", b"indexby\xdfuserecords"))
    assert store.get(keys(1)) == {}
    assert (tmp_path / "features.damaged").exists()


def test_beyond_the_budget_the_least_recently_used_are_forgotten(tmp_path: Path) -> None:
    one, two, three, four = keys(4)
    size = record(1).nbytes
    store = store_at(tmp_path, budget=3 * size)
    for number, key in enumerate((one, two, three)):
        store.put({"maker": {key: record(number)}})
    store.get([one])
    store.put({"maker": {four: record(4)}})
    assert store.get(keys(4)).keys() == {one, three, four}
    assert store.summary()[0]["bytes"] == 3 * size


def test_what_is_forgotten_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    store_at(tmp_path).put({"maker": {key: record(1, (5000,)) for key in keys(100)}})
    before = path.stat().st_size
    store_at(tmp_path, budget=40_000).put({"maker": {b"new": record(1, (5000,))}})
    assert path.stat().st_size < before / 5
    assert store_at(tmp_path).summary()[0]["records"] == 2


def test_reading_the_same_again_writes_nothing(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for number, key in enumerate(keys(5)):
        store.put({"maker": {key: record(number)}})
    store.get(keys(5))
    with sqlite3.connect(tmp_path / "features.sqlite") as watcher:
        (before,) = watcher.execute("PRAGMA data_version").fetchone()
        store.get(keys(5))
        assert watcher.execute("PRAGMA data_version").fetchone() == (before,)
        store.put({"maker": {b"new": record(1)}})
        assert watcher.execute("PRAGMA data_version").fetchone() != (before,)
    watcher.close()


def test_the_summary_counts_by_what_made_the_records(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.put({"large": {key: record(1) for key in keys(3)}, "small": {b"x" * 16: record(1)}})
    size = record(1).nbytes
    assert store.summary() == [
        {"made_by": "large", "records": 3, "bytes": 3 * size},
        {"made_by": "small", "records": 1, "bytes": size},
    ]


def test_the_records_of_an_earlier_version_are_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "features.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA auto_vacuum = FULL")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("CREATE TABLE activations (key BLOB PRIMARY KEY, content BLOB)")
        file.executemany("INSERT INTO activations VALUES (?, ?)", [(key, bytes(100_000)) for key in keys(20)])
    file.close()
    store = store_at(tmp_path)
    with caplog.at_level(logging.INFO):
        assert store.get(keys(20)) == {}
    assert "features.sqlite is of an earlier version" in caplog.text
    assert path.stat().st_size < 200_000
    store.put({"maker": {keys(1)[0]: record(1)}})
    assert store.get(keys(20)).keys() == set(keys(1))


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    store_at(tmp_path).put({"maker": {keys(1)[0]: record(1)}})
    with sqlite3.connect(tmp_path / "features.sqlite") as file:
        file.execute("PRAGMA user_version = 7")
    file.close()
    with pytest.raises(StoreError, match=r"features\.sqlite is of version 7, this library reads 2"):
        store_at(tmp_path).get(keys(1))


def test_a_file_that_another_run_is_writing_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_store, "_TIMEOUT", 0.1)
    store = store_at(tmp_path)
    store.put({"maker": {keys(1)[0]: record(1)}})
    with sqlite3.connect(tmp_path / "features.sqlite") as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.get(keys(1)).keys() == set(keys(1))
        with pytest.raises(StoreError, match=r"features\.sqlite cannot be used .*locked.*another run is writing to it"):
            store.put({"maker": {b"new": record(1)}})
    other.close()
    store.put({"maker": {b"new": record(1)}})


def test_a_store_in_a_place_that_cannot_be_one_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "features.sqlite").mkdir()
    with pytest.raises(StoreError, match=r"features\.sqlite cannot be used"):
        store_at(tmp_path).get(keys(1))
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"features\.sqlite cannot be used .*: see to it, or name another file"):
        store_at(tmp_path / "file").get(keys(1))


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
    store.put({"writer": {number.to_bytes(16, "big"): np.full(2000, number, np.float32)}})
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
    assert all((found[number.to_bytes(16, "big")] == number).all() for number in numbers)

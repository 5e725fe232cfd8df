"""Running a model over slices a batch at a time, and remembering what the frozen part gave."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lung_tumor import features, network
from lung_tumor.computation import Computation
from lung_tumor.feature_store import FeatureStore
from lung_tumor.features import BATCH, CHUNK, Remembered, run_in_batches
from lung_tumor.frozen_pass import FrozenPass, frozen_pass
from lung_tumor.network import Cut
from tests.support.classifiers import openers, pixels, small_classifier


class Recorder:
    """Stands for a network: answers with each slice's mean, and notes the shapes it was given."""

    def __init__(self, outputs: int = 1) -> None:
        self.outputs = outputs
        self.shapes: list[tuple[int, ...]] = []

    def predict_on_batch(self, given: np.ndarray) -> object:
        self.shapes.append(given.shape)
        means = given.mean(axis=(1, 2, 3), dtype=np.float64)[:, np.newaxis]
        answers = [means * (number + 1) for number in range(self.outputs)]
        return answers if self.outputs > 1 else answers[0]


def slices(count: int) -> list[np.ndarray]:
    return [np.full((32, 32), grey, np.uint8) for grey in range(count)]


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_answers_keep_the_order_of_the_slices_and_one_shape_a_batch(count: int) -> None:
    model = Recorder()
    (answers,) = run_in_batches(model, slices(count), count, "test")  # type: ignore[arg-type]
    assert answers.dtype == np.float32
    np.testing.assert_array_equal(answers[:, 0], np.arange(count))
    assert set(model.shapes) == {(BATCH, 32, 32, 3)}
    assert len(model.shapes) == -(-count // BATCH)


def test_every_output_of_the_model_is_returned() -> None:
    once, twice = run_in_batches(Recorder(outputs=2), slices(11), 11, "test")  # type: ignore[arg-type]
    np.testing.assert_array_equal(twice, 2 * once)
    assert once.shape == (11, 1)


def test_slices_are_read_one_batch_at_a_time() -> None:
    model = Recorder()

    def read() -> Iterator[np.ndarray]:
        for number, picture in enumerate(slices(3 * BATCH)):
            assert len(model.shapes) == number // BATCH
            yield picture

    run_in_batches(model, read(), 3 * BATCH, "test")  # type: ignore[arg-type]
    assert len(model.shapes) == 3


# --- Remembered ---------------------------------------------------------------------------------------------------------

CUTS = (Cut(1, "average"), Cut(1, "positions"))


class Engine:
    """Gives each slice's own pixels for its block, and notes how many slices it was given at once."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.batches: list[int] = []
        self._stop_after = stop_after

    def __call__(self, slices: np.ndarray) -> dict[int, np.ndarray]:
        if len(self.batches) == self._stop_after:
            raise KeyboardInterrupt
        self.batches.append(len(slices))
        return {block: slices[..., np.newaxis].astype(np.float32) * (10**block) for block in (1, 2)}


class Opener:
    """Opens slices and counts."""

    def __init__(self, slices: np.ndarray) -> None:
        self.opened = np.zeros(len(slices), int)
        self.calls: list[Callable[[], np.ndarray]] = [lambda i=i: self._open(i) for i in range(len(slices))]
        self._slices = slices

    def _open(self, index: int) -> np.ndarray:
        self.opened[index] += 1
        return self._slices[index].copy()


def passing(engine: Engine, cuts: tuple[Cut, ...] = CUTS, batch: int = 8) -> FrozenPass:
    return FrozenPass(cuts, tuple(f"{cut} of the test" for cut in cuts), batch, engine)


def store_at(folder: Path, budget: int = 2**30) -> FeatureStore:
    return FeatureStore(folder / "features.sqlite", budget)


def expected(slices: np.ndarray) -> list[np.ndarray]:
    values = slices.astype(np.float32)
    return [10 * values.mean(axis=(1, 2))[:, np.newaxis], 10 * values[..., np.newaxis]]


def assert_same(received: list[np.ndarray], slices: np.ndarray) -> None:
    for found, wanted in zip(received, expected(slices), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureStore | None:
    return store_at(tmp_path) if request.param == "file" else None


@pytest.mark.parametrize("count", [1, 8, CHUNK, 2 * CHUNK + 3])
def test_each_slice_is_opened_and_computed_once_and_read_in_any_order(store: FeatureStore | None, count: int) -> None:
    slices, engine = pixels(count), Engine()
    opener = Opener(slices)
    remembered = Remembered(opener.calls, passing(engine), store)
    assert len(remembered) == count
    assert remembered.compute("test") == count
    assert set(engine.batches) == {8}
    assert len(engine.batches) == -(-count // 8)
    chosen = np.random.default_rng(0).integers(0, count, 50)
    assert_same(remembered.read(chosen), slices[chosen])
    assert (opener.opened == 1).all()
    assert len(engine.batches) == -(-count // 8)
    assert remembered.compute("test") == 0


def test_slices_of_the_same_pixels_are_computed_once_wherever_they_stand(store: FeatureStore | None) -> None:
    slices, engine = pixels(2 * CHUNK)[np.arange(2 * CHUNK) % 20], Engine()
    remembered = Remembered(Opener(slices).calls, passing(engine), store)
    assert remembered.compute("test") == 20
    assert len(engine.batches) == 3
    assert_same(remembered.read(range(2 * CHUNK)), slices)


def test_what_is_missing_of_several_chunks_is_computed_in_full_batches(tmp_path: Path) -> None:
    slices, engine = pixels(4 * CHUNK), Engine()
    known = [index for index in range(4 * CHUNK) if index % 16]
    Remembered(Opener(slices[known]).calls, passing(Engine()), store_at(tmp_path)).compute("test")
    remembered = Remembered(Opener(slices).calls, passing(engine), store_at(tmp_path))
    assert remembered.compute("test") == 16
    assert len(engine.batches) == 2
    assert_same(remembered.read(range(4 * CHUNK)), slices)


def test_slices_are_read_without_having_been_computed(store: FeatureStore | None) -> None:
    slices, engine = pixels(20), Engine()
    remembered = Remembered(Opener(slices).calls, passing(engine), store)
    assert_same(remembered.read([3, 17, 3]), slices[[3, 17, 3]])
    assert engine.batches == [8]
    with pytest.raises(ValueError, match="received no index"):
        remembered.read([])


def test_what_a_wider_pass_left_is_found_by_a_narrower_one_and_the_other_way_round(tmp_path: Path) -> None:
    slices, wide, narrow = pixels(10), Engine(), Engine()
    every = (Cut(2, "max"), *CUTS)
    Remembered(Opener(slices).calls, passing(wide, every), store_at(tmp_path)).compute("wide")
    remembered = Remembered(Opener(slices).calls, passing(narrow), store_at(tmp_path))
    assert remembered.compute("narrow") == 0
    assert_same(remembered.read(range(10)), slices)
    wider = (*every, Cut(2, "average"))
    assert Remembered(Opener(slices).calls, passing(narrow, wider), store_at(tmp_path)).compute("wider") == 10


def test_an_interrupted_pass_keeps_every_whole_batch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    slices = pixels(CHUNK)
    with pytest.raises(KeyboardInterrupt):
        Remembered(Opener(slices).calls, passing(Engine(stop_after=3)), store_at(tmp_path)).compute("test")
    with caplog.at_level(logging.INFO):
        computed = Remembered(Opener(slices).calls, passing(Engine()), store_at(tmp_path)).compute("Second run")
    assert computed == CHUNK - 24
    assert f"Second run: {CHUNK - 24} of {CHUNK} slices computed, the others were known" in caplog.text


def test_a_store_too_small_for_anything_costs_time_and_no_answer(tmp_path: Path) -> None:
    slices, engine = pixels(20), Engine()
    remembered = Remembered(Opener(slices).calls, passing(engine), store_at(tmp_path, budget=1))
    remembered.compute("test")
    before = len(engine.batches)
    assert_same(remembered.read(range(20)), slices)
    assert len(engine.batches) == 2 * before


def test_only_the_cuts_that_are_asked_for_are_read(tmp_path: Path) -> None:
    run = passing(Engine(), (CUTS[0], CUTS[1]))
    remembered = Remembered(openers(pixels(5)), run, store_at(tmp_path))
    every = remembered.read([3, 1])
    (second,) = remembered.read([3, 1], [CUTS[1]])
    np.testing.assert_array_equal(second, every[1])
    assert remembered.cuts == (CUTS[0], CUTS[1])


def test_a_budget_that_the_slices_exceed_is_warned_of_with_the_way_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        Remembered(openers(pixels(20)), passing(Engine()), store_at(tmp_path)).compute("test")
        assert caplog.text == ""
        Remembered(openers(pixels(20, seed=5)), passing(Engine()), store_at(tmp_path / "small", 40)).compute("test")
    assert "raise budget_bytes of feature_store in conf/base/catalog.yml" in caplog.text


def test_numbers_of_16_bits_are_warned_of_by_what_they_take(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def short(slices: np.ndarray) -> dict[int, np.ndarray]:
        return {1: (slices[..., np.newaxis] & 128).astype(np.float32)}

    # Twenty slices of 32 by 32 numbers of two bytes.
    for budget, warns in ((20 * 2048, False), (20 * 2048 - 1, True)):
        store = store_at(tmp_path / str(budget), budget)
        Remembered(openers(pixels(20)), FrozenPass(CUTS[1:], ("short",), 8, short), store).compute("test")
        assert ("raise budget_bytes" in caplog.text) == warns


def test_what_was_read_before_is_read_again_where_only_its_neighbour_is_lost(tmp_path: Path) -> None:
    slices, drifted = pixels(3), Engine()
    store = store_at(tmp_path)
    before = Remembered(openers(slices), passing(Engine()), store).read(range(3))
    with sqlite3.connect(store.path) as file:
        file.execute("DELETE FROM records WHERE id <= 3")  # the averages, which were put first
    file.close()

    def rounds_otherwise(given: np.ndarray) -> dict[int, np.ndarray]:
        return {block: values + 1 for block, values in drifted(given).items()}

    remembered = Remembered(openers(slices), FrozenPass(CUTS, passing(drifted).made_by, 8, rounds_otherwise), store)
    averages, positions = remembered.read(range(3))
    assert drifted.batches == [8]
    np.testing.assert_array_equal(positions, before[1])
    for first, again in zip((averages, positions), remembered.read(range(3)), strict=True):
        np.testing.assert_array_equal(first, again)


def test_a_fingerprint_tells_slices_cuts_and_their_order_apart() -> None:
    run = passing(Engine(), (CUTS[0], CUTS[1]))

    def fingerprint(seed: int, indices: list[int], cuts: tuple[Cut, ...]) -> bytes:
        return Remembered(openers(pixels(6, seed=seed)), run, None).fingerprint(np.array(indices), cuts)

    asked = [(1, [0, 1], CUTS[:1]), (2, [0, 1], CUTS[:1]), (1, [1, 0], CUTS[:1]), (1, [0, 1], CUTS[1:2])]
    assert len({fingerprint(*one) for one in asked}) == 4
    assert fingerprint(*asked[0]) == fingerprint(*asked[0])


def test_a_record_damaged_after_it_was_computed_is_made_again(tmp_path: Path) -> None:
    slices, engine = pixels(20), Engine()
    remembered = Remembered(Opener(slices).calls, passing(engine), store_at(tmp_path))
    remembered.compute("test")
    with sqlite3.connect(tmp_path / "features.sqlite") as file:
        file.execute("UPDATE contents SET content = x'00' WHERE id IN (3, 7, 31)")
    file.close()
    assert_same(remembered.read(range(20)), slices)
    assert len(engine.batches) == 4


def test_the_bar_says_how_many_were_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    plain = features.tqdm

    class Bar(plain):  # type: ignore[misc, valid-type]
        def close(self) -> None:
            if not self.disable:
                shown.append((self.n, self.total, self.postfix))
            super().close()

    monkeypatch.setattr(features, "tqdm", Bar)
    slices = pixels(30)
    Remembered(Opener(slices[:10]).calls, passing(Engine()), store_at(tmp_path)).compute("test")
    Remembered(Opener(slices).calls, passing(Engine()), store_at(tmp_path)).compute("test")
    assert shown == [(10, 10, "known=0"), (30, 30, "known=10")]


def test_a_network_gives_what_its_frozen_part_gives(store: FeatureStore | None) -> None:
    model = small_classifier().model
    slices = pixels(21)
    wanted = network.frozen_prefix(model).predict_on_batch(features.to_network_input(slices))
    engine = frozen_pass(model, network.cuts(model), Computation("keras", "float32"))
    remembered = Remembered(Opener(slices).calls, engine, store)
    remembered.compute("test")
    for found, values in zip(remembered.read(range(21)), wanted, strict=True):
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-5)


def test_each_slice_goes_through_its_own_pass_and_is_remembered_by_it(tmp_path: Path) -> None:
    given, exact, rough = pixels(20), Engine(), Engine()
    one = passing(exact)
    other = FrozenPass(CUTS, tuple(f"rough {maker}" for maker in one.made_by), 4, rough)
    passes = [other if index % 2 else one for index in range(20)]
    # The first slice comes again, through the other pass: the same pixels by two ways are two records.
    opener = [*openers(given), *openers(given[:1])]
    remembered = Remembered(opener, [*passes, other], store_at(tmp_path))
    assert remembered.compute("Pass") == 21
    assert_same(remembered.read(range(20)), given)
    assert (set(exact.batches), set(rough.batches)) == ({8}, {4})
    records = {row["made_by"]: row["records"] for row in store_at(tmp_path).summary()}
    assert {records[maker] for maker in one.made_by} == {10}
    assert {records[maker] for maker in other.made_by} == {11}
    assert Remembered(opener, [*passes, other], store_at(tmp_path)).compute("Again") == 0
    assert Remembered(opener, one, store_at(tmp_path)).compute("All by one") == 10


def test_passes_that_do_not_fit_the_slices_are_refused() -> None:
    one, narrow = passing(Engine()), passing(Engine(), CUTS[:1])
    with pytest.raises(ValueError, match="a frozen pass for each of 3 slices is needed, received 2"):
        Remembered(openers(pixels(3)), [one, one], None)
    with pytest.raises(ValueError, match="must have the same cuts"):
        Remembered(openers(pixels(2)), [one, narrow], None)

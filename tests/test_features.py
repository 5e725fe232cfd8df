"""Running a model over slices, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from lung_tumor.features import BATCH, run_in_batches


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
        for number, pixels in enumerate(slices(3 * BATCH)):
            assert len(model.shapes) == number // BATCH
            yield pixels

    run_in_batches(model, read(), 3 * BATCH, "test")  # type: ignore[arg-type]
    assert len(model.shapes) == 3

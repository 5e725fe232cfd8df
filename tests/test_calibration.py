"""Temperatures beside known ones, and reliability worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lung_tumor.calibration import (
    HOTTEST,
    calibrated,
    calibrated_out_of_fold,
    calibration_error,
    error_by_chance,
    fit_temperature,
    reliability,
)


def overconfident(size: int, times: float, seed: int, count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities, and the same probabilities with logits ``times`` too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(size, count))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (honest.cumsum(axis=1) < rng.random(size)[:, None]).sum(axis=1)
    raised = np.exp(times * logits)
    return labels, raised / raised.sum(axis=1, keepdims=True)


def right_with(confidence: list[float], right: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    first = np.array(confidence)
    return np.where(right, 0, 1), np.stack([first, 1 - first], axis=1)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("times", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_known_one(count: int, times: float) -> None:
    found = fit_temperature(*overconfident(20_000, times, seed=1, count=count))
    assert found.value == pytest.approx(times, rel=0.05)
    assert found.reason == ""


def test_no_other_temperature_has_a_smaller_log_loss_where_slices_are_many() -> None:
    labels, probabilities = overconfident(5_000, 2.0, seed=3)

    def loss(temperature: float) -> float:
        given = calibrated(probabilities, temperature)
        return float(-np.log(given[np.arange(len(labels)), labels]).mean())

    best = fit_temperature(labels, probabilities).value
    assert loss(best) < min(loss(best * 0.97), loss(best * 1.03), loss(1.0))


def test_calibration_lowers_the_calibration_error_of_slices_it_was_not_fitted_on() -> None:
    temperature = fit_temperature(*overconfident(300, 3.0, seed=5)).value
    labels, probabilities = overconfident(2_000, 3.0, seed=6)
    before, after = (
        calibration_error(labels, given) for given in (probabilities, calibrated(probabilities, temperature))
    )
    assert before > 0.10
    assert after < 0.04


def test_a_temperature_worked_by_hand() -> None:
    # Three quarters right, all with log-odds of ln 9, and so many that the prior does not count: ln 9 / T is to be ln 3.
    right = np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]])
    labels = np.array(([0] * 4 + [1] * 4) * 2_000)
    assert fit_temperature(labels, np.tile(np.r_[right, 1 - right], (2_000, 1))).value == pytest.approx(2.0, abs=5e-3)


def test_few_slices_move_the_temperature_less_than_many() -> None:
    right = np.array([[0.99, 0.01]] * 3 + [[0.01, 0.99]])
    labels, probabilities = np.array([0] * 4 + [1] * 4), np.r_[right, 1 - right]
    few = fit_temperature(labels, probabilities).value
    many = fit_temperature(np.tile(labels, 50), np.tile(probabilities, (50, 1))).value
    assert 1.0 < few < many


def test_slices_that_are_all_told_rightly_do_not_make_the_network_certain() -> None:
    found = fit_temperature(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1]] * 2 + [[0.1, 0.9]] * 2))
    assert 0.5 < found.value < 1.0
    assert "no slice to calibrate on is told wrongly" in found.reason


def test_a_class_without_slices_leaves_probabilities_as_they_are_and_says_so() -> None:
    found = fit_temperature(np.array([0, 0]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    assert found.value == 1.0
    assert "a class has no slice to calibrate on" in found.reason


def test_a_network_worse_than_guessing_is_flattened_within_the_bounds() -> None:
    labels = np.arange(2_000) % 2
    backwards = fit_temperature(labels, np.where(labels[:, None] == 0, [[0.2, 0.8]], [[0.8, 0.2]]))
    assert 10.0 < backwards.value <= HOTTEST


def test_calibrated_probabilities_keep_their_order_and_sum_to_one() -> None:
    _, probabilities = overconfident(100, 2.0, seed=2, count=3)
    for temperature in (0.3, 4.0):
        found = calibrated(probabilities, temperature)
        assert found.sum(axis=1) == pytest.approx(1.0)
        assert (found.argsort(axis=1) == probabilities.argsort(axis=1)).all()
    assert calibrated(probabilities, 1.0) == pytest.approx(probabilities, abs=1e-6)


def test_each_fold_is_calibrated_by_the_others_alone() -> None:
    labels, probabilities = overconfident(600, 3.0, seed=2)
    folds = np.arange(600) % 3
    found = calibrated_out_of_fold(labels, probabilities, folds)
    others = fit_temperature(labels[folds != 1], probabilities[folds != 1]).value
    np.testing.assert_allclose(found[folds == 1], calibrated(probabilities[folds == 1], others))
    changed = np.where(folds == 1, 1 - labels, labels)
    np.testing.assert_array_equal(calibrated_out_of_fold(changed, probabilities, folds)[folds == 1], found[folds == 1])


def test_probabilities_of_zero_are_calibrated_too() -> None:
    found = calibrated(np.array([[1.0, 0.0]], dtype=np.float32), 2.0)
    # As far from 0 as 1e-7 is, at twice the temperature.
    assert found[0, 1] == pytest.approx(10**-3.5, rel=1e-3)


def test_reliability_worked_by_hand() -> None:
    # 30 slices make two bins of 15: confidence 0.6 with 12 right, confidence 0.9 with 9 right.
    right = [True] * 12 + [False] * 3 + [True] * 9 + [False] * 6
    labels, probabilities = right_with([0.6] * 15 + [0.9] * 15, right)
    approx = pytest.approx
    assert reliability(labels, probabilities) == [
        approx({"low": 0.6, "high": 0.9, "count": 15, "confidence": 0.6, "accuracy": 0.8}),
        approx({"low": 0.9, "high": 1.0, "count": 15, "confidence": 0.9, "accuracy": 0.6}),
    ]
    assert calibration_error(labels, probabilities) == approx(0.5 * 0.2 + 0.5 * 0.3)


def test_the_calibration_error_of_three_classes_is_that_of_a_table_worked_by_hand() -> None:
    # 45 slices, three bins of 15 by confidence, of the class that is predicted:
    #   confidence  0.40 ×  8, 0.45 × 7   mean 6.35 / 15    right  9    gap  9.00 -  6.35 = 2.65
    #               0.60 × 10, 0.66 × 5   mean 9.30 / 15    right  6    gap  6.00 -  9.30 = 3.30, too sure
    #               0.90 ×  5, 0.96 × 10  mean 14.1 / 15    right 15    gap 15.00 - 14.10 = 0.90
    # (2.65 + 3.30 + 0.90) / 45 = 6.85 / 45
    confidences = [0.4] * 8 + [0.45] * 7 + [0.6] * 10 + [0.66] * 5 + [0.9] * 5 + [0.96] * 10
    right = [True] * 9 + [False] * 6 + [False] * 9 + [True] * 6 + [True] * 15
    predicted = np.arange(45) % 3
    probabilities = np.full((45, 3), 0.0)
    for row, (confidence, given) in enumerate(zip(confidences, predicted, strict=True)):
        probabilities[row] = (1.0 - confidence) / 2.0
        probabilities[row, given] = confidence
    labels = np.where(right, predicted, (predicted + 1) % 3)
    order = np.random.default_rng(1).permutation(45)
    assert calibration_error(labels[order], probabilities[order]) == pytest.approx(6.85 / 45)


def test_the_error_by_chance_is_that_of_labels_drawn_from_the_probabilities() -> None:
    _, probabilities = overconfident(60, 1.0, seed=8, count=3)
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(2_000):
        labels = (probabilities.cumsum(axis=1) < rng.random(60)[:, None]).sum(axis=1)
        drawn.append(calibration_error(labels, probabilities))
    found = error_by_chance(probabilities, seed=1, draws=2_000)
    assert (found["median"], found["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.5, 0.95])), abs=0.006)


def test_the_error_by_chance_of_one_bin_is_the_half_normal_s() -> None:
    # 400 slices of confidence 0.8: the share right has a standard deviation of 0.02, its distance a median of 0.6745 of them.
    found = error_by_chance(np.tile([0.8, 0.2], (400, 1)), seed=1, draws=4_000)
    assert found["median"] == pytest.approx(0.6745 * 0.02, abs=0.002)
    assert found["high"] == pytest.approx(1.96 * 0.02, abs=0.003)


def test_the_error_by_chance_falls_with_the_slices_and_is_none_for_the_certain() -> None:
    few, many = (error_by_chance(overconfident(size, 1.0, seed=1)[1], seed=1) for size in (60, 2_000))
    assert many["high"] < few["median"] / 2
    assert error_by_chance(np.tile([1.0, 0.0], (50, 1)), seed=1) == {"median": 0.0, "high": 0.0}


@pytest.mark.parametrize(
    ("size", "bins", "expected"), [(5, 10, 1), (29, 10, 1), (60, 10, 4), (1000, 10, 10), (1000, 4, 4)]
)
def test_small_sets_have_fewer_bins_and_all_hold_about_as_many(size: int, bins: int, expected: int) -> None:
    labels, probabilities = overconfident(size, 1.0, seed=size)
    counts = [row["count"] for row in reliability(labels, probabilities, bins)]
    assert len(counts) == expected
    assert sum(counts) == size
    assert max(counts) - min(counts) <= 1


def test_equal_confidences_stay_together_in_whatever_order_they_come() -> None:
    labels, probabilities = right_with([0.7] * 100, [True] * 70 + [False] * 30)
    assert calibration_error(labels, probabilities) == pytest.approx(0.0)
    labels, probabilities = overconfident(200, 1.0, seed=1)
    rounded = np.round(probabilities, 1)
    order = np.random.default_rng(0).permutation(200)
    assert calibration_error(labels[order], rounded[order]) == pytest.approx(calibration_error(labels, rounded))

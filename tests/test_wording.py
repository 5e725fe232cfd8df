"""Numbers and lists in plain English."""

from __future__ import annotations

import pytest

from lung_tumor.wording import chance, how_many, listed, percent


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.001, "under 1 %"), (0.5, "50 %"), (0.999, "over 99 %"), (1, "100 %")]
)
def test_per_cent_are_0_or_100_only_if_exact(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0 %"),
        (0.0004, "under 0.1 %"),
        (0.431, "43.1 %"),
        (0.9994, "99.9 %"),
        (0.9996, "over 99.9 %"),
        (1, "100.0 %"),
    ],
)
def test_per_cent_with_a_decimal_are_0_or_100_only_if_exact(share: float, text: str) -> None:
    assert percent(share, 1) == text


@pytest.mark.parametrize(("probability", "text"), [(0.0, "under 0.1 %"), (0.934, "93.4 %"), (1.0, "over 99.9 %")])
def test_a_probability_is_never_told_as_certainty(probability: float, text: str) -> None:
    assert chance(probability) == text


def test_one_thing_is_singular_and_thousands_are_told_apart() -> None:
    assert [how_many(count, "file") for count in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]


def test_a_list_ends_with_and() -> None:
    assert [listed(parts) for parts in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]

"""Types of options, whatever YAML or the command line handed over."""

from __future__ import annotations

import pytest

from lung_tumor.fitting import FittingOptions
from lung_tumor.imaging import PreparationOptions
from lung_tumor.network import NetworkOptions
from lung_tumor.splits import SplitOptions


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (FittingOptions, {"epochs": 2.5}, "fitting.epochs must be a whole number, received 2.5"),
        (FittingOptions, {"epochs": True}, "fitting.epochs must be a whole number, received True"),
        (FittingOptions, {"learning_rate": "fast"}, "fitting.learning_rate must be a number, received 'fast'"),
        (PreparationOptions, {"size": 100.5}, "preparation.size must be a whole number"),
        (PreparationOptions, {"crop_to_body": "no"}, "preparation.crop_to_body must be true or false, received 'no'"),
        (PreparationOptions, {"window": [1.0]}, "preparation.window must be a list of numbers"),
        (PreparationOptions, {"window": 3}, "preparation.window must be a list of numbers, received 3"),
        (NetworkOptions, {"feature_blocks": ["4"]}, "network.feature_blocks must be a list of whole numbers"),
        (SplitOptions, {"test": None}, "split.test must be a number, received None"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_was_expected(
    kind: type, given: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        kind(**given)


def test_a_whole_number_passes_for_a_number_and_a_list_for_a_tuple() -> None:
    assert PreparationOptions(percentiles=[1, 99]).percentiles == (1, 99)  # type: ignore[arg-type]


def test_a_block_named_twice_counts_once() -> None:
    assert NetworkOptions(feature_blocks=(4, 4)).feature_blocks == (4,)

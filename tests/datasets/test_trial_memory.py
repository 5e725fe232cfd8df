"""The memory of a search in the catalog."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DatasetError

from lung_tumor.datasets.trial_memory import TrialMemoryDataset
from lung_tumor.tuning_memory import FoldScore, Record
from tests.support.tuning import DEFAULT


def test_what_is_put_into_it_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    dataset = TrialMemoryDataset(filepath=str(tmp_path / "below" / "trials.jsonl"))
    record = Record((FoldScore(0.5, 0.9),), whole=True, seconds=1.5)
    assert dataset.exists()
    assert dataset.load().get(DEFAULT) is None
    dataset.load().of("these slices").put(DEFAULT, record)
    assert dataset.load().of("these slices").get(DEFAULT) == record


def test_nothing_else_writes_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"written through TrialMemory\.put"):
        TrialMemoryDataset(filepath=str(tmp_path / "trials.jsonl")).save({})  # type: ignore[arg-type]

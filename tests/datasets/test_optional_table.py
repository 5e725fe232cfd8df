"""A table that need not be there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lung_tumor.datasets.optional_table import OptionalTableDataset


def test_a_table_comes_back_and_no_file_is_none(tmp_path: Path) -> None:
    dataset = OptionalTableDataset(filepath=str(tmp_path / "07/table.csv"), save_args={"index": False})
    assert dataset.load() is None
    table = pd.DataFrame({"pixels": ["a", "b"], "fold": [0, 1]})
    dataset.save(table)
    pd.testing.assert_frame_equal(dataset.load(), table)

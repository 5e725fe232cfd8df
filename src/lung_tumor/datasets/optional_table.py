"""A table in a CSV file, or None where there is none."""

from __future__ import annotations

import pandas as pd
from kedro_datasets.pandas import CSVDataset


class OptionalTableDataset(CSVDataset):
    """kedro-datasets' ``pandas.CSVDataset``, but for loading None where the file does not exist.

    Example in YAML::

        out_of_fold_predictions:
          type: lung_tumor.datasets.optional_table.OptionalTableDataset
          filepath: data/07_model_output/out_of_fold_predictions.csv

    Example in Python::

        >>> OptionalTableDataset(filepath="no/such/file.csv").load() is None
        True
    """

    def load(self) -> pd.DataFrame | None:
        """Read the table, if there is one."""
        return super().load() if self.exists() else None

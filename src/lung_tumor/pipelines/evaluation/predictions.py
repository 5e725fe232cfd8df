"""Columns of the predictions table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from lung_tumor.metrics import class_indices


def classes_of(predictions: pd.DataFrame) -> list[str]:
    """Class names, in the order of the probability columns."""
    return [column.removeprefix("p_") for column in predictions.columns if column.startswith("p_")]


def labels_of(predictions: pd.DataFrame) -> npt.NDArray[np.int64]:
    """(n,) index of each slice's true class."""
    return class_indices(predictions["label"].tolist(), classes_of(predictions))


def probabilities_of(predictions: pd.DataFrame) -> npt.NDArray[np.float64]:
    """(n, classes)."""
    return predictions[[f"p_{name}" for name in classes_of(predictions)]].to_numpy()

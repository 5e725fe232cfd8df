"""One run of everything for each number of classes, shared by the tests of all pipelines."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from kedro.io import DataCatalog

from tests.support.pipelines import run_everything

RunOf = Callable[[int], DataCatalog]


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> RunOf:
    """The catalog after all pipelines have run on so many classes."""
    return functools.cache(lambda classes: run_everything(tmp_path_factory.mktemp(f"classes{classes}"), classes))


@pytest.fixture(params=[2, 3, 4], ids=lambda classes: f"{classes} classes")
def ran(request: pytest.FixtureRequest, run_of: RunOf) -> DataCatalog:
    """The catalog after a run, for 2, 3 and 4 classes."""
    return run_of(request.param)


@pytest.fixture
def ran_two(run_of: RunOf) -> DataCatalog:
    """The catalog after a run on two classes."""
    return run_of(2)

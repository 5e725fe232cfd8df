"""Options are typed: what is misspelt or out of range stops a run before it has done anything."""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from kedro.pipeline.node import Node

from lung_tumor.settings import CONFIG_LOADER_ARGS, PROJECT
from tests.project.copies import call, copy_project, python, written
from tests.project.test_dvc import PIPELINES

NODES = [node for pipeline in PIPELINES.values() for node in pipeline.nodes]


def annotations(node: Node) -> dict[str, type]:
    """What a node's function expects of each of its parameters, by their names in the configuration."""
    arguments = dict(zip(inspect.signature(node.func).parameters, node.inputs, strict=True))
    chosen = {name: argument for argument, name in arguments.items() if name.startswith("params:")}
    hints = typing.get_type_hints(node.func) if chosen else {}
    return {name: hints[argument] for name, argument in chosen.items()}


def configured() -> dict[str, object]:
    loader = OmegaConfigLoader(conf_source=str(PROJECT / "conf"), **CONFIG_LOADER_ARGS)
    return dict(loader["parameters"])


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_every_group_of_options_is_a_frozen_dataclass(node: Node) -> None:
    for name, expected in annotations(node).items():
        group, _, part = name.removeprefix("params:").partition(".")
        value = configured()[group]
        value = value[part] if part else value  # type: ignore[index]
        if isinstance(value, dict):
            assert dataclasses.is_dataclass(expected), f"{name} reaches {node.name} as {expected}"
            assert expected.__dataclass_params__.frozen  # type: ignore[attr-defined]
            assert set(value) == {field.name for field in dataclasses.fields(expected)}, "the file shows every option"
        else:
            assert isinstance(value, expected)


def test_every_configured_group_reaches_some_node() -> None:
    reached = {name.removeprefix("params:") for node in NODES for name in node.inputs if name.startswith("params:")}
    groups = {
        f"{group}.{part}" if isinstance(parts, dict) else group
        for group, parts in configured().items()
        for part in (parts if isinstance(parts, dict) else [""])
    }
    assert reached == groups


def test_a_misspelt_option_on_the_command_line_stops_the_run_before_any_node(tmp_path: Path) -> None:
    folder = copy_project(tmp_path)
    done = call("kedro", "run", "--params", "training.head.epohcs=3", cwd=folder)
    assert done.returncode != 0
    assert "epohcs" in done.stdout
    assert "Running node" not in done.stdout
    assert written(folder) == {}


WRONG = {
    "training.head.epochs=0": "epochs must be at least 1, received 0",
    "training.head.class_weights=equal": "class_weights must be one of",
    "training.head.learning_rate=2": "learning_rate must lie in (0, 1), received 2",
    "data_ingestion.split.test=2": "split.test must lie in (0, 1), received 2",
    "data_ingestion.preparation.denoise=blur": "denoise must be one of",
    "data_ingestion.preparation.sise=64": "sise",
    "model_prep.network.dropout=1": "dropout must lie in [0, 1), received 1",
    "model_prep.network.frozen_block=5": "frozen_block",
    "source=nowhere": "nowhere",
    "source=phantom:?slices=1": "slices must be at least 2",
}

EACH = """
    import json
    from pathlib import Path
    from kedro.framework.cli.utils import _split_params
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(Path.cwd())
    for given in json.loads(Path("wrong.json").read_text()):
        try:
            with KedroSession.create(Path.cwd(), runtime_params=_split_params(None, None, given)) as session:
                session.run(pipeline_names=["data_ingestion", "model_prep", "training", "evaluation"])
            said = "nothing"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        print("SAID " + json.dumps([given, said]))
"""


def test_a_wrong_value_stops_the_run_before_any_node_and_is_named(tmp_path: Path) -> None:
    folder = copy_project(tmp_path)
    (folder / "wrong.json").write_text(json.dumps(list(WRONG)), encoding="utf-8")
    lines = [line for line in python(EACH, cwd=folder).splitlines() if line.startswith("SAID ")]
    said = dict(json.loads(line.removeprefix("SAID ")) for line in lines)
    assert list(said) == list(WRONG)
    silent = {given: said[given] for given, expected in WRONG.items() if expected not in said[given]}
    assert silent == {}
    assert written(folder) == {}

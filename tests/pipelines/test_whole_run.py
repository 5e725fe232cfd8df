"""What a run from slices to a judged classifier asks before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from lung_tumor.operating_point import OperatingPointOptions
from lung_tumor.pipeline_registry import register_pipelines
from lung_tumor.pipelines import data_ingestion, features, whole_run
from tests.support.pictures import tiny_source
from tests.support.pipelines import run

MESSAGE = "no class is named 'normal'; say which of benign, malignant .* serving.operating_point.negative"


def test_classes_none_of_which_is_normal_are_refused_before_a_file_is_read() -> None:
    names = [node.name for node in register_pipelines()["__default__"].nodes]
    assert names.index("choose_classes") < names.index("ask_for_negative_class") < names.index("audit_files")


@pytest.mark.parametrize("negative", ["benign", "Malignant", "normal"])
def test_the_negative_class_is_one_of_the_source(tmp_path: Path, negative: str) -> None:
    source = tiny_source(tmp_path, ("benign", "malignant"), each=1)
    given = {"chosen_source": source, "params:serving.operating_point": OperatingPointOptions(negative=negative)}
    if negative == "normal":
        with pytest.raises(ValueError, match=MESSAGE):
            run(whole_run.create_pipeline(), given)
    else:
        run(whole_run.create_pipeline(), given)


def test_features_alone_are_not_computed_for_such_classes() -> None:
    check = features.create_pipeline().only_nodes("check_negative_class")
    given = {
        "provenance": {"classes": ["benign", "malignant"]},
        "params:serving.operating_point": OperatingPointOptions(),
    }
    with pytest.raises(ValueError, match=MESSAGE):
        run(check, given)
    names = [node.name for node in features.create_pipeline().nodes]
    assert names.index("check_negative_class") < names.index("remember_features")


def test_an_ingestion_alone_takes_any_classes() -> None:
    assert "params:serving.operating_point" not in data_ingestion.create_pipeline().inputs()

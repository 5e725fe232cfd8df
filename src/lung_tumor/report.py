"""The report as one self-contained page, and the summary that ends a run."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from lung_tumor.imaging import Pixels
from lung_tumor.manifest import ACCEPTED
from lung_tumor.splits import SPLITS

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def count_table(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Counts per class: ``label``, ``files``, ``quarantined``, ``pictures`` (distinct pixels), then pictures per split."""
    table = []
    for label, rows in manifest.groupby("label"):
        usable = rows[rows["verdict"] == ACCEPTED]
        unique = usable.drop_duplicates("pixels")
        counts = {split: int((unique["split"] == split).sum()) for split in SPLITS}
        row = {"label": label, "files": len(rows), "quarantined": len(rows) - len(usable), "pictures": len(unique)}
        table.append(row | counts)
    return table


def caveats(metrics: Mapping[str, Any], manifest: pd.DataFrame) -> list[str]:
    """What a reader must know before believing a figure, most important first."""
    found = []
    if metrics["synthetic"]:
        found.append(
            "Every slice was drawn by the built-in phantom. These figures show that the software works; they say nothing "
            "about patients."
        )
    usable = manifest[manifest["verdict"] == ACCEPTED]
    copies = len(usable) - usable["pixels"].nunique()
    if copies:
        found.append(
            f"{copies} of {len(usable)} usable files are exact copies of another. They stay on one side of the split and "
            "count once."
        )
    if not metrics["synthetic"]:
        found.append(
            "Pictures that were re-cropped, rescaled or drawn over are not recognised as copies yet, and slices of one "
            "patient are not kept together: both may stand on both sides of the split, which inflates every figure."
        )
        found.append(
            "Brightness, size or format of the files may tell the classes apart without any anatomy; that has not been "
            "ruled out here."
        )
    found.extend(f"Undefined: {name}." for name in metrics["test"]["undefined"])
    return found


def render(
    metrics: Mapping[str, Any],
    manifest: pd.DataFrame,
    misclassified: Sequence[Mapping[str, Any]],
    drawn: Mapping[str, Figure],
) -> str:
    """Render the report.

    Args:
        metrics: as written to ``metrics.json``.
        manifest: one row per file.
        misclassified: for each wrong test slice its ``path``, ``label``, ``predicted``, ``probability`` and ``pixels``,
            (size, size) uint8.
        drawn: figures by title.

    Returns:
        HTML without any reference to the network.
    """
    return _TEMPLATES.get_template("report.html.j2").render(
        metrics=metrics,
        counts=count_table(manifest),
        caveats=caveats(metrics, manifest),
        figures=[(title, _as_data_uri(_figure_png(figure))) for title, figure in drawn.items()],
        misclassified=[{**row, "picture": _as_data_uri(_slice_png(row["pixels"]))} for row in misclassified],
    )


def _figure_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    return buffer.getvalue()


def _slice_png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _as_data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _synthetic_mark(metrics: Mapping[str, Any]) -> str:
    """`` (synthetic)`` unless the source's own name says so already."""
    return " (synthetic)" if metrics["synthetic"] and "synthetic" not in metrics["source"] else ""


def summarise(metrics: Mapping[str, Any], manifest: pd.DataFrame) -> str:
    """The few lines that end a run: slices, split, figures, where everything lies, what to do next."""
    test = metrics["test"]
    counts = "\n".join(
        f"  {row['label']:<20} {row['files']:>6} files  {row['pictures']:>6} pictures: {row['training']} training, "
        f"{row['validation']} validation, {row['test']} test"
        for row in count_table(manifest)
    )
    per_class = "\n".join(
        f"  {name:<20} precision {row['precision']:.3f}  recall {row['recall']:.3f}  F1 {row['f1']:.3f}  of {row['slices']}"
        for name, row in test["per_class"].items()
    )
    auc = "undefined" if test["roc_auc"] is None else f"{test['roc_auc']:.3f}"
    warnings = "\n".join(f"  ! {text}" for text in caveats(metrics, manifest))
    return f"""
Slices   {metrics["source"]}{_synthetic_mark(metrics)}
{counts}

Test     {test["slices"]} distinct pictures: accuracy {test["accuracy"]:.3f}, ROC AUC {auc}
{per_class}
{warnings}

Report   data/08_reporting/report.html
Figures  data/08_reporting/  (contact sheets, history, confusion matrix, ROC)
Model    data/06_models/classifier.keras, served as data/06_models/classifier.onnx
Next     make serve   upload a slice at http://127.0.0.1:8080
         make viz     browse the pipelines at http://127.0.0.1:4141
         make run SOURCE=path/to/folder   the same on your own slices, one folder per class
"""

"""The model card: what a model is for, what it reaches and what not, in Markdown and as a page.

The headings are those of Mitchell et al., Model Cards for Model Reporting (FAT* 2019). One structure, two renderings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lung_tumor import evaluation_words as words
from lung_tumor.bootstrap import FEWEST_GROUPS
from lung_tumor.evaluation_tables import figure_table
from lung_tumor.manifest import SPLITS
from lung_tumor.pages import render_page, shown_name
from lung_tumor.wording import how_many, listed

NOT_RECORDED = "not recorded"
_WARNING = "Research use only. Not a medical device: no answer of this model may decide about a patient."


@dataclass(frozen=True)
class Table:
    """A table of text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Part = str | list[str] | Table
"""A paragraph, a list or a table."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Card:
    """All that the model card says; ``not_served`` comes first, and is empty where the model is served."""

    title: str
    warning: str
    synthetic: bool
    not_served: str
    sections: tuple[Section, ...]


def to_markdown(facts: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        facts: ``metrics`` (as written to ``metrics.json``), ``audit`` (as written to ``audit.json``) and ``reproduce`` with
            ``training`` and ``evaluation`` (each with ``commit`` and ``mlflow_run``, the latter with ``dvc_lock``),
            ``parameters`` (a mapping), ``data_digest``, ``model_digest``, ``weights_digest``, ``version`` and ``created``, of
            which any may be empty.
    """
    card = describe(facts)
    mark = " (synthetic)" if card.synthetic else ""
    lines = [f"# {_escaped(card.title)}{mark}", ""]
    lines += [f"> **{_escaped(card.not_served)}**", ""] if card.not_served else []
    lines += [f"**{_escaped(card.warning)}**", ""]
    for section in card.sections:
        lines += [f"## {_escaped(section.title)}{mark}", ""]
        for part in section.parts:
            lines += [*_markdown(part), ""]
    return "\n".join(lines).rstrip() + "\n"


def to_html(facts: Mapping[str, Any]) -> str:
    """The same facts as one self-contained page; arguments of :func:`to_markdown`."""
    return render_page("model_card.html.j2", card=describe(facts))


def describe(facts: Mapping[str, Any]) -> Card:
    """What the card says; arguments of :func:`to_markdown`."""
    metrics, audit = facts["metrics"], facts["audit"]
    return Card(
        "Model card: lung tumour classifier",
        _WARNING,
        metrics["synthetic"],
        words.not_served(metrics),
        (
            Section("Model details", _details(metrics, facts["reproduce"])),
            Section("Intended use", _use(metrics)),
            Section("Out-of-scope use", _not_for(metrics)),
            Section("Factors", _factors()),
            Section("Metrics", _metrics(metrics)),
            Section("Quantitative analyses", _analyses(metrics)),
            Section("Training data", _training_data(metrics, audit)),
            Section("Evaluation data", _evaluation_data(audit)),
            Section("Ethical considerations", _ethics(metrics)),
            Section("Limits, caveats and recommendations", _limits(metrics, audit)),
            Section("How to reproduce", _reproduction(facts["reproduce"])),
        ),
    )


# --- Sections ---------------------------------------------------------------------------------------------------------


def _details(metrics: Mapping[str, Any], reproduce: Mapping[str, Any]) -> tuple[Part, ...]:
    return (
        [
            (
                "A convolutional network for single axial chest-CT slices: the convolution blocks of VGG16 "
                "(Simonyan and Zisserman 2015), pretrained on ImageNet, with a new head."
            ),
            f"Classes: {listed(list(metrics['classes']))}.",
            (
                f"Made by lung-tumor-detection {_or_not(reproduce['version'])}; created: "
                f"{_or_not(reproduce['created'])}."
            ),
            words.served(metrics),
            words.promotion(metrics),
            (
                "Licences: the software MIT; the weights of VGG16, by the Visual Geometry Group of the University"
                " of Oxford, CC BY 4.0; the slices are their owners'."
            ),
        ],
    )


def _use(metrics: Mapping[str, Any]) -> tuple[Part, ...]:
    names, negative = " or ".join(words.diseases(metrics)), metrics["operating_point"]["negative"]
    return (
        [
            (
                f"To study how far a network tells {names} from {negative} on slices like those it learnt from, and how "
                "honestly such a thing can be measured."
            ),
            "For people who do research on chest CT or on machine learning, and who read the limits below.",
            (
                "Input: one axial slice in a lung window, as a picture or a DICOM file. Output: calibrated "
                "probabilities, one of four answers (suspected, no sign, uncertain: refer, refused) and maps of "
                "what speaks for each class."
            ),
        ],
    )


def _not_for(metrics: Mapping[str, Any]) -> tuple[Part, ...]:
    found: list[str] = [
        "Diagnosis, screening, triage, or any decision about a patient.",
        (
            "Whole volumes, other modalities, other body regions, other windows than that of the lung. Pictures "
            "unlike those learnt from are refused as far as that can be told, and so are slices through windows that "
            "cut off lungs or bone; another wide window is not. A slice that is not refused need not be a fit one."
        ),
        f"Any finding other than {listed(list(metrics['classes']))}: whatever is shown, one of these is the answer.",
        "Populations, scanners and protocols other than those of the training slices.",
    ]
    if metrics["synthetic"]:
        found.insert(0, "Slices of patients: this model learnt from synthetic slices.")
    return (found,)


def _factors() -> tuple[Part, ...]:
    return (
        (
            "Age, sex, ethnicity, smoking, scanner, dose, kernel and contrast medium of the slices are unknown "
            "here; so no figure is given by any of them, and a difference between such groups would go unseen."
        ),
        (
            "What is known to matter: how many independent pictures stand behind the files, where each class "
            "comes from, and how it was cropped, compressed and windowed. Figures are given by class, and beside "
            "those of numbers without anatomy."
        ),
    )


def _metrics(metrics: Mapping[str, Any]) -> tuple[Part, ...]:
    return (
        (
            "In brackets 95 % intervals, from a bootstrap over groups, not files (expanded percentiles, Hesterberg 2015): "
            "copies of a picture are no new evidence. With 14 groups in a class and more they hold the truth about as often "
            f"as they say, with {FEWEST_GROUPS} in 87 to 96 % of simulated studies; of fewer there is none but of a mean over "
            "slices on which that class hardly tells. A share of slices that are each a group of its own, and a share of "
            "exactly 0 or 1 have exact ones (Clopper and Pearson 1934). Expected "
            "calibration error is the mean distance between confidence and share right."
        ),
        [*words.operating_point(metrics), *words.calibration(metrics)],
    )


def _analyses(metrics: Mapping[str, Any]) -> tuple[Part, ...]:
    parts: list[Part] = [" ".join(words.opening(metrics))]
    for title, measured in (("Test", metrics["test"]), ("Cross-validation, pooled", metrics["cross_validation"])):
        if measured is None:
            parts.append(f"{title}: not measured.")
            continue
        counted = f"{how_many(measured['slices'], 'slice')} in {how_many(measured['groups'], 'independent group')}"
        parts.append(f"{title}: {counted}.")
        table = figure_table(measured, metrics["operating_point"] if measured is metrics["test"] else None)
        for block in table.blocks:
            rows = tuple((title, *(cell.text for cell in cells)) for title, cells in block.rows)
            parts.append(Table((block.title, *table.columns), rows))
        if table.notes:
            parts.append([f"[{letter}] {text}" for letter, text in table.notes.items()])
    if pooled := metrics["shortcuts"]["cross_validation"]:
        parts.append(f"Out of fold: {pooled['sentence']}")
    parts += ["What it refuses:", words.novelty(metrics)]
    kinds = metrics["novelty"]["foreign"].items()
    rows = tuple((kind, str(row["pictures"]), str(row["refused"])) for kind, row in kinds)
    parts.append(Table(("Kind of picture", "pictures", "refused"), rows))
    return (*parts, "What it looked at:", words.evidence(metrics))


def _training_data(metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> tuple[Part, ...]:
    names = ("files", "quarantined", "pictures", "groups")
    rows = tuple(
        (label, *(str(count[name]) for name in names), *(str(count["splits"][split]["pictures"]) for split in SPLITS))
        for label, count in audit["counts"]["by_class"].items()
    )
    return (
        f"Source: {metrics['source']}. {_ended(audit['headline'])}",
        Table(("Class", *names, *(f"{split} pictures" for split in SPLITS)), rows),
        words.training(metrics["training"]),
        f"Over the whole data set: {metrics['shortcuts']['dataset']['sentence']}",
    )


def _evaluation_data(audit: Mapping[str, Any]) -> tuple[Part, ...]:
    told = (
        "The test and validation slices come from the same source as the training slices; no known relative of a "
        "training picture is among them. Groups come from what the source says and from how alike pictures are: where "
        "neither tells, slices of one patient may stand on both sides. There is no test on another hospital's slices."
    )
    faults = list(audit["warnings"])
    return (
        told,
        "Known faults of the data:" if faults else "No fault of the data was found.",
        *([faults] if faults else []),
        audit["meaning"],
    )


def _ethics(metrics: Mapping[str, Any]) -> tuple[Part, ...]:
    found = [
        "A missed tumour can cost a life, a false alarm a needless biopsy. Neither rate is known for any clinic.",
        "Maps of evidence persuade. They show what the network used, not that it was right to use it.",
        (
            "Slices may hold personal data burnt into the picture; the software reads no patient tag but those "
            "that group slices, and stores none. Report and data set card show thumbnails and file names: share "
            "them as you would share the slices."
        ),
    ]
    if metrics["synthetic"]:
        found.append("The slices of this model are synthetic and show no person.")
    return (found,)


def _limits(metrics: Mapping[str, Any], audit: Mapping[str, Any]) -> tuple[Part, ...]:
    found = words.caveats(metrics, audit)
    return (
        *([found] if found else []),
        [
            "One slice is judged by itself; a radiologist sees the volume, earlier scans and the patient.",
            "With fewer than ten groups in a class an interval is a little too narrow; none says anything of another hospital.",
            "The test slices also decide which model is served: after many comparisons on the same ones its figures flatter.",
            "Before any other use: test on slices of that place, by independent patients, against radiologists.",
        ],
    )


_LOCKED = "evaluation.dvc_lock"
"""Said only where DVC made this model: a lock of another run tells nothing of it."""

_REPRODUCE = {
    "training.commit": "Commit that trained",
    "training.mlflow_run": "MLflow run that trained",
    "created": "Trained at",
    "evaluation.commit": "Commit that evaluated",
    "evaluation.mlflow_run": "MLflow run that evaluated",
    _LOCKED: "Model file in dvc.lock (MD5)",
    "version": "Version",
    "data_digest": "Digest of the training slices (SHA-256)",
    "model_digest": "Digest of the trained weights (SHA-256)",
    "weights_digest": "Digest of VGG16's weights (SHA-256)",
}


def _reproduction(reproduce: Mapping[str, Any]) -> tuple[Part, ...]:
    runs = {
        f"{stage}.{name}": value for stage in ("training", "evaluation") for name, value in reproduce[stage].items()
    }
    known = {**reproduce, **runs}
    rows = tuple((title, _or_not(known[name])) for name, title in _REPRODUCE.items() if known[name] or name != _LOCKED)
    parameters = tuple((str(name), str(value)) for name, value in sorted(reproduce["parameters"].items()))
    return (
        (
            "Check out the commit that trained, then: make run SOURCE=<the same source>. The same source, seed and parameters"
            " give the same split. A commit that ends in + had files that differ from it."
        ),
        *_differing(known),
        Table(("What", "which"), rows),
        Table(("Parameter", "value when it was used"), parameters),
    )


def _differing(known: Mapping[str, Any]) -> tuple[Part, ...]:
    trained, evaluated = (known.get(f"{stage}.commit") for stage in ("training", "evaluation"))
    if not trained or trained == evaluated:
        return ()
    return ("The model was trained by another commit than the one that evaluated it.",)


# --- Words and signs --------------------------------------------------------------------------------------------------


def _or_not(value: object) -> str:
    return str(value) if value else NOT_RECORDED


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(".") else f"{sentence}."


def _markdown(part: Part) -> list[str]:
    if isinstance(part, str):
        return [_escaped(part)]
    if isinstance(part, list):
        return [f"- {_escaped(entry)}" for entry in part]
    ruler = ["---", *["---:"] * (len(part.header) - 1)]
    return [_row(part.header), "| " + " | ".join(ruler) + " |", *(_row(row) for row in part.rows)]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: no name becomes a link, HTML, a cell's end or a list."""
    found = re.sub(r"([\\`*_{}\[\]<>|#~&$])", r"\\\1", shown_name(text))
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", re.sub(r"^([-+=])(?=[\s=-]|$)", r"\\\1", found))

"""The evaluation against what was to be reached: a phantom of 2,000 slices, and a given folder.

Runs the project in a copy of its own, with nothing of an earlier run, then times the evaluation once more and holds the
network's ONNX file against Keras. Results go to ``results/DATE-evaluation.json`` and ``.md``.

    python benchmarks/evaluation.py                                      # the phantom; half an hour on two cores
    python benchmarks/evaluation.py --source FOLDER --name chest-ct      # a folder of class folders beside it
    python benchmarks/evaluation.py --quick                              # two minutes; does it still run?
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from machine import describe
from run_against_pass import copy_project
from tqdm import tqdm

from lung_tumor.foreign import ALTERATIONS
from lung_tumor.novelty import NoveltyOptions

PROJECT = Path(__file__).resolve().parents[1]
PHANTOM, QUICK = 2000, 60
"""Synthetic slices."""

COMPARED = 100
"""Test slices on which ONNX is held against Keras, at most."""

Result = dict[str, Any]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def main() -> None:
    """Measure, print and store the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="", help="a source of real slices, beside the phantom")
    parser.add_argument("--name", default="given", help="what that is called in the result, which never says its path")
    parser.add_argument("--slices", type=int, default=0, help=f"of the phantom; {PHANTOM} unless given")
    parser.add_argument("--quick", action="store_true", help=f"a phantom of {QUICK} slices; its figures mean nothing")
    parser.add_argument("--out", type=Path, help="path of the results without suffix")
    given = parser.parse_args()
    slices = given.slices or (QUICK if given.quick else PHANTOM)
    sources = {"phantom": f"phantom:?slices={slices}"} | ({given.name: _absolute(given.source)} if given.source else {})
    machine, started = describe(), time.perf_counter()
    found = {
        name: measure(source, runs=5 if given.quick else 60)
        for name, source in tqdm(sources.items(), desc="Sources", unit="source")
    }
    result: Result = {
        "date": date.today().isoformat(),
        "quick": given.quick,
        "machine": machine,
        "phantom_slices": slices,
    }
    result["sources"] = {name: {**facts, "targets": targets(facts)} for name, facts in found.items()}
    result["seconds"] = round(time.perf_counter() - started)
    where = "test-artifacts/quick" if given.quick else f"benchmarks/results/{result['date']}"
    out = given.out or PROJECT / f"{where}-evaluation"
    out.parent.mkdir(parents=True, exist_ok=True)
    # No suffix may be taken from the name: a date may be followed by a dot.
    (out.parent / f"{out.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (out.parent / f"{out.name}.md").write_text(as_markdown(result))
    print(as_markdown(result))


def _absolute(source: str) -> str:
    """A path as it is called from the copy of the project; any other source as it is."""
    return str(Path(source).resolve()) if Path(source).exists() else source


# --- Measuring --------------------------------------------------------------------------------------------------------


def measure(source: str, runs: int) -> Result:
    """Run the project on a source, and the evaluation again; then look at the network it made."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_project(Path(folder))
        run_s = _kedro(copy, source)
        evaluation_s = _kedro(copy, source, "--pipeline=evaluation")
        metrics = json.loads((copy / "data/08_reporting/metrics.json").read_text())
        return {
            "synthetic": metrics["synthetic"],
            "run_s": run_s,
            "warm_evaluation_s": evaluation_s,
            **{name: metrics[name] for name in ("novelty", "evidence", "served")},
            "groups_by_class": metrics["test"]["groups_by_class"],
            "slices": metrics["test"]["slices"],
            "sensitivity": metrics["operating_point"]["test"]["sensitivity"],
            "target_sensitivity": metrics["operating_point"]["target_sensitivity"],
            "calibration_error": metrics["calibration"]["after"]["calibration_error"],
            "by_chance": metrics["calibration"]["by_chance"]["test"],
            **_network(copy / "data", runs),
        }


def _kedro(project: Path, source: str, *further: str) -> float:
    """Seconds that `kedro run` takes from its start to its end."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    environment = {**os.environ, **quiet, "PYTHONPATH": str(project / "src"), "HOME": str(project.parent)}
    command = [sys.executable, "-m", "kedro", "run", *further, "--params", f"source={source}"]
    began = time.perf_counter()
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    return round(time.perf_counter() - began, 1)


def _network(data: Path, runs: int) -> Result:
    """ONNX against Keras in float32 on test slices, and what evidence costs in that file and in the one that is served."""
    import pandas as pd
    from PIL import Image

    from lung_tumor import export, weights
    from lung_tumor.datasets.keras_classifier import KerasClassifierDataset
    from lung_tumor.imaging import to_network_input

    digests = pd.read_csv(data / "07_model_output/predictions.csv")["pixels"].tolist()[:COMPARED]
    slices = np.stack([np.asarray(Image.open(data / f"03_primary/slices/{digest}.png")) for digest in digests])
    classifier = KerasClassifierDataset(filepath=str(data / "06_models/classifier.keras")).load()
    tensors, _ = weights.resolve(data / "01_raw/vgg16_imagenet.npz")
    draft = export.draft(classifier, NoveltyOptions(), tensors, slices[:1])
    keras = [classifier.model.predict_on_batch(to_network_input(part)) for part in _parts(slices)]
    difference = np.abs(np.concatenate(keras) - export.probabilities(export.run(draft, slices).logits)).max()
    served = (data / "06_models/candidate.onnx").read_bytes()
    return {
        "compared_slices": len(slices),
        "onnx_from_keras": float(difference),
        "evidence_cost": {
            "float32": evidence_cost(draft, slices, runs),
            "served": evidence_cost(served, slices, runs),
        },
    }


def _parts(slices: Pixels) -> Iterable[Pixels]:
    return (slices[start : start + 8] for start in range(0, len(slices), 8))


def evidence_cost(content: bytes, slices: Pixels, runs: int) -> Result:
    """Milliseconds of one slice through a graph with its evidence maps, and without, in turns; medians, and their ratio.

    Without means that the graph lacks these outputs, and with them all that nothing else reads.
    """
    from lung_tumor.imaging import to_network_input
    from lung_tumor.predictor import open_session

    sessions = {
        "with": open_session(content, spinning=True),
        "without": open_session(without_evidence(content), spinning=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for number in range(runs + 3):
        pixels = {"pixels": to_network_input(slices[number % len(slices)][np.newaxis])}
        for name in sorted(sessions, reverse=number % 2 == 1):
            began = time.perf_counter()
            sessions[name].run(None, pixels)
            # The first runs of a session still ask for memory.
            seconds[name] += [time.perf_counter() - began] if number >= 3 else []
    medians = {f"{name}_ms": round(1000.0 * statistics.median(values), 3) for name, values in seconds.items()}
    return {**medians, "cost": medians["with_ms"] / medians["without_ms"] - 1.0, "runs": runs}


def without_evidence(content: bytes) -> bytes:
    """The same graph without its evidence outputs and without the nodes that only these needed."""
    model = onnx.load_from_string(content)
    kept = [output for output in model.graph.output if "evidence" not in output.name]
    wanted, nodes = {output.name for output in kept}, []
    # Nodes stand in the order in which they are computed.
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            nodes.append(node)
            wanted |= set(node.input)
    del model.graph.output[:], model.graph.node[:]
    model.graph.output.extend(kept)
    model.graph.node.extend(reversed(nodes))
    serialised: bytes = model.SerializeToString()
    return serialised


# --- Against the targets ----------------------------------------------------------------------------------------------


def targets(found: Result) -> list[Result]:
    """Each target, what was reached, and whether that meets it; None where nothing can be said, or nothing was asked."""
    foreign, held_out = found["novelty"]["foreign"], found["novelty"]["held_out_groups"]
    others = [kind for kind in foreign if kind not in ALTERATIONS]
    rows = [
        _target("foreign pictures refused: share", 0.99, _refused(foreign, others), note=_counted(foreign, others)),
        _target(
            "altered slices refused (turned, upside down, inverted, cut): share",
            0.99,
            _refused(foreign, ALTERATIONS),
            note=_counted(foreign, ALTERATIONS),
        ),
        _target(
            "held-out groups accepted, all their slices: share",
            0.95,
            held_out["value"],
            note=f"{held_out['groups']} groups, {_between(held_out['interval'])}",
        ),
        _target(
            "ONNX float32 against Keras: largest difference of a probability",
            1e-4,
            found["onnx_from_keras"],
            most=True,
            note=f"{found['compared_slices']} test slices",
        ),
        *(
            _target(
                f"evidence maps, {name}: share of the time of a prediction without them",
                0.05,
                cost["cost"],
                most=True,
                note=f"{cost['with_ms']} against {cost['without_ms']} ms, medians of {cost['runs']} in turns",
            )
            for name, cost in found["evidence_cost"].items()
        ),
    ]
    deletion = found["evidence"]["deletion"]
    rows.append(
        _target(
            "hiding the evidence: by how much more it lowers the log-odds than hiding at random",
            0.0,
            deletion["evidence"] - deletion["random"],
            note=f"{deletion['slices']} slices",
        )
    )
    return [*(_phantom_targets(found) if found["synthetic"] else _real_targets(found)), *rows]


def _phantom_targets(found: Result) -> list[Result]:
    """Those that need a known truth; and how calibrated a network is says nothing on few slices."""
    known, chance = found["evidence"]["phantom"] or {}, found["by_chance"]
    slices = f"{known.get('slices', 0)} slices with a mass"
    reached, wanted = found["sensitivity"], found["target_sensitivity"]
    interval = reached["interval"]
    within = None if interval["low"] is None else interval["low"] <= wanted <= interval["high"]
    return [
        _target("pointing game: share within 8 of 224 pixels", 0.95, known.get("pointing"), note=slices),
        _target(
            "positive evidence inside the mass: times its share of the area",
            10.0,
            known.get("inside_ratio"),
            note=slices,
        ),
        _target(
            "calibration error after calibration",
            0.05,
            found["calibration_error"],
            most=True,
            note=f"{found['slices']} test slices; by chance {chance['median']:.3f} (median), in 5 % above {chance['high']:.3f}",
        ),
        _target("sensitivity at the operating point", wanted, reached["value"], note=_between(interval))
        | {"met": within},
        _target("evaluation again, 1,000 draws, start of Kedro included: seconds", None, found["warm_evaluation_s"]),
    ]


def _real_targets(found: Result) -> list[Result]:
    return [
        _target(
            "evaluation again, 1,000 draws, start of Kedro included: seconds",
            60.0,
            found["warm_evaluation_s"],
            most=True,
        )
    ]


def _target(what: str, wanted: float | None, reached: float | None, *, most: bool = False, note: str = "") -> Result:
    """One row; ``most`` where less is better."""
    compared: Callable[[float, float], bool] = (lambda a, b: a <= b) if most else (lambda a, b: a >= b)
    met = None if wanted is None or reached is None else bool(compared(reached, wanted))
    return {"what": what, "wanted": wanted, "most": most, "reached": reached, "met": met, "note": note}


def _refused(foreign: Result, kinds: Sequence[str]) -> float | None:
    pictures = sum(foreign[kind]["pictures"] for kind in kinds)
    return sum(foreign[kind]["refused"] for kind in kinds) / pictures if pictures else None


def _counted(foreign: Result, kinds: Sequence[str]) -> str:
    missed = [kind for kind in kinds if foreign[kind]["refused"] < foreign[kind]["pictures"]]
    counted = f"{sum(foreign[kind]['refused'] for kind in kinds)} of {sum(foreign[kind]['pictures'] for kind in kinds)}"
    return counted + (f"; passed: {', '.join(missed)}" if missed else "")


def _between(interval: Result) -> str:
    if interval["low"] is None:
        return f"no interval: {interval['reason']}"
    return f"95 % interval {interval['low']:.3f} to {interval['high']:.3f}"


def as_markdown(result: Result) -> str:
    """One table a source."""
    about = (
        f"{result['date']}, {result['machine']['processor']}: `kedro run`, then `kedro run --pipeline=evaluation`, in a copy "
        "of the project. How often intervals hold the truth is told by `make bench-intervals`."
    )
    lines = ["# The evaluation against its targets", "", about]
    if result["quick"]:
        lines += ["", "Quick: these figures mean nothing."]
    for name, found in result["sources"].items():
        classes = ", ".join(f"{count} {label}" for label, count in found["groups_by_class"].items())
        lines += [
            "",
            f"## {name}{', ' + format(result['phantom_slices'], ',') + ' slices' if name == 'phantom' else ''}",
            "",
            f"Judged on {found['slices']} test slices (groups: {classes}); served in {found['served']['precision']}.",
            "",
            "| target | wanted | reached | met | |",
            "| --- | --- | --- | --- | --- |",
            *(_line(row) for row in found["targets"]),
        ]
    return "\n".join([*lines, ""])


def _line(row: Result) -> str:
    wanted = "–" if row["wanted"] is None else f"{'≤' if row['most'] else '≥'} {row['wanted']:g}"
    reached = "undefined" if row["reached"] is None else f"{row['reached']:.3g}"
    met = {True: "yes", False: "**no**", None: "–"}[row["met"]]
    return f"| {row['what']} | {wanted} | {reached} | {met} | {row['note']} |"


if __name__ == "__main__":
    main()

"""Training: the conventional recipe against ours, the frozen pass against the processor, growth, and start-up.

One command, one run. Everything that is compared gets the same prepared files; whatever's memory or start matters runs in a
process of its own. Results, as JSON, as a Markdown table and as a picture, go to ``results/DATE-training.*``.

    python benchmarks/training.py                                        # the phantom; about an hour on two cores
    python benchmarks/training.py --source FOLDER --name chest-ct        # a folder of class folders
    python benchmarks/training.py --quick                                # under three minutes; fails only if it breaks
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import training_data
import training_growth
import training_pass
import training_quality
import training_report
import training_sides
import training_tuning
from machine import describe, peak_memory_mb
from tqdm import tqdm

PROJECT = Path(__file__).resolve().parents[1]
Result = dict[str, Any]

PARTS: dict[str, Callable[..., Result]] = {
    "prepare": training_data.prepare_source,
    "draw": training_data.draw_phantom,
    "conventional": training_sides.conventional,
    "ours": training_sides.ours,
    "folds": training_sides.folds,
    "quality": training_quality.quality,
    "tuning": training_tuning.searched,
    "frozen_pass": training_pass.rates_and_agreement,
    "growth": training_growth.grow,
}
"""What runs in a process of its own. Arguments and results are what JSON can hold."""


def main() -> None:
    """Run one part, or all of them."""
    given = _arguments()
    if given.part:
        _be_child(given.part, json.loads(given.arguments), Path(given.answer))
        return
    os.environ.update(_environment())
    machine, started = describe(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = {"date": date.today().isoformat(), "source": given.name, "quick": given.quick, "machine": machine}
        result["precision"] = given.precision
        result |= _measure(given, Path(folder))
    result["seconds"] = round(time.perf_counter() - started)
    result["targets"] = training_report.targets(result)
    out = Path(given.out or _default_out(given, result["date"]))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    out.with_suffix(".md").write_text(training_report.to_markdown(result, out.with_suffix(".png").name))
    training_report.draw(result, out.with_suffix(".png"))
    print(out.with_suffix(".md").read_text())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="", help="what slices are taken from; the phantom unless given")
    parser.add_argument("--name", default="", help="what the source is called in the result, which never says its path")
    parser.add_argument("--quick", action="store_true", help="a tiny phantom and few epochs")
    parser.add_argument("--full", action="store_true", help="measure 50 conventional epochs instead of extrapolating")
    parser.add_argument("--bfloat16", action="store_true", help="try bfloat16 where the processor only imitates it too")
    parser.add_argument("--precision", default="auto", help="of our frozen pass, as features.computation.precision")
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--out", default="", help="path of the results without suffix")
    for name in ("part", "arguments", "answer"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    # Figures of the quick mode mean nothing: it saves a dozen starts of TensorFlow.
    given.run = run_here if given.quick else run
    given.name = given.name or ("given" if given.source else "phantom")
    given.source = given.source or ("phantom:?slices=32" if given.quick else "phantom:?slices=343")
    return given


def _default_out(given: argparse.Namespace, day: str) -> Path:
    if given.quick:
        return PROJECT / "test-artifacts/quick-training"
    return PROJECT / f"benchmarks/results/{day}-training{'' if given.name == 'phantom' else f'-{given.name}'}"


# --- Sections ---------------------------------------------------------------------------------------------------------


def _measure(given: argparse.Namespace, folder: Path) -> Result:
    """All sections that were asked for, by name."""
    plan = {"folder": str(folder / "data"), "size": 64 if given.quick else 224}
    result: Result = {}
    if set(given.sections) & {"training", "frozen_pass"}:
        result["data"] = run("prepare", source=given.source, **plan)
    for name in tqdm(given.sections, desc="Sections"):
        result[name] = SECTIONS[name](given, folder, plan)
    return result


_CHANGED_VIEWS = 3
"""With the slice itself, four cached views of each."""


def measure_training(given: argparse.Namespace, folder: Path, plan: Result) -> Result:
    """Section 1: the conventional recipe and ours."""
    epochs = (2,) if given.quick else (1, 10, 50)
    measured = epochs[-1] if given.quick or given.full else 10
    rows = []
    # One file per picture is a case of its own only where some picture has several files.
    variants = [("files", False), ("files", True), ("pictures", False)]
    variants = variants if training_data.has_copies(Path(plan["folder"])) else variants[:2]
    for files, augmented in tqdm(variants, desc="Training"):
        case = {**plan, "files": files}
        row = {"files": files, "augmented": augmented, "ours": []}
        row["conventional"] = given.run("conventional", **case, augmented=augmented, epochs=measured)
        # Of the first case every number of epochs, of the others that of the targets.
        first = given.quick or given.full or (files, augmented) == variants[0]
        for number in epochs if first else (10,):
            store = folder / f"{files}-{augmented}-{number}.sqlite"
            ask = {**case, "views": _CHANGED_VIEWS if augmented else 0, "epochs": number, "store": str(store)}
            ask["precision"] = given.precision
            cold = given.run("ours", **ask)
            warm = min(
                (given.run("ours", **ask) for _ in range(1 if given.quick else 2)), key=lambda run: run["seconds"]
            )
            row["ours"].append({"epochs": number, "cold": cold, "warm": warm})
        row["compared"] = training_sides.compare(row["conventional"], row["ours"])
        rows.append(row)
    case = {**plan, "store": str(folder / "folds.sqlite"), "precision": given.precision}
    crossed = {name: given.run("folds", **case) for name in ("cold", "warm")}
    judged = given.run("quality", **case, epochs=2 if given.quick else 10)
    searched = given.run("tuning", **case, trials=3 if given.quick else 50)
    return {
        "measured_epochs": measured,
        "views": _CHANGED_VIEWS + 1,
        "runs": rows,
        "folds": crossed,
        "quality": judged,
        "tuning": searched,
    }


def measure_frozen_pass(given: argparse.Namespace, folder: Path, plan: Result) -> Result:
    """Section 2: rates against the largest matrix product, and whether engines agree."""
    del folder
    effort = {"rounds": 2, "products": 1} if given.quick else {"rounds": 12, "products": len(training_pass.MATRICES)}
    return given.run("frozen_pass", **plan, **effort, imitate=given.bfloat16)


def measure_growth(given: argparse.Namespace, folder: Path, plan: Result) -> Result:
    """Section 3: time, memory and size of the store for more and more slices."""
    sizes = (16, 32) if given.quick else (250, 500, 1000, 2000, 4000)
    # Kept between runs, as long as what draws and prepares them is the same: it takes minutes.
    slices = PROJECT / f"data/01_raw/benchmark-growth-{plan['size']}-{training_data.drawing_digest()}"
    run("draw", folder=str(slices), count=sizes[-1], size=plan["size"])
    rows = []
    case = {"slices": str(slices), "size": plan["size"], "precision": given.precision}
    for count in tqdm(sizes, desc="Growth"):
        rows.append(given.run("growth", **case, count=count, store=str(folder / f"{count}.db")))
    return {"sizes": rows}


def measure_start(given: argparse.Namespace, folder: Path, plan: Result) -> Result:
    """Section 4: wall time of commands and imports, the shortest of three, each in a fresh interpreter."""
    del folder, plan
    commands = {
        "python": ["-c", "pass"],
        "import lung_tumor": ["-c", "import lung_tumor"],
        "import lung_tumor.imaging": ["-c", "import lung_tumor.imaging"],
        "import lung_tumor.training": ["-c", "import lung_tumor.training"],
        "import app": ["-c", "import app"],
        "kedro run --help": ["-m", "kedro", "run", "--help"],
        "kedro catalog describe-datasets": ["-m", "kedro", "catalog", "describe-datasets"],
    }
    found = {}
    for name, command in tqdm(commands.items(), desc="Start-up"):
        times = []
        for _ in range(1 if given.quick else 3):
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=PROJECT, check=True, capture_output=True, env=_environment())
            times.append(time.perf_counter() - started)
        found[name] = round(min(times), 3)
    return {"seconds": found}


# Cross-validation and whatever else is to be timed: one more function here, and how to show it in training_report.
SECTIONS: dict[str, Callable[[argparse.Namespace, Path, Result], Result]] = {
    "training": measure_training,
    "frozen_pass": measure_frozen_pass,
    "growth": measure_growth,
    "start": measure_start,
}


# --- Processes of their own -------------------------------------------------------------------------------------------


def run(part: str, **arguments: Any) -> Result:
    """Run a part in a fresh process; its progress bars are shown, and its peak memory is among the answers.

    Raises:
        subprocess.CalledProcessError: it broke.
    """
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        command = [
            sys.executable,
            __file__,
            "--part",
            part,
            "--arguments",
            json.dumps(arguments),
            "--answer",
            answer.name,
        ]
        subprocess.run(command, check=True, cwd=PROJECT, env=_environment())
        found: Result = json.loads(Path(answer.name).read_text())
    return found


def run_here(part: str, **arguments: Any) -> Result:
    """Run a part in this process."""
    found: Result = json.loads(json.dumps(PARTS[part](**arguments)))
    return {"peak_memory_mb": peak_memory_mb(), **found}


def _be_child(part: str, arguments: Result, answer: Path) -> None:
    answer.write_text(json.dumps(run_here(part, **arguments)))


def _environment() -> dict[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **quiet}


if __name__ == "__main__":
    main()

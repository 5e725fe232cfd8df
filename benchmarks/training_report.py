"""What the training benchmark found, as a table against the targets, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Rows = list[dict[str, Any]]


def targets(result: Result) -> Rows:
    """Each target of the sections that ran, and what was reached; None where this machine cannot tell."""
    rows: Rows = []
    for run in result.get("training", {}).get("runs", []):
        rows += _training_targets(run)
    if "training" in result:
        seconds = result["training"]["folds"]["warm"]["seconds"]
        rows.append(_target("five-fold cross-validation of the head, warm: seconds", 15, seconds, most=True))
        rows += _quality_targets(result["training"]["quality"])
        searched = result["training"]["tuning"]
        rows.append(_target(f"{searched['trials']} trials of the head: seconds", 60, searched["search_s"], most=True))
    if "frozen_pass" in result:
        rows += _pass_targets(result["frozen_pass"])
    if "growth" in result:
        rows += _growth_targets(result["growth"]["sizes"])
    return rows


def _training_targets(run: Result) -> Rows:
    ten = max((row for row in run["compared"] if row["epochs"] <= 10), key=lambda row: row["epochs"])
    what = f"{ten['epochs']} epochs, {_case(run)}"
    rows = [_target(f"{what}, cold: times faster", 10 if run["augmented"] else 30, ten["faster_cold"])]
    if not run["augmented"]:
        rows.append(_target(f"{what}, warm: times faster", 200, ten["faster_warm"]))
    return rows


def _quality_targets(found: Result) -> Rows:
    """One seed on a small test split says little, so that each of these is a mean over seeds."""
    rows = []
    for where, name in (("folds", "grouped folds"), ("test", "test split")):
        ours, theirs = found["ours"][where]["mean"], found["conventional"][where]["mean"]
        gain = None if None in (ours, theirs) else round(ours - theirs, 4)
        rows.append(_target(f"{found['epochs']} epochs, {name}: mean AUC above the conventional recipe's", 0, gain))
    return rows


def _pass_targets(found: Result) -> Rows:
    share = max(row["share_of_ceiling"] for row in found["passes"] if row["computation"].endswith("float32"))
    rows = [_target("frozen pass, float32: share of the largest matrix product rate", 0.9, share)]
    rate = {row["computation"]: row["slices_per_s"] for row in found["passes"] if row["block"] == 5}
    short = [found_rate for name, found_rate in rate.items() if name.endswith("bfloat16")]
    times = round(max(short) / rate["keras float32"], 2) if short else None
    rows.append(_target("frozen pass, bfloat16 against float32, plain convolutions both: times faster", 1.7, times))
    for row in found["agreement"]["others"]:
        name = f"equal decisions, {row['computation']} and {found['agreement']['reference']}"
        rows.append(_target(name, 0.995, row["equal_decisions"]))
    return rows


def _growth_targets(sizes: Rows) -> Rows:
    last = sizes[-1]
    # A quarter of the largest, or the nearest there is.
    base = min(sizes[:-1], key=lambda row: abs(row["slices"] - last["slices"] / 4))
    pair = f"{last['slices']} slices against {base['slices']}"
    memory = round(last["peak_memory_mb"] / base["peak_memory_mb"], 3)
    between = f"growth, {sizes[0]['slices']} to {last['slices']} slices"
    return [
        *(
            _target(f"{between}: largest over smallest {what}, less 1", 0.10, _spread(sizes, name), most=True)
            for name, what in (("ms_a_slice", "time a slice"), ("times_bare", "ratio to the network meanwhile"))
        ),
        _target(f"growth, {pair}: ratio of peak memory", 1.15, memory, most=True),
        _target(f"growth, {last['slices']} slices: peak memory in MB", 2560, last["peak_memory_mb"], most=True),
    ]


def _spread(sizes: Rows, name: str) -> float:
    values = [row[name] for row in sizes]
    return float(round(max(values) / min(values) - 1, 3))


def _target(what: str, target: float, reached: float | None, *, most: bool = False) -> Result:
    met = None if reached is None else (reached <= target if most else reached >= target)
    return {"what": what, "target": f"{'≤' if most else '≥'} {target:g}", "reached": reached, "met": met}


def _case(run: Result) -> str:
    files = {"files": "every file", "pictures": "one file a picture"}[run["files"]]
    return f"{files}, {'augmented' if run['augmented'] else 'unchanged slices'}"


# --- Markdown ---------------------------------------------------------------------------------------------------------


def to_markdown(result: Result, picture: str) -> str:
    """The whole result; ``picture`` is the name of the plot beside it."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"# Training, {result['date']}, {result['source']}{' (quick mode: too small to say anything)' * result['quick']}",
        "",
        (
            f"{', '.join([machine['processor'], *machine['gpus']])}; {machine['usable']} processors usable; "
            f"{', '.join(machine['computes'])}; {versions}."
        ),
        "",
        f"Load before the run {machine['load_before']}; the run took {result['seconds'] / 60:.0f} minutes.",
        f"Our frozen pass: precision {result['precision']}.",
        *(_data_lines(result["data"]) if "data" in result else []),
        "",
        "## Targets",
        "",
        *table(
            ("", "target", "reached", ""),
            [
                (
                    row["what"],
                    row["target"],
                    _or_dash(row["reached"]),
                    {True: "met", False: "missed"}.get(row["met"], ""),
                )
                for row in result["targets"]
            ],
        ),
        "",
        f"![Training, frozen pass and growth]({picture})",
    ]
    for name, write in (("training", _training), ("frozen_pass", _pass), ("growth", _growth), ("start", _start)):
        if name in result:
            lines += ["", *write(result[name])]
    return "\n".join(lines) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table; all columns but the first are numbers."""
    marks = ["---", *["---:"] * (len(heads) - 1)]
    return [f"| {' | '.join(map(str, row))} |" for row in (heads, marks, *rows)]


def _data_lines(data: Result) -> list[str]:
    parts = ", ".join(
        f"{kind}: {' + '.join(str(count) for count in counts.values())}" for kind, counts in data["counts"].items()
    )
    return ["", f"Training + validation + test, {parts}; {data['groups']} groups, none on two sides."]


def _training(found: Result) -> list[str]:
    lines = [
        "## Training",
        "",
        "From prepared files to a fitted network in one process, imports excluded; seconds.",
        "",
    ]
    lines += ["`*` extrapolated from the median of the measured epochs. Ours passes equal pixels once."]
    lines += [
        f"Augmented: layers at every step there, {found['views']} cached views of each slice, itself among them, here.",
        f"Ours computes by {_computations(found['runs'])}.",
        "",
    ]
    rows = [
        (
            _case(run),
            row["epochs"],
            f"{row['conventional_s']:.1f}{'*' if row['extrapolated'] else ''}",
            f"{row['cold_s']:.2f}",
            f"{row['warm_s']:.2f}",
            f"{row['faster_cold']:.0f}×",
            f"{row['faster_warm']:.0f}×",
            _or_dash(row["test_auc"]),
        )
        for run in found["runs"]
        for row in run["compared"]
    ]
    heads = ("", "epochs", "conventional", "ours, cold", "ours, warm", "cold", "warm", "our test AUC")
    lines += [*table(heads, rows), "", "One side at a time:", ""]
    sides = []
    for run in found["runs"]:
        for name, told in (("conventional", run["conventional"]), ("ours", run["ours"][-1]["cold"])):
            given = f"{sum(told['slices'])}" + (f", {told['computed']} different" if name == "ours" else "")
            rate = f"{told['slices_per_s']:.1f} in {'an epoch' if name == 'conventional' else 'the pass'}"
            auc = f"{_or_dash(told['test_auc'])} after {told['epochs']}"
            sides.append((f"{name}, {_case(run)}", given, rate, told["peak_memory_mb"], auc))
    heads = ("", "slices given", "slices/s", "peak memory, MB", "test AUC after epochs")
    tuning = found["tuning"]
    search = (
        f"The search of `kedro run --pipeline=tuning`, {tuning['trials']} configurations of the head on "
        f"{tuning['pictures']} pictures: {tuning['search_s']} s, after {tuning['pass_s']} s for the activations that any of "
        f"them may read ({tuning['computed']} slices computed)."
    )
    return [*lines, *table(heads, sides), "", *_quality(found["quality"]), "", search]


def _computations(runs: Rows) -> str:
    cold = [one["cold"] for run in runs for one in run["ours"]]
    views = {one["views_computation"] for one in cold} - {None}
    return f"{cold[0]['computation']}" + "".join(f", changed views by {name}" for name in sorted(views))


def _quality(found: Result) -> list[str]:
    counts = " + ".join(map(str, found["test_classes"]))
    rows = [
        (
            side,
            *(_or_dash(found[side][where][name]) for where in ("folds", "test") for name in ("mean", "least", "most")),
        )
        for side in ("conventional", "ours")
    ]
    return [
        (
            f"AUC after {found['epochs']} epochs on unchanged slices, five seeds: pooled over the grouped folds of "
            f"{found['pictures']} pictures, and on the test split ({counts} pictures a class):"
        ),
        "",
        *table(("", "folds, mean", "least", "most", "test, mean", "least", "most"), rows),
    ]


def _pass(found: Result) -> list[str]:
    rows = [
        (f"{row['computation']}, to block{row['block']}", row["gflop_a_slice"], row["slices_per_s"], row["gflop_per_s"],
         f"{row['share_of_ceiling']:.0%}")
        for row in found["passes"]
    ]  # fmt: skip
    products = max(found["products_gflop_per_s"], key=found["products_gflop_per_s"].get)
    agreement = found["agreement"]
    return [
        "## Frozen pass",
        "",
        f"Largest float32 matrix product rate in the same process: {found['ceiling_gflop_per_s']} GFLOP/s ({products}).",
        "Operations are those of plain convolutions: an engine that multiplies less (MNN, by Winograd) may pass 100 %.",
        "",
        *table(("", "GFLOP a slice", "slices/s", "GFLOP/s", "of the ceiling"), rows),
        "",
        f"Decisions of one head on {agreement['slices']} slices, against {agreement['reference']}:",
        "",
        *table(
            ("", "equal", "largest score difference"),
            [(row["computation"], f"{row['equal_decisions']:.2%}", row["largest_score_difference"])
             for row in agreement["others"]],
        ),
    ]  # fmt: skip


def _growth(found: Result) -> list[str]:
    names = ("slices", "pass_s", "ms_a_slice", "bare_ms_a_slice", "times_bare", "head_s", "peak_memory_mb", "store_mb")
    heads = (
        "slices",
        "pass, s",
        "ms a slice",
        "the network alone, meanwhile",
        "ratio",
        "head, 10 epochs, s",
        "peak memory, MB",
        "store, MB",
    )
    words = (
        "A machine may be faster in one minute than in another: so time a slice is told beside the network's own, too."
    )
    return ["## Growth", "", words, "", *table(heads, [[row[name] for name in names] for row in found["sizes"]])]


def _start(found: Result) -> list[str]:
    return ["## Start-up", "", *table(("", "s"), list(found["seconds"].items()))]


def _or_dash(value: Any) -> Any:
    return "–" if value is None else value


# --- Picture ----------------------------------------------------------------------------------------------------------

_COLOURS = {"conventional": "#b0413e", "cold": "#3b6ea5", "warm": "#6bab90"}


def draw(result: Result, path: Path) -> None:
    """One panel for each of the first three sections that ran."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = [(result[name], paint) for name, paint in _PANELS.items() if name in result]
    if not panels:
        return
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(4.6 * len(panels), 3.6), layout="constrained", squeeze=False
        )
        for axis, (found, paint) in zip(axes[0], panels, strict=True):
            paint(axis, found)
        figure.suptitle(f"{result['machine']['processor']}, {result['source']}, {result['date']}", fontsize=9)
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)


def _draw_training(axis: Any, found: Result) -> None:
    for run in found["runs"]:
        if run["files"] == "pictures":
            continue
        epochs = [row["epochs"] for row in run["compared"]]
        for side, colour in _COLOURS.items():
            label = "conventional" if side == "conventional" else f"ours, {side}"
            axis.plot(
                epochs,
                [row[f"{side}_s"] for row in run["compared"]],
                "s:" if run["augmented"] else "o-",
                color=colour,
                label=f"{label}, augmented" if run["augmented"] else label,
                markerfacecolor="white" if run["augmented"] else colour,
            )
    axis.set(xscale="log", yscale="log", xlabel="epochs", ylabel="s", title="Files to fitted network")
    ticks = sorted({row["epochs"] for run in found["runs"] for row in run["compared"]})
    axis.set_xticks(ticks, map(str, ticks))
    axis.minorticks_off()
    axis.set_ylim(top=axis.get_ylim()[1] * 60)  # room for the legend above the lines
    axis.legend(frameon=False, fontsize=7, ncols=2, loc="upper left")


def _draw_pass(axis: Any, found: Result) -> None:
    rows = found["passes"]
    names = [f"{row['computation']}, block{row['block']}" for row in rows]
    colours = [_COLOURS["cold" if row["computation"].startswith("keras") else "warm"] for row in rows]
    axis.barh(names, [row["gflop_per_s"] for row in rows], color=colours)
    axis.axvline(found["ceiling_gflop_per_s"], color=_COLOURS["conventional"], linestyle="--")
    axis.tick_params(axis="y", labelsize=7)
    axis.set(xlabel="GFLOP/s; dashed: largest matrix product", title="Frozen pass")
    axis.invert_yaxis()


def _draw_growth(axis: Any, found: Result) -> None:
    rows = found["sizes"]
    counts = [row["slices"] for row in rows]
    axis.plot(counts, [row["pass_s"] for row in rows], "o-", color=_COLOURS["cold"])
    axis.set(xlabel="slices", ylim=(0, None), xlim=(0, None), title="Growth")
    axis.set_ylabel("frozen pass, s", color=_COLOURS["cold"])
    memory = axis.twinx()
    peaks = [row["peak_memory_mb"] / 1024 for row in rows]
    memory.plot(counts, peaks, "s--", color=_COLOURS["conventional"])
    # Peaks that hardly differ would lie on the frame.
    memory.set_ylim(0, 1.25 * max(peaks))
    memory.set_ylabel("peak memory, GB", color=_COLOURS["conventional"])


_PANELS = {"training": _draw_training, "frozen_pass": _draw_pass, "growth": _draw_growth}

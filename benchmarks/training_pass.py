"""The frozen pass: how near to the processor's limit, and whether engines and precisions agree."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from training_data import SEED, classes_of, labelled, read, weights

PASSES = (4, 5)
"""Blocks up to which a pass is timed: what the head reads by default, and all of them."""
MATRICES = ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 4096, 4096), (6272, 4608, 512))
"""Rows, depth and columns of the products; the last is a convolution of block4 over eight slices, unrolled."""


def flops(size: int, last_block: int) -> float:
    """Floating-point operations of the convolutions for one slice, a multiplication and an addition counting two."""
    from lung_tumor.network import BLOCKS

    total, channels, side = 0, 3, size
    for convolutions, filters in BLOCKS[:last_block]:
        for _ in range(convolutions):
            total += 2 * side * side * 9 * channels * filters
            channels = filters
        side //= 2
    return float(total)


def computations(imitate: bool) -> list[Any]:
    """Every engine and precision of this machine; 16 and 8 bits only where the processor has them, or bfloat16 on request."""
    from lung_tumor.computation import Computation, has_gpu
    from lung_tumor.mnn_network import has_mnn
    from lung_tumor.processor import multiplies_bfloat16, multiplies_int8

    found = [Computation("keras", "float32")]
    if has_mnn():
        found.append(Computation("mnn", "float32"))
    if imitate or has_gpu() or multiplies_bfloat16():
        found.append(Computation("keras", "bfloat16"))
    if multiplies_int8():
        found.append(Computation("onnxruntime", "int8"))
    return found


def rates_and_agreement(folder: str, size: int, rounds: int, products: int, imitate: bool) -> dict[str, Any]:
    """Both, in one process."""
    return {**frozen_pass_rates(size, rounds, products, imitate), "agreement": agreement(folder, size, imitate)}


def frozen_pass_rates(size: int, rounds: int, products: int, imitate: bool) -> dict[str, Any]:
    """Best rates of passes and of float32 matrix products, in turns in one process, so that both meet the same machine."""
    from lung_tumor import network
    from lung_tumor.frozen_pass import frozen_pass

    model = network.load_base(network.build(2, network.NetworkOptions(feature_blocks=(5,)), size, SEED), weights())
    rng = np.random.default_rng(SEED)
    tasks: dict[tuple[str, str], tuple[float, Callable[[], Any]]] = {}
    for shape in MATRICES[:products]:
        tasks |= _products(shape, rng)
    for computation in computations(imitate):
        for block in PASSES:
            run = frozen_pass(model, [network.Cut(block, "average")], computation)
            slices = rng.integers(0, 256, (run.batch, size, size), dtype=np.uint8)
            work = run.batch * flops(size, block)
            tasks[(f"pass {block}", str(computation))] = (work, lambda run=run, slices=slices: run(slices))
    best = _best_seconds({name: task for name, (_, task) in tasks.items()}, rounds)
    rates = {name: work / best[name] / 1e9 for name, (work, _) in tasks.items()}
    ceiling = max(rate for (kind, _), rate in rates.items() if kind == "product")
    passes = [
        {
            "computation": name,
            "block": int(kind[-1]),
            "gflop_a_slice": round(flops(size, int(kind[-1])) / 1e9, 2),
            "gflop_per_s": round(rate, 1),
            "slices_per_s": round(rate * 1e9 / flops(size, int(kind[-1])), 2),
            "share_of_ceiling": round(rate / ceiling, 3),
        }
        for (kind, name), rate in rates.items()
        if kind != "product"
    ]
    products = {name: round(rate, 1) for (kind, name), rate in rates.items() if kind == "product"}
    return {"ceiling_gflop_per_s": round(ceiling, 1), "products_gflop_per_s": products, "passes": passes}


def _products(shape: tuple[int, int, int], rng: Any) -> dict[tuple[str, str], tuple[float, Callable[[], Any]]]:
    import keras

    rows, depth, columns = shape
    left, right = (rng.standard_normal(sides, dtype=np.float32) for sides in ((rows, depth), (depth, columns)))
    out = np.empty((rows, columns), np.float32)
    tensors = keras.ops.convert_to_tensor(left), keras.ops.convert_to_tensor(right)
    work, name = 2.0 * rows * depth * columns, "x".join(map(str, shape))
    return {
        ("product", f"numpy {name}"): (work, lambda: np.matmul(left, right, out=out)),
        ("product", f"keras {name}"): (work, lambda: np.asarray(keras.ops.matmul(*tensors)[0, 0])),
    }


def _best_seconds(tasks: dict[Any, Callable[[], Any]], rounds: int) -> dict[Any, float]:
    """Shortest time of each after one round to warm up, every task once a round."""
    best = dict.fromkeys(tasks, np.inf)
    for number in tqdm(range(rounds + 1), desc="Frozen pass and matrix products", unit="round"):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            if number:
                best[name] = min(best[name], time.perf_counter() - started)
    return best


def agreement(folder: str, size: int, imitate: bool) -> dict[str, Any]:
    """Decisions on every slice of the source by a head fitted on Keras's float32, given what the other engines computed."""
    from lung_tumor import fitting, network
    from lung_tumor.features import Remembered
    from lung_tumor.frozen_pass import frozen_pass
    from lung_tumor.head_learner import HeadLearner

    root = Path(folder) / "files"
    parts = [labelled(root / split) for split in ("training", "validation", "test")]
    paths, labels = [path for found, _ in parts for path in found], np.concatenate([found for _, found in parts])
    options = network.NetworkOptions()
    model = network.load_base(network.build(len(classes_of(root)), options, size, SEED), weights())

    def activations(computation: Any) -> Any:
        slices = [lambda path=path: read(path) for path in paths]
        remembered = Remembered(slices, frozen_pass(model, network.cuts(model), computation), None)
        remembered.compute(str(computation))
        return remembered.read(range(len(paths)))

    reference, *others = computations(imitate)
    values = activations(reference)
    first, second = len(parts[0][0]), len(parts[0][0]) + len(parts[1][0])
    training = fitting.LabelledActivations([part[:first] for part in values], labels[:first])
    validation = fitting.LabelledActivations([part[first:second] for part in values], labels[first:second])
    network.set_standardisation(model, training.values)
    learner = HeadLearner.from_keras(model, SEED)
    fitting.fit(learner, training, validation, fitting.FittingOptions(epochs=50), seed=SEED, title="Head")
    scores = learner.predict(values)
    rows = []
    for computation in others:
        found = learner.predict(activations(computation))
        rows.append(
            {
                "computation": str(computation),
                "equal_decisions": round(float((found.argmax(axis=1) == scores.argmax(axis=1)).mean()), 5),
                "largest_score_difference": float(f"{np.abs(found - scores).max():.2g}"),
            }
        )
    return {"reference": str(reference), "slices": len(paths), "others": rows}

"""The figures that travel inside a served model, so that its page can tell how good it was found to be.

The one place that says which they are and how they lie: the evaluation writes them, ``app/templates/about.html`` reads them.
They are part of ``metrics.json`` in its own shape, without what a page does not need: curves, bins, draws, and all but the
single numbers of those that the network is set beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lung_tumor.metrics import SHARES
from lung_tumor.scores import SINGLE

Facts = Mapping[str, Any]

_WHOLE = ("macro", "per_class", "confusion_matrix")
"""What else of the network's figures on the test slices is carried."""


def carried_figures(
    measured: Facts, operating_point: Facts, calibration: Facts, novelty: Facts, evidence: Facts, promotion: Facts
) -> dict[str, Any]:
    """What a served model says of its own evaluation.

    Args:
        measured: ``test`` and ``cross_validation`` as :func:`lung_tumor.scores.measure_beside` gives them, None for the latter
            where it was not run.
        operating_point: as in ``metrics.json``, as are the others.
        calibration: before and after the temperature.
        novelty: what is accepted and refused.
        evidence: whether the maps show the lesion.
        promotion: the verdict on this model.

    Returns:
        ``test`` with every figure of the network and its interval, and ``cross_validation``, None or the single figures;
        beside each the single figures and the shares of each class of ``trivial`` (None where there is none, as
        ``trivial_reason`` explains) and ``majority``, with ``slices``, ``groups`` and ``groups_by_class``;
        ``operating_point`` with ``test`` and, without intervals, ``beside``;
        ``calibration``, ``novelty``, ``evidence`` and ``promotion``. Some kilobytes as JSON.
    """
    pooled = measured["cross_validation"]
    return {
        "test": _part(measured["test"], whole=True),
        "cross_validation": None if pooled is None else _part(pooled, whole=False),
        "operating_point": _at_the_point(operating_point),
        "calibration": {
            **{
                when: {name: calibration[when][name] for name in ("calibration_error", "log_loss")}
                for when in ("before", "after")
            },
            "cross_validation": calibration["cross_validation"],
        },
        "novelty": {
            name: novelty[name] for name in ("accepted_test", "accepted_held_out", "held_out_groups", "foreign")
        },
        "evidence": {name: evidence[name] for name in ("kind", "phantom", "deletion")},
        "promotion": {name: promotion[name] for name in ("promoted", "first", "sentence")},
    }


def _part(found: Facts, *, whole: bool) -> dict[str, Any]:
    network = found["network"]
    intervals = {name: _ends(each) for name, each in network["intervals"].items() if whole or name in SINGLE}
    carried = (*SINGLE, *_WHOLE) if whole else tuple(SINGLE)
    return {
        "network": {
            **{name: network[name] for name in carried},
            "undefined": list(network["undefined"]) if whole else [],
            "intervals": intervals,
        },
        **{judge: _single(found[judge]) for judge in ("trivial", "majority")},
        **{name: found[name] for name in ("trivial_reason", "slices", "groups", "groups_by_class")},
    }


def _at_the_point(operating_point: Facts) -> dict[str, Any]:
    beside = operating_point["beside"]
    values = {
        judge: None if beside[judge] is None else {name: found["value"] for name, found in beside[judge].items()}
        for judge in ("trivial", "majority")
    }
    return {
        "test": {
            name: {**found, "interval": _ends(found["interval"])} for name, found in operating_point["test"].items()
        },
        "beside": {**values, **{name: beside[name] for name in ("trivial_reason", "majority_class")}},
    }


def _single(figures: Facts | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    per_class = {label: {name: row[name] for name in SHARES} for label, row in figures["per_class"].items()}
    return {**{name: figures[name] for name in SINGLE}, "per_class": per_class}


def _ends(interval: Facts) -> dict[str, Any]:
    return {name: interval[name] for name in ("low", "high", "reason")}

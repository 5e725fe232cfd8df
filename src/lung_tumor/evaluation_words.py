"""An evaluation in plain sentences, for the report, the model card and the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lung_tumor.wording import how_many, listed, percent

ENGINES = {"keras": "Keras", "mnn": "MNN (Winograd convolutions)"}

Facts = Mapping[str, Any]


def diseases(metrics: Facts) -> list[str]:
    """The classes that are to be suspected; all where no operating point was chosen."""
    point = metrics["operating_point"]
    return [name for name in metrics["classes"] if point is None or name != point["negative"]]


def share(entry: Facts) -> str:
    """``96 % (95 % interval 85 to 100 %)`` of a ``value`` in [0, 1] and its ``interval``; what is missing is named."""
    value, interval = entry["value"], entry["interval"] or {"low": None, "reason": "not measured"}
    if value is None:
        return f"undefined ({interval['reason'] or 'no slice to measure it on'})"
    if interval["low"] is None:
        return f"{percent(value)} (no interval: {interval['reason']})"
    return f"{percent(value)} (95 % interval {100 * interval['low']:.0f} to {100 * interval['high']:.0f} %)"


def headline(metrics: Facts) -> str:
    """One line: how many were found, how many healthy ones alarmed."""
    counted = _found(metrics)
    if counted is None:
        test = metrics["test"]
        return f"{_right(metrics)} of {how_many(test['slices'], 'test slice')} named rightly"
    found, sick, alarms, well = counted
    if given := _answers(metrics):
        # What readers are told, not what the threshold alone would say: some slices are referred or refused.
        ill, healthy = given
        names, negative = " or ".join(diseases(metrics)), metrics["operating_point"]["negative"]
        told = [f"{ill['suspected']} of {how_many(sick, names + ' slice')} suspected, {ill['clear']} cleared wrongly"]
        alarm = f"false alarm on {healthy['suspected']} of {how_many(well, negative + ' slice')}"
        return "; ".join([*(told if sick else []), *([alarm] if well else [])])
    point = metrics["operating_point"]
    names = " or ".join(diseases(metrics))
    parts = [f"{found} of {how_many(sick, names + ' slice')} found"] if sick else []
    parts += [f"false alarm on {alarms} of {how_many(well, point['negative'] + ' slice')}"] if well else []
    return ", ".join(parts)


def opening(metrics: Facts) -> list[str]:
    """The first paragraph: on how many independent pictures, what was reached, whether less would have done as well."""
    test = metrics["test"]
    by_class = listed([f"{count} {name}" for name, count in test["groups_by_class"].items()])
    of = f"On {how_many(test['slices'], 'picture')} of {how_many(test['groups'], 'independent group')} ({by_class})"
    counted = _found(metrics)
    if counted is None:
        told = [f"{of} that it had never seen, the network named {_right(metrics)} rightly."]
    else:
        found, sick, alarms, well = counted
        point = metrics["operating_point"]
        names, reached = " or ".join(diseases(metrics)), point["test"]
        parts = []
        if sick:
            above = f"gave {found} of {how_many(sick, names + ' slice')} a suspicion above the operating point"
            parts.append(f"{above}: {share(reached['sensitivity'])}")
        if well:
            healthy = how_many(well, point["negative"] + " slice")
            parts.append(f"{alarms} of {healthy} too: {_complement(reached['specificity'])}")
        told = [f"{of} that it had never seen, the network {', and '.join(parts)}."]
        lacking = [text for text, count in ((names, sick), (point["negative"], well)) if not count]
        told += [f"The test holds no {text}, so nothing can be said about it." for text in lacking]
        if given := _answers(metrics):
            told.append(_answered(given, names, point["negative"], (sick, well)))
        elif reached["referred"]["value"]:
            told.append(f"It is uncertain about {percent(reached['referred']['value'])} of them and refers these.")
    return [*told, without_anatomy(metrics)]


def without_anatomy(metrics: Facts) -> str:
    """Whether numbers without anatomy do as well, in one sentence."""
    comparison = metrics["shortcuts"]["test"]
    network, trivial = (comparison.get(name, {}).get("auc") for name in ("network", "trivial"))
    if network is None or trivial is None:
        return str(comparison["sentence"])
    figures = f"ROC AUC {trivial:.2f} against {network:.2f} of the network"
    if comparison["clearly_above"]:
        return f"Numbers that know no anatomy (size, brightness, a tiny thumbnail) do clearly worse: {figures}."
    how = "at least as well" if trivial >= network else "not clearly worse"
    return (
        f"Numbers that know no anatomy (size, brightness, a tiny thumbnail) do {how} on the same pictures: {figures}. "
        "So nothing here proves that the network looks at the chest."
    )


def caveats(metrics: Facts, audit: Facts) -> list[str]:
    """What a reader must know before believing a figure, most important first."""
    found = list(audit["warnings"])
    comparison = metrics["shortcuts"]["test"]
    if not comparison["clearly_above"]:
        found.insert(1 if audit["synthetic"] else 0, comparison["sentence"])
    if metrics["promotion"] and not metrics["promotion"]["served"]:
        found.insert(1 if audit["synthetic"] else 0, "The model judged here is not served: the champion stays.")
    if (point := metrics["operating_point"]) and point["caution"]:
        found.append(_ended(f"Operating point: {point['caution']}"))
    return found + [f"Undefined: {name}." for name in metrics["test"]["network"]["undefined"]]


def operating_point(metrics: Facts) -> list[str]:
    """Where suspicion begins, what that reaches, and when a slice is referred."""
    point = metrics["operating_point"]
    if point is None:
        return ["No operating point was chosen: the most probable class is the answer."]
    names, test = " or ".join(diseases(metrics)), point["test"]
    told = [
        (
            f"A slice is suspected of {names} from a suspicion of {point['threshold']:.3f} on; the suspicion is 1 "
            f"less the probability of {point['negative']}. This operating point was chosen on the validation "
            f"slices alone ({how_many(point['groups'], 'independent group')}) to suspect at least "
            f"{percent(point['target_sensitivity'])} of those with disease; there it reached a sensitivity of "
            f"{percent(point['sensitivity'])} and a specificity of {percent(point['specificity'])}."
        ),
        f"On the test slices: sensitivity {share(test['sensitivity'])}, specificity {share(test['specificity'])}.",
    ]
    if missed := _misses_target(point):
        told.append(missed)
    if point["low"] == point["high"]:
        told.append("There is no band of uncertainty around it: every slice is answered.")
    else:
        told.append(
            f"From {point['low']:.3f} to {point['high']:.3f} the answer is “uncertain: refer”. So it is for "
            f"{share(test['referred'])} of the test slices; of the answers given to the others, "
            f"{share(test['error_when_answered'])} are wrong."
        )
    return told + ([_ended(point["caution"][0].upper() + point["caution"][1:])] if point["caution"] else [])


def calibration(metrics: Facts) -> list[str]:
    """Whether probabilities mean what they say."""
    found = metrics["calibration"]
    if found is None:
        return ["Probabilities were not calibrated."]
    told = [f"Logits are divided by a temperature of {found['temperature']:.3f}, fitted on validation slices alone."]
    if found["reason"]:
        told.append(_ended(found["reason"]))
    changes = [
        f"{words} {_number(found['before'][name])} before, {_number(found['after'][name])} after"
        for name, words in (("calibration_error", "expected calibration error"), ("log_loss", "log loss"))
    ]
    told.append(f"On the test slices: {'; '.join(changes)} (both: smaller is better).")
    pooled = found.get("cross_validation")
    if pooled is not None:
        told.append(
            f"Of all pictures out of fold, each calibrated by a temperature from the other folds: expected calibration error "
            f"{_number(pooled)}. A few dozen slices have some by chance alone."
        )
    return told


def novelty(metrics: Facts) -> list[str]:
    """When a picture is refused, and how that went."""
    found = metrics["novelty"]
    if found is None:
        return ["Nothing is refused: no limit of novelty was chosen."]
    rule = found["rule"]
    return [
        (
            f"A picture is refused when it is farther than {rule['threshold']:.4f} (cosine distance of pooled "
            f"VGG16 features) from the {_ordinal(rule['neighbours'])} nearest of {rule['references']:,} training "
            f"slices. The limit accepts {percent(rule['acceptance'])} of these, each judged without its own group."
        ),
        (
            f"Accepted: {_share_of(found['accepted_test'])} of the test slices, "
            f"{_share_of(found['accepted_held_out'])} of test and validation slices together. How the distance is measured was "
            "chosen with such slices and with pictures of the kinds below, so that these shares flatter."
        ),
        *([_refused(found["foreign"])] if found["foreign"] else []),
    ]


def evidence(metrics: Facts) -> list[str]:
    """How the maps are made, and whether they show what they claim."""
    found = metrics["evidence"]
    if found is None:
        return ["There are no evidence maps."]
    told = [
        (
            "The maps are exact: each position's contribution to the class's logit, less the mean of the other "
            "classes' logits."
        )
        if found["kind"] == "exact"
        else f"The maps are made by {found['kind']}, an approximation: they need not sum to what the network computes."
    ]
    if phantom := found["phantom"]:
        told.append(
            f"On {how_many(phantom['slices'], 'synthetic slice')} with a mass at a known place, the strongest "
            f"evidence lies on the mass (within 8 of 224 pixels) in {percent(phantom['pointing'])}, and positive "
            f"evidence is {phantom['inside_ratio']:.1f} times as dense inside it as over the whole slice."
        )
    if deletion := found["deletion"]:
        hidden, other = deletion["evidence"], deletion["random"]
        told.append(
            f"Hiding the strongest evidence lowers the log-odds of suspicion by {hidden:.2f} on average, hiding the same area "
            f"at random by {other:.2f} ({how_many(deletion['slices'], 'slice')}, the most suspected with disease; a negative "
            "number is a rise)."
            + ("" if hidden > max(other, 0.0) else " So these maps do not show what the network relies on.")
        )
    return told


def served(metrics: Facts) -> str:
    """Which arithmetic the file computes in, and why, and whether it is served at all."""
    verdict = metrics["promotion"]
    if verdict and not verdict["served"]:
        return _ended(
            f"This model is not served: the champion stays. It would compute in {metrics['served']['precision']}: "
            f"{metrics['served']['reason'] or 'no reason recorded'}"
        )
    return _ended(f"Served in {metrics['served']['precision']}: {metrics['served']['reason'] or 'no reason recorded'}")


def promotion(metrics: Facts) -> str:
    """Whether this model is served from now on."""
    found = metrics["promotion"]
    return _ended(found["sentence"]) if found else "It was not compared with the model that is served."


def training(facts: Facts) -> list[str]:
    """How the classifier was trained: what it read, whether fine-tuning was worth it, whether decisions agree.

    Args:
        facts: as written to ``training_facts.json``.
    """
    features, agreement, fine_tuning = facts["features"], facts["agreement"], facts["fine_tuning"]
    views = features["augmentation"]["views"]
    by = features["computation"]
    sentences = [
        f"The frozen part of VGG16 was passed once for each of {features['slices']} slices"
        + (f" ({features['pictures']} pictures; of those to learn from, {views} changed views each)" if views else "")
        + f", computed in {by['precision']} by {ENGINES[by['engine']]}.",
        (
            f"Decisions from these activations and from the whole network in float32 are equal on "
            f"{100 * agreement['share']:.1f} % of {agreement['slices']} validation slices (largest difference of a "
            f"probability {agreement['largest_difference']:.4f})."
        ),
    ]
    return [
        *sentences,
        fine_tuning["sentence"] if fine_tuning else "No block of VGG16 was fine-tuned; the head alone learnt.",
    ]


def _found(metrics: Facts) -> tuple[int, int, int, int] | None:
    """Slices with disease suspected, of how many; without it alarmed, of how many. None without an operating point."""
    point = metrics["operating_point"]
    if point is None:
        return None
    counts = {name: row["slices"] for name, row in metrics["test"]["network"]["per_class"].items()}
    well = counts[point["negative"]]
    sick = sum(counts.values()) - well
    reached = [point["test"][name]["value"] or 0.0 for name in ("sensitivity", "specificity")]
    return round(reached[0] * sick), sick, well - round(reached[1] * well), well


def _answers(metrics: Facts) -> tuple[Counter[str], Counter[str]] | None:
    """How often each answer was given to slices with disease, and to those without; None where it was not counted."""
    point = metrics["operating_point"]
    if not point or not point.get("answers"):
        return None
    ill: Counter[str] = Counter()
    for name, given in point["answers"].items():
        if name != point["negative"]:
            ill.update(given)
    return ill, Counter(point["answers"].get(point["negative"], {}))


def _answered(given: tuple[Counter[str], Counter[str]], names: str, negative: str, counts: tuple[int, int]) -> str:
    ill, healthy = given
    parts = []
    if counts[0]:
        parts.append(
            f"of {how_many(counts[0], names + ' slice')} {ill['suspected']} suspected, {ill['clear']} cleared wrongly, "
            f"{ill['uncertain']} referred as uncertain and {ill['refused']} refused"
        )
    if counts[1]:
        parts.append(
            f"of {how_many(counts[1], negative + ' slice')} {healthy['clear']} cleared, {healthy['suspected']} suspected "
            f"wrongly, {healthy['uncertain']} referred and {healthy['refused']} refused"
        )
    return f"The answers that a reader would get: {'; '.join(parts)}."


def _right(metrics: Facts) -> int:
    test = metrics["test"]
    return round(float(test["network"]["accuracy"]) * int(test["slices"]))


def _complement(entry: Facts) -> str:
    """The share of false alarms of a specificity."""
    value, interval = entry["value"], dict(entry["interval"] or {"low": None, "high": None, "reason": "not measured"})
    if interval["low"] is not None:
        interval |= {"low": 1.0 - interval["high"], "high": 1.0 - interval["low"]}
    return share({"value": None if value is None else 1.0 - value, "interval": interval})


def _misses_target(point: Facts) -> str:
    """Whether the test contradicts the target; empty if not."""
    interval, target = point["test"]["sensitivity"]["interval"], point["target_sensitivity"]
    if not interval or interval["low"] is None or interval["high"] >= target:
        return ""
    return (
        f"The target of {percent(target)} lies above that interval: on unseen slices the operating point does not do what "
        "it was chosen for."
    )


def _refused(foreign: Facts) -> str:
    refused, pictures = (sum(kind[name] for kind in foreign.values()) for name in ("refused", "pictures"))
    return f"Refused: {refused:,} of {how_many(pictures, 'picture')} of kinds that it must not judge."


def _share_of(value: float | None) -> str:
    return "an unknown share" if value is None else percent(value)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."

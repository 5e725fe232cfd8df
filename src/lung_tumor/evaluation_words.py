"""An evaluation in plain sentences, for the report, the model card and the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lung_tumor.wording import how_many, listed, percent

ENGINES = {
    "keras": "Keras",
    "mnn": "MNN (Winograd convolutions)",
    "onnxruntime": "ONNX Runtime",
}

Facts = Mapping[str, Any]


def diseases(metrics: Facts) -> list[str]:
    """The classes that are to be suspected."""
    return [name for name in metrics["classes"] if name != metrics["operating_point"]["negative"]]


def share(entry: Facts) -> str:
    """``96 % (95 % interval 85 to 100 %)`` of a ``value`` in [0, 1] and its ``interval``; what is missing is named."""
    value, interval = entry["value"], entry["interval"]
    if value is None:
        return f"undefined ({interval['reason']})"
    if interval["low"] is None:
        return f"{percent(value)} (no interval: {interval['reason']})"
    known = f"; {interval['reason']}" if interval["reason"] else ""
    return f"{percent(value)} (95 % interval {100 * interval['low']:.0f} to {100 * interval['high']:.0f} %{known})"


def headline(metrics: Facts) -> str:
    """One line: how many were suspected and cleared wrongly, how many healthy ones cleared and alarmed.

    What readers are told, not what the threshold alone would say: some slices are referred or refused.
    """
    (ill, healthy), (sick, well) = _answers(metrics), _slices(metrics)
    names, negative = " or ".join(diseases(metrics)), metrics["operating_point"]["negative"]
    told = [f"{ill['suspected']} of {how_many(sick, names + ' slice')} suspected, {ill['clear']} cleared wrongly"]
    alarm = (
        f"{healthy['clear']} of {how_many(well, negative + ' slice')} cleared, {healthy['suspected']} suspected wrongly"
    )
    return "; ".join([*(told if sick else []), *([alarm] if well else [])])


def opening(metrics: Facts) -> list[str]:
    """The first paragraph: on how many independent pictures, what was reached, whether less would have done as well."""
    test, point = metrics["test"], metrics["operating_point"]
    by_class = listed([f"{count} {name}" for name, count in test["groups_by_class"].items()])
    of = f"On {how_many(test['slices'], 'picture')} of {how_many(test['groups'], 'independent group')} ({by_class})"
    (sick, well), reached = _slices(metrics), point["test"]
    names, negative = " or ".join(diseases(metrics)), point["negative"]
    parts = []
    if sick:
        found = round(reached["sensitivity"]["value"] * sick)
        above = f"gave {found} of {how_many(sick, names + ' slice')} a suspicion above the operating point"
        parts.append(f"{above}: {share(reached['sensitivity'])}")
    if well:
        alarms = well - round(reached["specificity"]["value"] * well)
        parts.append(f"{alarms} of {how_many(well, negative + ' slice')} too: {_complement(reached['specificity'])}")
    lacking = [text for text, count in ((names, sick), (negative, well)) if not count]
    return [
        f"{of} that it had never seen, the network {', and '.join(parts)}.",
        *(f"The test holds no {text}, so nothing can be said about it." for text in lacking),
        _answered(metrics),
        without_anatomy(metrics),
    ]


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
    if not metrics["promotion"]["served"]:
        found.insert(1 if audit["synthetic"] else 0, "The model judged here is not served: the champion stays.")
    if caution := metrics["operating_point"]["caution"]:
        found.append(_ended(f"Operating point: {caution}"))
    return found + [f"Undefined: {name}." for name in metrics["test"]["network"]["undefined"]]


def operating_point(metrics: Facts) -> list[str]:
    """Where suspicion begins, what that reaches, and when a slice is referred."""
    point = metrics["operating_point"]
    names, test = " or ".join(diseases(metrics)), point["test"]
    told = [
        (
            f"A slice is suspected of {names} from a suspicion of {point['threshold']:.3f} on; the suspicion is 1 "
            f"less the probability of {point['negative']}. This operating point was chosen on the validation "
            f"slices alone ({how_many(point['groups'], 'independent group')}) to suspect at least "
            f"{percent(point['target_sensitivity'])} of those with disease; there it reached a sensitivity of "
            f"{percent(point['sensitivity'])} and a specificity of {percent(point['specificity'])}."
        ),
        f"On the test slices: {_both(test)}.",
        *_beside_the_point(point["beside"]),
    ]
    if missed := _misses_target(point):
        told.append(missed)
    if point["low"] == point["high"]:
        told.append("There is no band of uncertainty around it: every slice is answered.")
    else:
        told.append(
            f"From {point['low']:.3f} to {point['high']:.3f} the answer is “uncertain: refer”. So it is for "
            f"{share(test['referred'])} of the test slices, and {share(test['refused'])} are refused; of the answers given to "
            f"the others, {_wrong(test['error_when_answered'])}."
        )
    return told + ([_ended(point["caution"][0].upper() + point["caution"][1:])] if point["caution"] else [])


def _both(reached: Facts) -> str:
    """Sensitivity and specificity, each with its interval."""
    return ", ".join(f"{name} {share(reached[name])}" for name in ("sensitivity", "specificity"))


def _wrong(entry: Facts) -> str:
    return "there are none" if entry["value"] is None else f"{share(entry)} are wrong"


def _beside_the_point(beside: Facts) -> list[str]:
    """What the threshold's figures are worth: the same of who knows no anatomy, and of who knows nothing."""
    trivial, fixed = beside["trivial"], beside["majority"]
    always = ", ".join(
        f"{name} {'undefined' if fixed[name]['value'] is None else percent(fixed[name]['value'])}"
        for name in ("sensitivity", "specificity")
    )
    return [
        f"Numbers that know no anatomy, with a threshold chosen on the same slices: {_both(trivial)}. Each picture is judged "
        "by numbers learnt from all others but its relatives, test pictures among them, and none is refused: that is in "
        "their favour. Their probabilities are not calibrated."
        if trivial
        else f"Numbers that know no anatomy have no figure beside them: {beside['trivial_reason']}.",
        f"Answering {beside['majority_class']}, the most frequent class, whatever is shown: {always}.",
    ]


def calibration(metrics: Facts) -> list[str]:
    """Whether probabilities mean what they say, and how far from it chance alone would take them."""
    found = metrics["calibration"]
    told = [f"Logits are divided by a temperature of {found['temperature']:.3f}, fitted on validation slices alone."]
    if found["reason"]:
        told.append(_ended(found["reason"]))
    changes = [
        f"{words} {found['before'][name]:.3f} before, {found['after'][name]:.3f} after"
        for name, words in (("calibration_error", "expected calibration error"), ("log_loss", "log loss"))
    ]
    told.append(f"On the test slices: {'; '.join(changes)} (both: smaller is better).")
    told.append(_by_chance(found["by_chance"]["test"], metrics["test"]["slices"]))
    pooled = found["cross_validation"]
    if pooled is not None:
        told.append(
            f"Of all pictures out of fold, each calibrated by a temperature from the other folds: expected calibration error "
            f"{pooled:.3f}."
        )
        slices = metrics["cross_validation"]["slices"]
        told.append(_by_chance(found["by_chance"]["cross_validation"], slices))
    return told


def _by_chance(chance: Facts, slices: int) -> str:
    """How to read a calibration error of so many slices."""
    return (
        f"A perfectly calibrated network as sure of its answers would by chance alone have an error of {chance['median']:.3f} "
        f"(median) on {slices:,} independent slices, and of more than {chance['high']:.3f} in 5 % of such samples: only an "
        "error beyond that speaks against the network."
    )


def novelty(metrics: Facts) -> list[str]:
    """When a picture is refused, and how that went."""
    found = metrics["novelty"]
    return [
        *_rule(found["rule"]),
        (
            f"Accepted: {percent(found['accepted_test'])} of the test slices, "
            f"{percent(found['accepted_held_out'])} of test and validation slices together; of their "
            f"{how_many(found['held_out_groups']['groups'], 'group')} all slices in {share(found['held_out_groups'])}. How the "
            "distance is measured was chosen with such slices and with pictures of the kinds below, so that these shares "
            "flatter."
        ),
        _refused(found["foreign"]),
    ]


def _rule(rule: Facts) -> list[str]:
    """The three things that refuse a picture, and what they cost among the training slices."""
    told = [
        (
            f"A picture is refused when it is farther than {rule['threshold']:.4f} (cosine distance of pooled VGG16 features) "
            f"from the {_ordinal(rule['neighbours'])} nearest of {rule['references']:,} training slices; when it is more like "
            "the mean of training slices turned upside down than like their mean; and when a display window has cut off too "
            f"much of it: more than {percent(rule['most_cut_off'], 1)} of the pixels that are not black equal both the one to "
            "the right and the one below."
        )
    ]
    least = percent(rule["acceptance"])
    alone = f"The distance alone accepts at least {least} of training slices, each judged without its own group"
    if not rule["learnt"]:
        return [*told, f"{alone}; the whole rule accepts fewer."]
    return [
        *told,
        (
            f"{alone}; the whole rule accepts {percent(rule['accepted'] / rule['learnt'])} ({rule['accepted']:,} of "
            f"{rule['learnt']:,}), and {how_many(rule['too_cut_off'], 'training slice')} would be refused for what is cut off."
        ),
    ]


def evidence(metrics: Facts) -> list[str]:
    """How the maps are made, and whether they show what they claim."""
    found = metrics["evidence"]
    told = [
        (
            "The maps are exact: each position's contribution to the class's logit, less the mean of the other "
            "classes' logits."
        )
        if found["kind"] == "exact"
        else f"The maps are made by {found['kind']}, an approximation: they need not sum to what the network computes."
    ]
    negative = metrics["operating_point"]["negative"]
    told[0] += f" Shown, and judged here, is what a map has above the mean map of training slices of {negative}."
    if phantom := found["phantom"]:
        told.append(
            f"On {how_many(phantom['slices'], 'synthetic slice')} with a mass at a known place, the strongest "
            f"evidence lies on the mass (within 8 of 224 pixels) in {percent(phantom['pointing'])}, and positive "
            f"evidence is {phantom['inside_ratio']:.1f} times as dense inside it as over the whole slice."
        )
    deletion = found["deletion"]
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
    how = _ended(f"{metrics['served']['precision']}: {metrics['served']['reason']}")
    if metrics["promotion"]["served"]:
        return f"Served in {how}"
    return f"This model is not served: the champion stays. It would compute in {how}"


def not_served(metrics: Facts) -> str:
    """What must stand above all else where this model is not the one that is served; empty where it is."""
    if metrics["promotion"]["served"]:
        return ""
    told = "NOT SERVED. All that follows is about a candidate that was refused; the champion stays served"
    champion = metrics["promotion"]["champion"]
    made = f", trained {champion['created']}" if champion["created"] else ""
    return (
        f"{told}: version {champion['version'] or 'not recorded'}{made}, from {champion['source']}, the file "
        f"data/06_models/classifier.onnx with the SHA-256 {champion['digest']}. Its own figures travel with it: `make serve` "
        "shows them under About the model."
    )


def promotion(metrics: Facts) -> str:
    """Whether this model is served from now on."""
    return _ended(metrics["promotion"]["sentence"])


def training(facts: Facts) -> list[str]:
    """How the classifier was trained: what it read, whether fine-tuning was worth it, whether decisions agree.

    Args:
        facts: as written to ``training_facts.json``.
    """
    features, agreement, fine_tuning = facts["features"], facts["agreement"], facts["fine_tuning"]
    views = features["augmentation"]["views"]
    by, views_by = features["computation"], features["views_computation"]
    sentences = [
        f"The frozen part of VGG16 was passed once for each of {features['slices']} slices"
        + (f" ({features['pictures']} pictures; of those to learn from, {views} changed views each)" if views else "")
        + f", computed in {by['precision']} by {ENGINES[by['engine']]}"
        + (
            f", changed views in {views_by['precision']} by {ENGINES[views_by['engine']]}"
            if views and views_by != by
            else ""
        )
        + ".",
        _agreement(agreement),
    ]
    return [
        *sentences,
        fine_tuning["sentence"] if fine_tuning else "No block of VGG16 was fine-tuned; the head alone learnt.",
    ]


def _agreement(agreement: Facts) -> str:
    """Whether decisions are those of the whole network in float32."""
    if not agreement["slices"]:
        return "The whole network computes these activations in the same way, by Keras in float32: nothing is there to compare."
    return (
        f"Decisions from these activations and from the whole network in float32 are equal on "
        f"{100 * agreement['share']:.1f} % of {agreement['slices']} validation slices (largest difference of a "
        f"probability {agreement['largest_difference']:.4f})."
    )


def _slices(metrics: Facts) -> tuple[int, int]:
    """Test slices with disease, and without."""
    counts = {name: row["slices"] for name, row in metrics["test"]["network"]["per_class"].items()}
    well = counts.pop(metrics["operating_point"]["negative"])
    return sum(counts.values()), well


def _answers(metrics: Facts) -> tuple[Counter[str], Counter[str]]:
    """How often each answer was given to slices with disease, and to those without."""
    point = metrics["operating_point"]
    ill: Counter[str] = Counter()
    for name, given in point["answers"].items():
        if name != point["negative"]:
            ill.update(given)
    return ill, Counter(point["answers"].get(point["negative"], {}))


def _answered(metrics: Facts) -> str:
    (ill, healthy), (sick, well) = _answers(metrics), _slices(metrics)
    names, negative = " or ".join(diseases(metrics)), metrics["operating_point"]["negative"]
    parts = []
    if sick:
        parts.append(
            f"of {how_many(sick, names + ' slice')} {ill['suspected']} suspected, {ill['clear']} cleared wrongly, "
            f"{ill['uncertain']} referred as uncertain and {ill['refused']} refused"
        )
    if well:
        parts.append(
            f"of {how_many(well, negative + ' slice')} {healthy['clear']} cleared, {healthy['suspected']} suspected "
            f"wrongly, {healthy['uncertain']} referred and {healthy['refused']} refused"
        )
    return f"The answers that a reader would get: {'; '.join(parts)}."


def _complement(entry: Facts) -> str:
    """The share of false alarms of a specificity."""
    value, interval = entry["value"], entry["interval"]
    if interval["low"] is not None:
        interval = {**interval, "low": 1.0 - interval["high"], "high": 1.0 - interval["low"]}
    return share({"value": 1.0 - value, "interval": interval})


def _misses_target(point: Facts) -> str:
    """Whether the test contradicts the target; empty if not."""
    interval, target = point["test"]["sensitivity"]["interval"], point["target_sensitivity"]
    if interval["low"] is None or interval["high"] >= target:
        return ""
    return (
        f"The target of {percent(target)} lies above that interval: on unseen slices the operating point does not do what "
        "it was chosen for."
    )


def _refused(foreign: Facts) -> str:
    refused, pictures = (sum(kind[name] for kind in foreign.values()) for name in ("refused", "pictures"))
    return f"Refused: {refused:,} of {how_many(pictures, 'picture')} of kinds that it must not judge."


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."

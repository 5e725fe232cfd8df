"""An evaluation in plain sentences."""

from __future__ import annotations

from typing import Any

import pytest

from lung_tumor import evaluation_words as words
from lung_tumor.agreement import NOTHING_TO_COMPARE
from tests.support.data_sets import facts_of, small
from tests.support.evaluations import COMPARISON, evaluation, predicted, refused
from tests.support.training_facts import TRAINING

AUDIT = facts_of(small())


def metrics(classes: int = 2, **given: Any) -> dict[str, Any]:
    return evaluation(predicted(classes), draws=20, **given)


def reached(**given: float | None) -> dict[str, Any]:
    """Metrics of a test that reached these shares, each with an interval of 0.1 around it."""
    found = metrics()
    for name, value in given.items():
        ends = {"low": None, "high": None, "reason": "too few"} if value is None else _ends(value)
        found["operating_point"]["test"][name] |= {"value": value, "interval": ends}
    return found


def _ends(value: float) -> dict[str, Any]:
    return {"low": round(value - 0.1, 3), "high": round(min(1.0, value + 0.1), 3), "reason": ""}


def test_the_opening_counts_what_lies_above_the_operating_point() -> None:
    found = reached(sensitivity=28 / 30, specificity=27 / 30)
    told = " ".join(words.opening(found))
    assert (
        "gave 28 of 30 adenocarcinoma slices a suspicion above the operating point: 93 % (95 % interval 83 to" in told
    )
    assert "and 3 of 30 normal slices too: 10 % (95 % interval 0 to 20 %)" in told


def test_the_headline_counts_the_answers_that_readers_get() -> None:
    found = metrics()
    found["operating_point"]["answers"] = {
        "adenocarcinoma": {"suspected": 26, "clear": 1, "uncertain": 2, "refused": 1},
        "normal": {"clear": 24, "suspected": 2, "uncertain": 4},
    }
    assert words.headline(found) == (
        "26 of 30 adenocarcinoma slices suspected, 1 cleared wrongly; 24 of 30 normal slices cleared, 2 suspected wrongly"
    )
    assert (
        "of 30 adenocarcinoma slices 26 suspected, 1 cleared wrongly, 2 referred as uncertain and 1 refused; of 30 normal "
        "slices 24 cleared, 2 suspected wrongly, 4 referred and 0 refused."
    ) in " ".join(words.opening(found))


def test_a_model_that_is_not_served_is_not_called_served() -> None:
    found = metrics()
    found["promotion"] = found["promotion"] | {"promoted": False, "served": False}
    assert words.served(found).startswith("This model is not served: the champion stays.")
    assert "The model judged here is not served: the champion stays." in words.caveats(found, AUDIT)


def test_what_is_not_served_says_which_model_is() -> None:
    assert words.not_served(metrics()) == ""
    told = words.not_served(refused(metrics()))
    assert told.startswith("NOT SERVED.")
    for fact in ("version 9.8.6", "trained 2026-01-02T03:04:05+00:00", "old slices", "cafe", "make serve"):
        assert fact in told


def test_a_test_without_one_side_says_so() -> None:
    found = reached(specificity=None)
    found["test"]["network"]["per_class"]["normal"]["slices"] = 0
    assert "normal" not in words.headline(found)
    assert "The test holds no normal, so nothing can be said about it." in words.opening(found)


@pytest.mark.parametrize(
    ("trivial", "clearly", "text"),
    [(0.75, True, "do clearly worse"), (0.9, False, "do not clearly worse"), (0.96, False, "do at least as well")],
)
def test_numbers_without_anatomy_are_set_beside_the_network(trivial: float, clearly: bool, text: str) -> None:
    found = metrics()
    found["shortcuts"]["test"] = COMPARISON | {"trivial": {"auc": trivial}, "clearly_above": clearly}
    sentence = words.without_anatomy(found)
    assert text in sentence
    assert f"ROC AUC {trivial:.2f} against 0.93" in sentence
    assert ("So nothing here proves" in sentence) != clearly


def test_every_warning_of_the_audit_is_a_caveat() -> None:
    assert AUDIT["warnings"]
    assert words.caveats(metrics(), AUDIT) == AUDIT["warnings"]


def test_a_network_no_better_than_numbers_is_the_first_caveat_but_for_synthetic_slices() -> None:
    weak = metrics()
    weak["shortcuts"] = {**weak["shortcuts"], "test": COMPARISON | {"clearly_above": False, "sentence": "Weak."}}
    assert words.caveats(weak, AUDIT)[0] == "Weak."
    drawn = {**AUDIT, "synthetic": True, "warnings": ["Synthetic.", *AUDIT["warnings"]]}
    assert words.caveats(weak, drawn)[:2] == ["Synthetic.", "Weak."]


def test_cautions_and_undefined_figures_are_caveats() -> None:
    found = metrics()
    found["operating_point"]["caution"] = "chosen on 2 groups"
    found["test"]["network"]["undefined"] = ["precision of normal: never predicted"]
    assert words.caveats(found, AUDIT)[-2:] == [
        "Operating point: chosen on 2 groups.",
        "Undefined: precision of normal: never predicted.",
    ]


def test_the_operating_point_stands_beside_what_needs_no_network() -> None:
    found = metrics()
    beside = found["operating_point"]["beside"]
    told = words.operating_point(found)
    trivial = ", ".join(f"{name} {words.share(beside['trivial'][name])}" for name in ("sensitivity", "specificity"))
    sentence = f"Numbers that know no anatomy, with a threshold chosen on the same slices: {trivial}. "
    assert any(text.startswith(sentence) for text in told)
    always = "Answering adenocarcinoma, the most frequent class, whatever is shown: sensitivity 100 %, specificity 0 %."
    assert always in told
    beside |= {"trivial": None, "trivial_reason": "too few independent groups"}
    beside["majority"]["specificity"]["value"] = None
    told = words.operating_point(found)
    assert "Numbers that know no anatomy have no figure beside them: too few independent groups." in told
    assert any(text.endswith("sensitivity 100 %, specificity undefined.") for text in told)


def test_the_operating_point_says_when_the_test_contradicts_its_target() -> None:
    assert not any("lies above" in text for text in words.operating_point(reached(sensitivity=0.9)))
    (missed,) = [text for text in words.operating_point(reached(sensitivity=0.7)) if "lies above" in text]
    assert "The target of 95 %" in missed
    assert not any("lies above" in text for text in words.operating_point(reached(sensitivity=None)))


def test_a_point_without_a_band_answers_every_slice() -> None:
    found = metrics()
    found["operating_point"] |= {"low": 0.4, "high": 0.4}
    assert "There is no band of uncertainty around it: every slice is answered." in words.operating_point(found)


def test_the_maps_shown_are_not_called_the_exact_ones() -> None:
    # What is shown lacks the mean map, so that it does not sum to the logit.
    for kind in ("exact", "Grad-CAM"):
        found = metrics()
        found["evidence"] = found["evidence"] | {"kind": kind}
        assert words.evidence(found)[0].endswith("is what a map has above the mean map of training slices of normal.")


def test_evidence_that_hides_nothing_is_called_that() -> None:
    found = metrics()
    found["evidence"] = {
        "kind": "Grad-CAM",
        "phantom": None,
        "deletion": {"evidence": 0.01, "random": 0.02, "slices": 9},
    }
    told = words.evidence(found)
    assert "made by Grad-CAM, an approximation" in told[0]
    assert told[1].endswith("So these maps do not show what the network relies on.")
    assert len(told) == 2


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")]
)
def test_neighbours_are_counted_in_words(number: int, text: str) -> None:
    found = metrics()
    found["novelty"]["rule"] = found["novelty"]["rule"] | {"neighbours": number}
    assert f"from the {text} nearest of 140" in words.novelty(found)[0]


def test_every_way_to_be_refused_is_told_with_what_the_whole_rule_accepts() -> None:
    rule, cost, accepted, _ = words.novelty(metrics())
    assert "farther than 0.0421 (cosine distance" in rule
    assert "training slices turned upside down than like their mean" in rule
    assert "more than 21.7 % of the pixels that are not black" in rule
    assert cost == (
        "The distance alone accepts at least 97 % of training slices, each judged without its own group; the whole rule "
        "accepts 92 % (138 of 150), and 3 training slices would be refused for what is cut off."
    )
    assert "of their 57 groups all slices in 95 % (95 % interval 85 to 99 %; exact interval of 57 groups)" in accepted


def test_of_a_file_that_does_not_know_it_no_acceptance_of_the_whole_rule_is_claimed() -> None:
    found = metrics()
    found["novelty"]["rule"] = found["novelty"]["rule"] | {"learnt": 0, "accepted": 0, "too_cut_off": 0}
    assert words.novelty(found)[1].endswith("without its own group; the whole rule accepts fewer.")


def test_undefined_shares_are_named() -> None:
    none = {"low": None, "high": None, "reason": "no slice to measure it on"}
    assert words.share({"value": None, "interval": none}) == "undefined (no slice to measure it on)"
    assert words.share({"value": 0.5, "interval": {"low": None, "reason": "a single group"}}) == (
        "50 % (no interval: a single group)"
    )


def test_what_to_know_about_an_interval_is_told_beside_its_ends() -> None:
    exact = {"low": 0.782, "high": 1.0, "reason": "exact interval, as all slices of 15 groups agree"}
    told = "(95 % interval 78 to 100 %; exact interval, as all slices of 15 groups agree)"
    assert words.share({"value": 1.0, "interval": exact}) == f"100 % {told}"
    found = metrics()
    found["operating_point"]["test"]["specificity"] |= {"value": 1.0, "interval": exact}
    assert "0 % (95 % interval 0 to 22 %; exact interval, as all slices of 15 groups agree" in words.opening(found)[0]


def test_the_calibration_error_stands_beside_that_of_a_calibrated_network_by_chance() -> None:
    found = metrics()
    told = words.calibration(found)
    assert told[-1].startswith(
        "A perfectly calibrated network as sure of its answers would by chance alone have an error of 0.048 (median) on 60 "
        "independent slices, and of more than 0.093 in 5 % of such samples"
    )
    found["cross_validation"] = {"slices": 1234}
    found["calibration"] |= {"cross_validation": 0.021}
    found["calibration"]["by_chance"]["cross_validation"] = {"median": 0.012, "high": 0.02}
    told = words.calibration(found)
    assert told[-2].endswith("expected calibration error 0.021.")
    assert "0.012 (median) on 1,234 independent slices, and of more than 0.020 in 5 %" in told[-1]


def test_training_is_told_in_words() -> None:
    told = words.training(TRAINING)
    assert "passed once for each of 18 slices, computed in float32 by MNN (Winograd convolutions)." in told[0]
    assert "equal on 100.0 % of 4 validation slices (largest difference of a probability 0.0003)." in told[1]
    assert told[2] == "No block of VGG16 was fine-tuned; the head alone learnt."
    by_keras = TRAINING | {"agreement": NOTHING_TO_COMPARE}
    assert words.training(by_keras)[1].endswith("in the same way, by Keras in float32: nothing is there to compare.")
    features = TRAINING["features"] | {"augmentation": {"views": 2}, "slices": 42, "pictures": 18}
    told = words.training({**TRAINING, "features": features, "fine_tuning": {"sentence": "It did harm."}})
    assert (
        "42 slices (18 pictures; of those to learn from, 2 changed views each), computed in float32 by MNN" in told[0]
    )
    assert told[0].endswith("changed views in int8 by ONNX Runtime.")
    assert told[2] == "It did harm."

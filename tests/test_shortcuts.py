"""What a model without anatomy knows, on planted shortcuts and without any."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from lung_tumor import imaging, phantom, trivial
from lung_tumor.errors import LeakError
from lung_tumor.shortcuts import ComparisonOptions, ShortcutOptions, audit_shortcuts, compare_with_network

FAST = ShortcutOptions(draws=100, trees=20)
DRAWS = ComparisonOptions(draws=100)
NAMES = ("mean", "deviation", "percentile_5", "percentile_50", "percentile_95", "black_share")


def table(labels: list[str], seed: int = 0, groups: list[str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows in five grouped folds, and numbers that know nothing."""
    rows = pd.DataFrame({"pixels": [f"p{row}" for row in range(len(labels))], "label": labels})
    rows["group"] = groups or [f"g{row}" for row in range(len(labels))]
    rows["fold"] = rows["group"].map({name: place % 5 for place, name in enumerate(sorted(set(rows["group"])))})
    values = np.random.default_rng(seed).normal(100.0, 20.0, (len(labels), len(NAMES)))
    return rows, pd.DataFrame(values, columns=list(NAMES))


def balanced(count: int = 120) -> list[str]:
    return [("sick", "well")[int(coin)] for coin in np.random.default_rng(8).integers(2, size=count)]


def audit(rows: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame, seed: int = 1) -> dict[str, Any]:
    return audit_shortcuts(before, after, rows, FAST, seed)[0]


def test_a_planted_number_is_found_and_gone_after_preparation() -> None:
    rows, noise = table(balanced())
    planted = noise.assign(deviation=noise["deviation"] - 80.0 * (rows["label"] == "well"))
    facts = audit(rows, planted, noise)
    assert facts["before"]["auc"] > 0.95
    assert facts["before"]["interval"]["low"] > 0.9
    assert facts["before"]["best"] == {
        "name": "deviation",
        "words": "the contrast (standard deviation of the grey values)",
        "auc": pytest.approx(1.0, abs=0.01),
        "higher_in": "sick",
    }
    assert 0.35 < facts["after"]["auc"] < 0.65
    assert facts["warning"] is True
    assert (facts["pictures"], facts["groups"], facts["classes"]) == (120, 120, ["sick", "well"])


@pytest.mark.parametrize(
    "plant",
    [
        lambda sick, rng: {"format": np.where(sick, "PNG", "JPEG")},
        # No threshold on the width tells the two apart, and no straight line either.
        lambda sick, rng: {"width": np.where(sick, 512.0, rng.choice([300.0, 400.0, 600.0, 900.0], len(sick)))},
        # A bright corner, seen by the thumbnail alone.
        lambda sick, rng: {
            f"thumb_{place:02d}": rng.normal(50.0, 5.0, len(sick)) + 40.0 * sick * (place in (0, 1, 8, 9))
            for place in range(64)
        },
    ],
    ids=["format", "width", "thumbnail"],
)
def test_shortcuts_of_any_kind_are_found(plant: Any) -> None:
    rows, noise = table(balanced())
    planted = plant((rows["label"] == "sick").to_numpy(), np.random.default_rng(3))
    facts = audit(rows, noise.assign(**planted), noise)
    assert facts["before"]["auc"] > 0.9


def test_shuffled_labels_are_not_told_apart() -> None:
    rows, noise = table(balanced(300), seed=4)
    planted = noise.assign(mean=noise["mean"] + 100.0 * (rows["label"] == "well"))
    for turn in range(3):
        shuffled = rows.assign(label=rows["label"].sample(frac=1, random_state=turn).to_numpy())
        facts = audit(shuffled, planted, noise)
        assert 0.4 < facts["before"]["auc"] < 0.6
        assert 0.4 < facts["after"]["auc"] < 0.6
        assert facts["warning"] is False


def test_copies_in_one_group_are_not_learnt_by_heart() -> None:
    # Ten pictures, each ten times: a classifier that sees copies of what it is asked would know every label.
    pictures = [f"g{picture}" for picture in range(40) for _ in range(5)]
    labels = [("sick", "well")[picture % 2] for picture in range(40) for _ in range(5)]
    rows, noise = table(labels, groups=pictures)
    copies = noise.iloc[::5].loc[np.repeat(noise.index[::5], 5)].reset_index(drop=True)
    facts = audit(rows, copies, copies)
    assert facts["before"]["auc"] < 0.7
    interval = facts["before"]["interval"]
    alone = audit(rows.assign(group=rows["pixels"]), copies, copies)["before"]["interval"]
    assert interval["high"] - interval["low"] > 1.4 * (alone["high"] - alone["low"])


def test_three_classes_have_a_mean_auc() -> None:
    labels = ["a", "b", "c"] * 40
    rows, noise = table(labels)
    planted = noise.assign(mean=noise["mean"] + pd.Series(labels).map({"a": 0.0, "b": 200.0, "c": 400.0}))
    facts, probabilities = audit_shortcuts(planted, noise, rows, FAST, 1)
    assert facts["before"]["auc"] > 0.95
    # The class in the middle is above one and below the other: half of it is ranked wrongly by the mean alone.
    assert facts["before"]["best"]["auc"] == pytest.approx((1 + 0.5 + 1) / 3, abs=0.05)
    assert facts["before"]["best"]["higher_in"] is None
    assert "with a mean AUC of" in facts["sentence"]
    assert np.allclose(probabilities[["before_a", "before_b", "before_c"]].sum(axis=1), 1.0)


def test_the_sentence_says_both_figures() -> None:
    rows, noise = table(balanced())
    facts = audit(rows, noise, noise)
    before, interval = facts["before"]["auc"], facts["before"]["interval"]
    assert facts["sentence"] == (
        "Numbers that know no anatomy (size, brightness, a tiny thumbnail) tell the classes apart with AUC "
        f"{before:.2f} ({interval['low']:.2f} to {interval['high']:.2f}) before preparation, "
        f"{before:.2f} ({interval['low']:.2f} to {interval['high']:.2f}) after it."
    )


def test_the_warning_starts_at_the_bound_on_either_side_of_preparation() -> None:
    rows, noise = table(balanced())
    planted = noise.assign(mean=noise["mean"] + 30.0 * (rows["label"] == "well"))
    auc = audit(rows, noise, planted)["after"]["auc"]
    at, above = ShortcutOptions(auc, 100, 20), ShortcutOptions(np.nextafter(auc, 1.0).item(), 100, 20)
    assert audit_shortcuts(noise, planted, rows, at, 1)[0]["warning"] is True
    assert audit_shortcuts(noise, planted, rows, above, 1)[0]["warning"] is False


def test_probabilities_stand_beside_their_pictures_and_give_the_auc() -> None:
    rows, noise = table(balanced())
    facts, found = audit_shortcuts(noise, noise, rows.set_index(np.arange(120)[::-1]), FAST, 1)
    assert found.columns.tolist() == [
        *("pixels", "label", "group"),
        *("before_sick", "before_well", "after_sick", "after_well"),
    ]
    assert found["pixels"].tolist() == rows["pixels"].tolist()
    compared = compare_with_network(
        (found["label"] == "well").to_numpy().astype(np.int64),
        found["group"].tolist(),
        np.full((120, 2), 0.5),
        found[["after_sick", "after_well"]].to_numpy(),
        ("sick", "well"),
        DRAWS,
        1,
    )
    assert compared["trivial"] == {"auc": facts["after"]["auc"], "interval": facts["after"]["interval"]}


def test_the_same_seed_gives_the_same_audit_and_changes_nothing_given() -> None:
    rows, noise = table(balanced())
    copies = rows.copy(), noise.copy()
    first, again = audit_shortcuts(noise, noise, rows, FAST, 1), audit_shortcuts(noise, noise, rows, FAST, 1)
    assert first[0] == again[0]
    pd.testing.assert_frame_equal(first[1], again[1])
    assert audit(rows, noise, noise, seed=2)["before"]["auc"] != first[0]["before"]["auc"]
    pd.testing.assert_frame_equal(rows, copies[0])
    pd.testing.assert_frame_equal(noise, copies[1])
    assert json.loads(json.dumps(first[0])) == first[0]


def one_class(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(label="sick")


def one_group(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(label=np.where(rows["group"] == "g0", "well", "sick"))


def one_fold(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(label=np.where(rows["fold"] == 2, "well", "sick"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (one_class, "1 class(es): there is nothing to tell apart"),
        (one_group, "too few independent groups (well: 1; 8 are needed)"),
        (one_fold, "well: all pictures in one fold, so that none can be learnt when it is held out"),
        (
            lambda rows: rows.assign(fold=0),
            "sick, well: all pictures in one fold, so that none can be learnt when it is",
        ),
        (lambda rows: rows[:0], "0 class(es): there is nothing to tell apart"),
    ],
)
def test_what_cannot_be_said_has_a_reason_and_no_figure(change: Any, reason: str) -> None:
    rows, noise = table(balanced(40))
    rows = change(rows)
    noise = noise[: len(rows)]
    facts, found = audit_shortcuts(noise, noise, rows, FAST, 1)
    for stage in ("before", "after"):
        assert facts[stage]["auc"] is None
        assert facts[stage]["best"] is None
        assert facts[stage]["interval"]["low"] is None
        assert facts[stage]["reason"].startswith(reason)
    assert facts["warning"] is False
    assert reason in facts["sentence"]
    assert found.drop(columns=["pixels", "label", "group"]).isna().all(axis=None)
    assert json.loads(json.dumps(facts)) == facts


def test_a_fold_that_lacks_a_class_is_no_obstacle() -> None:
    rows, noise = table(balanced())
    rows.loc[(rows["label"] == "well") & (rows["fold"] == 0), "fold"] = 1
    planted = noise.assign(mean=noise["mean"] + 100.0 * (rows["label"] == "well"))
    assert audit(rows, planted, noise)["before"]["auc"] > 0.9


def test_a_group_in_two_folds_is_a_leak() -> None:
    rows, noise = table(balanced(40))
    rows.loc[1, "group"] = "g0"
    with pytest.raises(LeakError, match=r"1 group\(s\) stand in more than one fold, such as 'g0'"):
        audit(rows, noise, noise)


def test_tables_that_do_not_fit_are_named() -> None:
    rows, noise = table(balanced(40))
    with pytest.raises(ValueError, match=r"before needs one row a picture, 40, and a column, received \(39, 6\)"):
        audit(rows, noise[1:], noise)
    with pytest.raises(ValueError, match=r"after needs one row a picture, 40, and a column, received \(40, 0\)"):
        audit(rows, noise, noise[[]])
    with pytest.raises(ValueError, match="lacking: fold"):
        audit(rows.drop(columns="fold"), noise, noise)
    with pytest.raises(ValueError, match="fold must be whole numbers, received the type float64"):
        audit(rows.assign(fold=0.5), noise, noise)
    with pytest.raises(ValueError, match="after: column 'mean' holds values that are not finite"):
        audit(rows, noise, noise.assign(mean=np.inf))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"warn_at": 0.3}, r"shortcuts\.warn_at must lie in \[0\.5, 1\], received 0\.3"),
        ({"draws": 10}, r"shortcuts\.draws must lie in \[100, 100000\], received 10"),
        ({"trees": 0}, r"shortcuts\.trees must lie in \[10, 2000\], received 0"),
        ({"leaf": 0}, r"shortcuts\.leaf must lie in \[1, 100\], received 0"),
        ({"draws": "many"}, r"shortcuts\.draws must be a whole number, received 'many'"),
    ],
)
def test_impossible_options_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShortcutOptions(**values)


# --- Beside the network -----------------------------------------------------------------------------------------------


def probabilities(labels: np.ndarray, strength: float, seed: int) -> np.ndarray:
    score = 1.0 / (1.0 + np.exp(-strength * (labels - 0.5) - np.random.default_rng(seed).normal(size=len(labels))))
    return np.stack([1.0 - score, score], axis=1)


def compare(network: float, known: float, groups: list[str] | None = None, seed: int = 1) -> dict[str, Any]:
    labels = np.arange(200) % 2
    return compare_with_network(
        labels,
        groups or [str(row) for row in range(200)],
        probabilities(labels, network, 1),
        probabilities(labels, known, 2),
        ("sick", "well"),
        ComparisonOptions(draws=300),
        seed,
    )


def test_a_network_that_knows_more_is_clearly_above() -> None:
    facts = compare(4.0, 0.5)
    assert facts["clearly_above"] is True
    assert facts["difference"]["value"] == pytest.approx(facts["network"]["auc"] - facts["trivial"]["auc"])
    assert facts["difference"]["interval"]["low"] > 0
    assert facts["sentence"].startswith(f"The network (AUC {facts['network']['auc']:.2f} (")
    assert "is clearly above numbers that know no anatomy" in facts["sentence"]


@pytest.mark.parametrize(("network", "known"), [(2.0, 2.0), (0.5, 4.0)])
def test_a_network_that_knows_no_more_is_not_clearly_above(network: float, known: float) -> None:
    facts = compare(network, known)
    assert facts["clearly_above"] is False
    assert facts["difference"]["interval"]["low"] < 0
    assert "is not clearly above" in facts["sentence"]


def test_the_same_model_differs_from_itself_by_nothing_because_draws_are_paired() -> None:
    labels = np.arange(60) % 2
    same = probabilities(labels, 1.0, 3)
    facts = compare_with_network(labels, [str(row) for row in range(60)], same, same, ("sick", "well"), DRAWS, 1)
    assert facts["difference"]["value"] == 0.0
    assert facts["difference"]["interval"]["reason"].startswith("every draw gave the same")
    assert facts["clearly_above"] is False
    assert facts["network"]["interval"]["low"] < facts["network"]["auc"] < facts["network"]["interval"]["high"]


def test_groups_of_copies_widen_the_difference() -> None:
    def width(facts: dict[str, Any]) -> float:
        return facts["difference"]["interval"]["high"] - facts["difference"]["interval"]["low"]

    labels = np.repeat(np.arange(40) % 2, 5)
    network, known = (np.repeat(probabilities(labels[::5], 1.0, seed), 5, axis=0) for seed in (1, 2))

    def run(groups: list[str]) -> dict[str, Any]:
        return compare_with_network(labels, groups, network, known, ("sick", "well"), ComparisonOptions(draws=200), 1)

    assert width(run([str(row // 5) for row in range(200)])) > 1.5 * width(run([str(row) for row in range(200)]))


def test_the_comparison_is_the_same_for_a_seed_and_plain_json() -> None:
    facts = compare(2.0, 1.0)
    assert compare(2.0, 1.0) == facts == json.loads(json.dumps(facts))
    assert compare(2.0, 1.0, seed=2)["difference"]["interval"] != facts["difference"]["interval"]


@pytest.mark.parametrize(
    ("labels", "classes", "reason"),
    [
        ([0, 0, 0], ("sick", "well"), "well: no picture"),
        ([0, 0, 0], ("sick",), "1 class(es): there is nothing to tell apart"),
        ([], ("sick", "well"), "sick, well: no picture"),
    ],
)
def test_what_cannot_be_compared_has_a_reason(labels: list[int], classes: tuple[str, ...], reason: str) -> None:
    even = np.full((len(labels), len(classes)), 1 / len(classes))
    given = np.array(labels, dtype=np.int64)
    facts = compare_with_network(given, [str(row) for row in range(len(labels))], even, even, classes, DRAWS, 1)
    assert facts["network"]["auc"] is facts["difference"]["value"] is facts["difference"]["interval"]["low"] is None
    assert facts["clearly_above"] is False
    assert facts["reason"].startswith(reason)
    assert reason in facts["sentence"]


def test_of_few_groups_the_figures_stand_without_intervals() -> None:
    known = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    facts = compare_with_network(np.array([0, 0, 1]), ["a", "b", "c"], known, known[::-1], ("sick", "well"), DRAWS, 1)
    assert (facts["network"]["auc"], facts["trivial"]["auc"]) == (1.0, 0.0)
    assert facts["network"]["interval"]["low"] is facts["difference"]["interval"]["low"] is None
    assert facts["clearly_above"] is False
    reason = "class sick has 2 groups, class well has 1 group; an interval needs 5"
    assert facts["reason"] == reason
    assert facts["sentence"].count(reason) == 1
    assert facts["sentence"].endswith(f"the difference from chance is 0.50 (no intervals: {reason}).")


def test_a_network_at_chance_is_not_above_numbers_below_chance() -> None:
    labels = np.arange(200) % 2
    contrary = probabilities(labels, -1.5, 2)
    facts = compare_with_network(
        labels, [str(row) for row in range(200)], probabilities(labels, 0.1, 1), contrary, ("sick", "well"), DRAWS, 1
    )
    assert facts["trivial"]["auc"] < 0.4 < facts["network"]["auc"]
    assert facts["difference"]["value"] == pytest.approx(facts["network"]["auc"] - 0.5)
    assert facts["clearly_above"] is False
    assert "the difference from chance is" in facts["sentence"]


@pytest.mark.parametrize("each", [2, 7])
def test_too_few_groups_are_no_measurement(each: int) -> None:
    rows = pd.DataFrame(
        {
            "pixels": [str(row) for row in range(each + 60)],
            "label": ["few"] * each + ["many"] * 60,
            "group": [str(row) for row in range(each + 60)],
            "fold": np.arange(each + 60) % 5,
        }
    )
    numbers = pd.DataFrame({"width": [512.0] * each + [300.0] * 60})
    facts, scores = audit_shortcuts(numbers, numbers, rows, FAST, seed=1)
    assert facts["before"]["auc"] is None
    assert f"too few independent groups (few: {each}; 8 are needed)" in facts["sentence"]
    assert scores["before_few"].isna().all()


def test_pictures_without_probabilities_cannot_be_compared() -> None:
    labels = np.arange(8) % 2
    even = np.full((8, 2), 0.5)
    lacking = even.copy()
    lacking[3] = np.nan
    facts = compare_with_network(labels, [str(row) for row in range(8)], even, lacking, ("sick", "well"), DRAWS, 1)
    assert facts["reason"] == "some pictures have no probability"


def test_the_reason_why_numbers_without_anatomy_are_missing_is_the_audit_s() -> None:
    labels, lacking = np.arange(8) % 2, np.full((8, 2), np.nan)
    reason = "too few independent groups (sick: 2; 8 are needed)"
    names = [str(row) for row in range(8)]
    facts = compare_with_network(labels, names, np.full((8, 2), 0.5), lacking, ("sick", "well"), DRAWS, 1, reason)
    assert facts["reason"] == f"of numbers without anatomy: {reason}"
    assert reason in facts["sentence"]


def test_arrays_of_another_shape_are_named() -> None:
    with pytest.raises(ValueError, match=r"trivial must have shape \(2, 2\), received \(2, 3\)"):
        compare_with_network(
            np.array([0, 1]), ["a", "b"], np.full((2, 2), 0.5), np.full((2, 3), 0.3), ("x", "y"), DRAWS, 1
        )


# --- The phantom ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261123, 7, 77, 78])
def test_the_phantom_gives_nothing_away(seed: int) -> None:
    options = phantom.PhantomOptions(seed=seed)
    before, after, labels = [], [], []
    for index in range(options.slices):
        drawn = phantom.draw_slice(index, options)
        buffer = io.BytesIO()
        Image.fromarray(drawn.pixels).save(buffer, "PNG", compress_level=1)
        before.append(trivial.of_file(buffer.tell(), imaging.decode(buffer.getvalue())))
        after.append(trivial.of_prepared(imaging.prepare(drawn.pixels, imaging.PreparationOptions())))
        labels.append(drawn.label)
    rows, _ = table(labels)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(rows, rows["label"], rows["group"])
    for fold, (_, held_out) in enumerate(folds):
        rows.loc[held_out, "fold"] = fold
    facts, _ = audit_shortcuts(pd.DataFrame(before), pd.DataFrame(after), rows, ShortcutOptions(), seed)
    assert 0.40 <= facts["before"]["auc"] <= 0.60
    assert 0.40 <= facts["after"]["auc"] <= 0.60
    assert facts["warning"] is False

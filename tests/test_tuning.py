"""A search is the same for the same seed, goes on where it was killed, and says honestly what it found."""

from __future__ import annotations

import io
import logging
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lung_tumor import tuning_figures
from lung_tumor.fitting import FittingOptions
from lung_tumor.network import NetworkOptions
from lung_tumor.pipeline_registry import register_pipelines
from lung_tumor.settings import PROJECT
from lung_tumor.tuning import COMPLETE, FAILED, PRUNED, SearchResult, Trial, search
from lung_tumor.tuning_memory import Configuration, FoldScore, Record, TrialMemory
from lung_tumor.tuning_options import TuningOptions
from lung_tumor.tuning_report import gain, parameters_file, sentences, summarise, table
from tests.support.tuning import DEFAULT, DIFFICULTY, Landscape, expected_score

FEW = TuningOptions(trials=30)


def found(result: SearchResult) -> list[tuple[object, ...]]:
    """Everything but times."""
    return [(trial.number, trial.configuration, trial.state, trial.folds) for trial in result.trials]


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return search(Landscape(), DEFAULT, FEW, seed=3)


# --- Searching ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_search_and_another_seed_another(result: SearchResult) -> None:
    assert found(search(Landscape(), DEFAULT, FEW, seed=3)) == found(result)
    assert found(search(Landscape(), DEFAULT, FEW, seed=4)) != found(result)


def test_the_present_configuration_is_the_first_trial_and_nothing_worse_is_called_best(result: SearchResult) -> None:
    assert result.default.configuration == DEFAULT
    assert (result.default.number, result.default.state, len(result.default.folds)) == (0, COMPLETE, len(DIFFICULTY))
    assert result.best.score < result.default.score


def test_a_search_comes_near_the_best_there_is() -> None:
    reached = [
        expected_score(search(Landscape(), DEFAULT, TuningOptions(), seed).best.configuration) for seed in range(3)
    ]
    assert expected_score(DEFAULT) == pytest.approx(0.428, abs=0.001)
    assert np.mean(reached) < 0.38


def test_where_nothing_is_better_the_present_configuration_stays() -> None:
    best = Configuration(NetworkOptions(feature_blocks=(3, 4), l2=0.001), learning_rate=0.006, views=0)
    result = search(Landscape(), best, TuningOptions(trials=8), seed=1)
    assert result.best is result.default
    assert sentences(result)[-1] == "No trial is better than the present configuration."


def test_trials_worse_than_most_are_stopped_after_two_folds_or_more_and_never_win(result: SearchResult) -> None:
    pruned = [trial for trial in result.trials if trial.state == PRUNED]
    assert pruned
    assert all(2 <= len(trial.folds) < len(DIFFICULTY) for trial in pruned)
    assert min(trial.number for trial in pruned) >= 5
    complete = [trial for trial in result.trials if trial.state == COMPLETE]
    assert result.best.score == min(trial.score for trial in complete)
    assert np.median([trial.excess(result.default) for trial in pruned]) > np.median(
        [trial.excess(result.default) for trial in complete]
    )


def test_stopping_early_looks_at_trials_and_not_at_how_hard_the_first_folds_are() -> None:
    """All configurations are alike but for the folds' difficulty: only chance stops any."""

    def alike(configuration: Configuration) -> Iterator[FoldScore]:
        yield from (FoldScore(level) for level in (0.1, 0.5, 0.9, 0.3))

    assert {trial.state for trial in search(alike, DEFAULT, FEW, seed=1).trials} == {COMPLETE}


def test_what_is_searched_stays_within_the_space() -> None:
    options = TuningOptions(
        trials=40,
        feature_blocks=((4,), (4, 5)),
        head=("max",),
        frozen_blocks=(5, 4),
        dropout=(0.1, 0.3),
        l2=(0.01, 0.01),
        views=(0, 4),
    )
    tried = [trial.configuration for trial in search(Landscape(), DEFAULT, options, seed=1).trials[1:]]
    assert {one.network.head for one in tried} == {"max"}
    assert {one.network.l2 for one in tried} == {0.01}
    assert {one.views for one in tried} == {0, 4}
    assert all(0.1 <= one.network.dropout <= 0.3 for one in tried)
    assert all(0.0003 <= one.learning_rate <= 0.03 for one in tried)
    depths = {(one.network.feature_blocks, one.network.frozen_blocks) for one in tried}
    assert depths == {((4,), 5), ((4,), 4), ((4, 5), 5), ((4, 5), 4)}, "what is proposed is what is tried"
    assert all(5 in one.network.read_blocks for one in tried if one.network.frozen_blocks == 4)


def test_a_present_configuration_outside_the_space_is_tried_all_the_same() -> None:
    outside = Configuration(NetworkOptions(head="flatten", l2=0.0), learning_rate=0.5, views=7)
    ran: list[Configuration] = []

    def evaluate(configuration: Configuration) -> Iterator[FoldScore]:
        ran.append(configuration)
        yield FoldScore(float(len(ran)))

    result = search(evaluate, outside, TuningOptions(trials=3), seed=1)
    assert ran[0] == result.default.configuration == result.best.configuration == outside


def test_a_score_that_is_no_number_fails_the_trial_and_not_the_search() -> None:
    def diverging(configuration: Configuration) -> Iterator[FoldScore]:
        for score in Landscape()(configuration):
            yield FoldScore(math.nan) if configuration.learning_rate > 0.01 else score

    result = search(diverging, DEFAULT, FEW, seed=3)
    failed = [trial for trial in result.trials if trial.state == FAILED]
    assert failed
    assert all(trial.configuration.learning_rate > 0.01 and len(trial.folds) == 1 for trial in failed)
    assert math.isfinite(result.best.score)
    assert f"{len(failed)} without a finite score" in sentences(result)[0]
    with pytest.raises(ValueError, match="the present configuration gives no finite score"):
        search(diverging, replace(DEFAULT, learning_rate=0.02), FEW, seed=3)


def test_time_that_is_up_ends_the_search_between_trials(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        result = search(Landscape(pause=0.01), DEFAULT, TuningOptions(trials=1000, timeout_s=0.2), seed=1)
    assert 1 <= len(result.trials) < 1000
    assert "time is up" in caplog.text
    assert "1000 were asked for, time was up" in sentences(result)[0]


def test_every_trial_is_told_as_it_ends() -> None:
    told: list[Trial] = []
    result = search(Landscape(), DEFAULT, TuningOptions(trials=7), seed=1, on_trial=told.append)
    assert tuple(told) == result.trials


def test_optuna_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    search(Landscape(), DEFAULT, TuningOptions(trials=12), seed=1)
    said = capfd.readouterr()
    assert said.out == ""
    assert [part for part in said.err.replace("\n", "\r").split("\r") if part and not part.startswith("Tuning:")] == []


# --- Going on after an interruption ------------------------------------------------------------------------------------


def test_a_search_that_is_repeated_computes_nothing_and_gives_the_same(tmp_path: Path, result: SearchResult) -> None:
    path = tmp_path / "trials.jsonl"
    first, again = Landscape(), Landscape()
    before = search(first, DEFAULT, FEW, seed=3, memory=TrialMemory(path, "a"))
    after = search(again, DEFAULT, FEW, seed=3, memory=TrialMemory(path, "a"))
    assert first.asked
    assert again.asked == []
    assert found(before) == found(after) == found(result)
    assert [trial.seconds for trial in before.trials] == [trial.seconds for trial in after.trials]


def test_other_slices_code_or_options_are_not_answered_from_memory(tmp_path: Path) -> None:
    memory = TrialMemory(tmp_path / "trials.jsonl", "a")
    memory.put(DEFAULT, Record((FoldScore(0.5),), whole=True, seconds=1.0))
    assert memory.of("a").get(DEFAULT) == Record((FoldScore(0.5),), whole=True, seconds=1.0)
    assert memory.of("b").get(DEFAULT) is None
    assert memory.get(replace(DEFAULT, views=4)) is None


def test_more_trials_go_on_from_those_that_there_are(tmp_path: Path) -> None:
    memory = TrialMemory(tmp_path / "trials.jsonl")
    search(Landscape(), DEFAULT, TuningOptions(trials=10), seed=3, memory=memory)
    rest = Landscape()
    longer = search(rest, DEFAULT, FEW, seed=3, memory=memory)
    assert found(longer) == found(search(Landscape(), DEFAULT, FEW, seed=3))
    assert set(rest.asked) == {trial.configuration for trial in longer.trials[10:]}


def test_a_trial_stopped_early_is_computed_to_its_end_once_that_is_wanted(tmp_path: Path) -> None:
    memory = TrialMemory(tmp_path / "trials.jsonl")
    every = list(Landscape()(DEFAULT))
    memory.put(DEFAULT, Record(tuple(every[:2]), whole=False, seconds=1.0))
    landscape = Landscape()
    result = search(landscape, DEFAULT, TuningOptions(trials=2), seed=1, memory=memory)
    assert result.default.folds == tuple(every)
    assert memory.get(DEFAULT) == Record(tuple(every), whole=True, seconds=result.default.seconds)


SLOW = """
import sys
from pathlib import Path
from lung_tumor.tuning import search
from lung_tumor.tuning_memory import TrialMemory
from lung_tumor.tuning_options import TuningOptions
from tests.support.tuning import DEFAULT, Landscape
search(Landscape(pause=0.01), DEFAULT, TuningOptions(trials=30), 3, memory=TrialMemory(Path(sys.argv[1])))
"""


def test_a_killed_search_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path, result: SearchResult) -> None:
    path = tmp_path / "trials.jsonl"
    for least in (3, 11):
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, str(path)], cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while not path.is_file() or path.read_text().count('"key"') < least:
            assert process.poll() is None, "the search ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
        process.wait()
    kept = path.read_text().count('"key"')
    assert 11 <= kept < 30
    rest = Landscape()
    assert found(search(rest, DEFAULT, FEW, seed=3, memory=TrialMemory(path))) == found(result)
    assert len(set(rest.asked)) == 30 - kept


@pytest.mark.parametrize("damage", ['{"key": "abc", "folds": [{"sco', "\x00\xff", '{"key": "k"}', "[]", "7"])
def test_what_was_half_written_is_passed_over_and_what_follows_it_is_read(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "trials.jsonl"
    first, second = replace(DEFAULT, views=1), replace(DEFAULT, views=2)
    record = Record((FoldScore(0.123456789012345678, None), FoldScore(math.inf, 0.5)), whole=False, seconds=2.5)
    TrialMemory(path).put(first, record)
    with path.open("ab") as file:
        file.write(damage.encode("latin-1"))
    TrialMemory(path).put(second, record)
    memory = TrialMemory(path)
    assert memory.get(first) == memory.get(second) == record


# --- What was found ----------------------------------------------------------------------------------------------------


def trial(scores: list[float], number: int = 0, state: str = COMPLETE) -> Trial:
    folds = tuple(FoldScore(score) for score in scores)
    return Trial(number, replace(DEFAULT, views=number), state, folds, seconds=1.0, started=0.0)


def test_the_gain_is_that_of_a_hand_worked_example() -> None:
    # Differences 0.1, 0.2, 0.3: mean 0.2, variance 0.01; t(0.975, 2) = 4.302653; 0.1 * sqrt(1/3 + 1/2) = 0.0912871.
    found = gain(trial([0.4, 0.3, 0.2]), trial([0.5, 0.5, 0.5]))
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.2 - 0.392777, abs=1e-5), pytest.approx(0.2 + 0.392777, abs=1e-5))
    assert (found.better_folds, found.folds, found.clear) == (3, 3, False)


def test_a_gain_is_clear_only_beyond_what_folds_differ_by() -> None:
    steady = SearchResult((trial([0.5, 0.6, 0.7]), trial([0.4, 0.501, 0.599], 1)), {}, 2)
    shaky = SearchResult((trial([0.5, 0.6, 0.7]), trial([0.9, 0.1, 0.5], 1)), {}, 2)
    assert "It is better than the present configuration." in sentences(steady)
    assert any(line.startswith("It is not clearly better") for line in sentences(shaky))
    assert summarise(shaky, source="s", synthetic=True)["gain"]["clear"] is False


def test_one_fold_gives_no_interval() -> None:
    found = gain(trial([0.4]), trial([0.5]))
    assert (found.low, found.high, found.clear) == (None, None, False)


def test_the_table_gives_a_score_to_complete_trials_alone(result: SearchResult) -> None:
    rows = table(result)
    assert len(rows) == FEW.trials
    assert rows["score"].notna().tolist() == [trial.state == COMPLETE for trial in result.trials]
    assert rows.loc[0, "excess"] == 0.0
    assert rows.loc[result.best.number, "excess"] == pytest.approx(result.best.score - result.default.score)
    assert rows.loc[0, "feature_blocks"] == "[4]"


SEARCHED_WITH: dict[str, Any] = {
    "training": {"head": {"epochs": 7, "learning_rate": 0.5, "patience": None}, "fine_tuning": {"epochs": 8}},
    "features": {"computation": {"engine": "mnn"}, "augmentation": {"views": 99, "noise": 1.5}},
}


def test_the_parameters_file_gives_back_the_best_configuration(result: SearchResult) -> None:
    text = parameters_file(result, "data/best.yml", SEARCHED_WITH, seed=5, source="folder slices")
    run = yaml.safe_load(text)["run"]
    params: dict[str, Any] = run["params"]
    fitting = FittingOptions(**params["training"]["head"])
    views = params["features"]["augmentation"]["views"]
    assert Configuration(NetworkOptions(**params["model_prep"]["network"]), fitting.learning_rate, views) == (
        result.best.configuration
    )
    assert (fitting.epochs, fitting.patience) == (7, None)
    assert params["training"]["fine_tuning"] == {"epochs": 8}
    assert params["features"] == {
        "computation": {"engine": "mnn"},
        "augmentation": {"views": result.best.configuration.views, "noise": 1.5},
    }
    assert params["seed"] == 5
    # All that depend on the configuration: evaluation takes no candidate and no folds of another.
    others = ("__default__", "data_ingestion", "tuning")
    assert run["pipelines"].split(",") == [name for name in register_pipelines() if name not in others]
    assert "kedro run --config data/best.yml" in text
    assert "folder slices" in text


def test_a_source_of_several_lines_stays_a_comment(result: SearchResult) -> None:
    text = parameters_file(result, "data/best.yml", SEARCHED_WITH, seed=5, source="a\nrun: {params: {seed: 6}}")
    assert yaml.safe_load(text)["run"]["params"]["seed"] == 5


def test_importances_are_shares_of_what_was_searched_and_none_where_trials_are_few(result: SearchResult) -> None:
    searched = {"feature_blocks", "head", "hidden_units", "dropout", "l2", "learning_rate"}
    assert set(result.importances) == searched
    assert sum(result.importances.values()) == pytest.approx(1.0)
    assert list(result.importances.values()) == sorted(result.importances.values(), reverse=True)
    assert search(Landscape(), DEFAULT, TuningOptions(trials=5), seed=1).importances == {}


# --- Figures -----------------------------------------------------------------------------------------------------------


def texts(figure: Any) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda item: hasattr(item, "get_text")))


@pytest.mark.parametrize("draw", [tuning_figures.search_history, tuning_figures.importances])
def test_both_figures_render_whatever_there_is_and_say_when_it_is_synthetic(draw: Any, result: SearchResult) -> None:
    alone = SearchResult(result.trials[:1], {}, 1)
    for given in (result, alone):
        for synthetic in (True, False):
            figure = draw(given, synthetic=synthetic, caution=["few $groups_ here"])
            figure.savefig(buffer := io.BytesIO(), format="png")
            assert buffer.getvalue().startswith(b"\x89PNG")
            assert ("synthetic slices (phantom)" in texts(figure)) == synthetic
            assert "here" in figure.get_supxlabel()


def test_the_history_draws_every_trial_where_it_belongs(result: SearchResult) -> None:
    axes = tuning_figures.search_history(result, synthetic=False).axes[0]
    lines = {str(line.get_label()).split(":")[0]: line for line in axes.lines}
    complete = [trial for trial in result.trials if trial.state == COMPLETE]
    pruned = [trial for trial in result.trials if trial.state == PRUNED]
    assert lines["complete"].get_xydata().tolist() == [[trial.number, trial.score] for trial in complete]
    level = result.default.score
    expected = [[trial.number, level + trial.excess(result.default)] for trial in pruned]
    np.testing.assert_allclose(lines["stopped early"].get_xydata(), expected)
    steps = np.asarray(lines["best so far"].get_ydata())
    assert (np.diff(steps) <= 0).all()
    assert steps[-1] == result.best.score
    assert lines["present configuration"].get_xydata().tolist() == [[0, level]]
    assert lines["best"].get_xydata().tolist() == [[result.best.number, result.best.score]]


def test_the_importances_are_drawn_largest_first(result: SearchResult) -> None:
    axes = tuning_figures.importances(result, synthetic=False).axes[0]
    assert [bar.get_width() for bar in axes.patches] == list(result.importances.values())
    assert [label.get_text() for label in axes.get_yticklabels()] == list(result.importances)


# --- Options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trials": 1}, "search.trials must be at least 2"),
        ({"trials": "many"}, "search.trials must be a whole number"),
        ({"timeout_s": 0}, "search.timeout_s must be a positive number of seconds or null, received 0"),
        ({"timeout_s": "1 h"}, "search.timeout_s must be a number or null"),
        ({"feature_blocks": [4, 5]}, "search.feature_blocks must be a list of lists"),
        ({"feature_blocks": []}, "search.feature_blocks must hold at least one choice"),
        ({"feature_blocks": [[6]]}, "search.feature_blocks holds a choice that no network takes: .*received \\(6,\\)"),
        ({"hidden_units": [[0]]}, "search.hidden_units holds a choice that no network takes"),
        ({"hidden_units": 32}, "search.hidden_units must be a list of lists"),
        ({"head": "average"}, "search.head must be a list"),
        ({"head": ["mean"]}, "search.head holds a choice that no network takes: .*'mean'"),
        ({"frozen_blocks": [6]}, "search.frozen_blocks must lie in \\[0, 5\\] each, received \\[6\\]"),
        ({"views": [-1]}, "search.views must be 0 or more each"),
        (
            {"dropout": [0.5, 0.1]},
            "search.dropout must be \\[lowest, highest\\] within \\[0, 1\\), received \\[0.5, 0.1\\]",
        ),
        ({"dropout": [0.0, 1.0]}, "search.dropout"),
        ({"dropout": [0.1]}, "search.dropout must be a list of numbers"),
        ({"l2": [0.0, 0.1]}, "search.l2 must be .* within \\(0, 100\\]"),
        ({"learning_rate": [0.001, 1.0]}, "search.learning_rate must be .* within \\(0, 1\\)"),
        ({"learning_rate": 0.001}, "search.learning_rate must be a list of numbers"),
    ],
)
def test_options_name_what_is_wrong(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TuningOptions(**changed)


def test_options_that_leave_nothing_to_choose_are_refused() -> None:
    fixed = {"feature_blocks": [[4]], "head": ["max"], "hidden_units": [[]], "dropout": [0, 0], "l2": [1e-3, 1e-3]}
    TuningOptions(**fixed)
    with pytest.raises(ValueError, match="search leaves nothing to choose"):
        TuningOptions(**fixed, learning_rate=[0.1, 0.1])


def test_fine_tuning_alone_can_be_searched_whatever_blocks_the_head_is_asked_to_read() -> None:
    options = TuningOptions(trials=12, feature_blocks=((4,), (3, 4)), frozen_blocks=(4,))
    tried = [trial.configuration.network for trial in search(Landscape(), DEFAULT, options, seed=1).trials[1:]]
    assert {one.frozen_blocks for one in tried} == {4}
    assert {one.read_blocks for one in tried} == {(4, 5), (3, 4, 5)}


def test_the_same_choice_twice_is_one() -> None:
    assert TuningOptions(feature_blocks=((4, 3), (3, 4), (5,))).feature_blocks == ((3, 4), (5,))

"""A race through the engine: its winner, its images, and that it is the same whatever runs beside it."""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
import pytest
import torch

import eagleeye
from eagleeye.engine import Engine, Method, Outcome
from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.scoring.race import Generations
from eagleeye.scoring.racing import Rung
from eagleeye.search import Memory, search
from eagleeye.strategies import Budget, Shell, Strategy, evolve
from eagleeye.task.classification import SCORERS
from tests.eagleeye import networks
from tests.eagleeye.engine.conftest import SUB_VALIDATION, Setting, make_setting


@pytest.fixture(scope="module")
def setting() -> Setting:
    return make_setting(networks.Residual(), count=30)


def engine_of(setting: Setting, lanes: int = 2) -> Engine:
    method = Method(precision="float32")
    return Engine(
        setting.network, setting.space, setting.calibration, setting.sub_validation, method=method, lanes=lanes
    )


def race(setting: Setting, lanes: int, first: Rung | None, score: str = "accuracy") -> pd.DataFrame:
    engine = engine_of(setting, lanes)
    threads = torch.get_num_threads()
    ranking = search(engine, setting.strategies, score=score, first=first)
    assert torch.get_num_threads() == threads
    return ranking


def counted(engine: Engine, monkeypatch: pytest.MonkeyPatch, stop_after: int = -1) -> list[tuple[str, int]]:
    """Who is scored on how many images, in order; then a key is pressed."""
    scored: list[tuple[str, int]] = []
    score = Engine.score

    def count(self: Engine, strategy: Strategy, **rest: Any) -> Outcome:
        if len(scored) == stop_after:
            raise KeyboardInterrupt
        scored.append((strategy.id, rest["sub_validation"]))
        return score(self, strategy, **rest)

    monkeypatch.setattr(Engine, "score", count)
    return scored


def test_without_a_race_the_ranking_is_that_of_single_scores(setting: Setting) -> None:
    ranking = race(setting, 2, None)
    assert (ranking["images"] == SUB_VALIDATION).all()
    assert sorted(ranking["id"]) == [strategy.id for strategy in setting.strategies]
    wanted = {strategy.id: setting.plain(strategy) for strategy in setting.strategies}
    for row in ranking.itertuples():
        assert row.loss == pytest.approx(wanted[row.id].loss, rel=1e-4)
    assert ranking["accuracy"].is_monotonic_decreasing
    assert ranking["beats_next"].iloc[:-1].between(0.49, 1).all()


def test_a_race_spends_all_images_on_few_and_does_not_depend_on_lanes(setting: Setting) -> None:
    ranking = race(setting, 1, Rung(8, 20))
    pd.testing.assert_frame_equal(race(setting, 3, Rung(8, 20)), ranking)
    finalists = ranking[ranking["images"] == SUB_VALIDATION]
    assert 2 <= len(finalists) <= 4
    assert list(ranking["rank"].iloc[: len(finalists)]) == list(range(1, len(finalists) + 1))
    full = race(setting, 2, None).set_index("id")
    for row in finalists.itertuples():
        # Going on from the first rung's statistics ends where starting anew does.
        assert (row.accuracy, row.loss) == (full.loc[row.id, "accuracy"], full.loc[row.id, "loss"])


@pytest.mark.parametrize("score", SCORERS)
def test_any_score_decides_the_race_and_all_are_in_the_table(setting: Setting, score: str) -> None:
    ranking = race(setting, 2, Rung(8, 20), score)
    pd.testing.assert_frame_equal(race(setting, 1, Rung(8, 20), score), ranking)
    assert (ranking["ranked_by"] == score).all()
    full = race(setting, 2, None, score).set_index("id")
    for images, rows in ranking.groupby("images"):
        assert (SCORERS[score].sign * rows[score]).is_monotonic_decreasing
        if images == SUB_VALIDATION:
            assert 2 <= len(rows) <= 4
            pd.testing.assert_frame_equal(
                rows.set_index("id")[list(SCORERS)], full.loc[rows["id"], list(SCORERS)], check_exact=True
            )
    assert ranking["score_low"].le(ranking[score]).all()
    assert ranking["score_high"].ge(ranking[score]).all()


def test_the_scores_that_need_no_labels_do_not_look_at_them(setting: Setting) -> None:
    held = setting.sub_validation
    labels = held.labels
    wanted = race(setting, 2, Rung(8, 20), "divergence")
    try:
        held.labels = labels.roll(1)
        ranking = race(setting, 2, Rung(8, 20), "divergence")
    finally:
        held.labels = labels
    labelled = [name for name, scorer in SCORERS.items() if not scorer.compares]
    assert not ranking[labelled].equals(wanted[labelled])
    pd.testing.assert_frame_equal(ranking.drop(columns=labelled), wanted.drop(columns=labelled))


def test_a_search_goes_on_where_it_was_interrupted(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = race(setting, 1, Rung(8, 20))
    engine = engine_of(setting, lanes=1)
    memory = Memory(engine)
    stops = (7, 24, 1)  # the last one in the second rung
    for stop in stops:
        with monkeypatch.context() as patch:
            scored = counted(engine, patch, stop)
            with pytest.raises(KeyboardInterrupt):
                search(engine, setting.strategies, first=Rung(8, 20), memory=memory)
            assert len(scored) == stop
    assert len(memory) == sum(stops)
    scored = counted(engine, monkeypatch)
    pd.testing.assert_frame_equal(
        search(engine, setting.strategies, first=Rung(8, 20), memory=memory), wanted, check_exact=True
    )
    assert len(scored) == (wanted["images"] == SUB_VALIDATION).sum() - 2
    # Another score finds the first rung there, a larger search its smaller one.
    del scored[:]
    other = search(engine, setting.strategies, first=Rung(8, 20), score="loss", memory=memory)
    assert {images for _, images in scored} <= {SUB_VALIDATION}
    pd.testing.assert_frame_equal(other, race(setting, 1, Rung(8, 20), "loss"), check_exact=True)


def test_a_notebook_breeds_generations_as_one_would_by_hand(setting: Setting) -> None:
    engine, shell = engine_of(setting), Shell(setting.space, Budget(macs=0.6, tolerance=0.25), 0.8)
    drawn = setting.strategies[:6]
    ranking = search(engine, drawn, score="loss", first=Rung(8, 20), generations=Generations(shell, [5, 4], seed=3))
    known = list(drawn)
    for count in (5, 4):
        losses = [engine.score(each, calibration=8, sub_validation=20).score.loss for each in known]
        scored = [(each, -loss) for each, loss in zip(known, losses, strict=True)]
        known += evolve(shell, scored, count=count, seed=3)
    found = {Strategy.of(row).id: Strategy.of(row) for _, row in ranking.iterrows()}
    assert found == {strategy.id: strategy for strategy in known}
    # The rest is the race that all of them run.
    pd.testing.assert_frame_equal(ranking, search(engine, known, score="loss", first=Rung(8, 20)), check_exact=True)
    winner = engine.network(ranking["widths"][0])
    assert eagleeye.cost(winner, torch.randn(1, 3, 12, 12)).macs == ranking["macs"][0]


def test_the_first_generation_may_be_drawn_by_the_search(setting: Setting) -> None:
    engine, shell = engine_of(setting), Shell(setting.space, Budget(macs=0.6, tolerance=0.25), 0.8)
    drawn = Generations(shell, [4, 3], eagleeye.sampler("uniform"))
    ranking = search(engine, generations=drawn, first=Rung(8, 20))
    wanted = eagleeye.sampler("uniform")(shell, count=7, seed=0)
    assert sorted(ranking["id"]) == [strategy.id for strategy in wanted]
    with pytest.raises(EvaluationError, match="there are no candidates"):
        search(engine)


def test_a_memory_serves_one_engine(setting: Setting) -> None:
    with pytest.raises(ConfigError, match="memory: it is of another engine"):
        search(engine_of(setting), setting.strategies, memory=Memory(engine_of(setting)))


def test_a_search_on_a_cpu_lets_the_process_keep_its_memory(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(sys.modules["eagleeye.search"], "keep_freed_memory", lambda: kept.append(True))
    race(setting, 1, Rung(8, 20))
    assert kept == [True]


def test_a_score_of_another_name_is_refused_before_anything_is_scored(setting: Setting) -> None:
    with pytest.raises(ConfigError, match="'top-1' is none of"):
        race(setting, 1, None, "top-1")


def test_the_library_offers_it_by_name() -> None:
    assert eagleeye.search is search
    assert eagleeye.Engine is Engine

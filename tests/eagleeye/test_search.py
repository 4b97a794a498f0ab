"""A race through the engine: its winner, its images, and that it is the same whatever runs beside it."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

import eagleeye
from eagleeye.engine import Engine, Method
from eagleeye.errors import ConfigError
from eagleeye.racing import Rung
from eagleeye.scores import SCORERS
from eagleeye.search import search
from tests.eagleeye import networks
from tests.eagleeye.engine.conftest import SUB_VALIDATION, Setting, make_setting


@pytest.fixture(scope="module")
def setting() -> Setting:
    return make_setting(networks.Residual(), count=30)


def race(setting: Setting, lanes: int, first: Rung | None, score: str = "accuracy") -> pd.DataFrame:
    engine = Engine(
        setting.network,
        setting.space,
        setting.calibration,
        setting.sub_validation,
        method=Method(precision="float32"),
        lanes=lanes,
    )
    threads = torch.get_num_threads()
    ranking = search(engine, setting.strategies, score=score, first=first)
    assert torch.get_num_threads() == threads
    return ranking


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
    labelled = ["accuracy", "loss"]
    assert not ranking[labelled].equals(wanted[labelled])
    pd.testing.assert_frame_equal(ranking.drop(columns=labelled), wanted.drop(columns=labelled))


def test_a_score_of_another_name_is_refused_before_anything_is_scored(setting: Setting) -> None:
    with pytest.raises(ConfigError, match="'top-1' is none of"):
        race(setting, 1, None, "top-1")


def test_the_library_offers_it_by_name() -> None:
    assert eagleeye.search is search
    assert eagleeye.Engine is Engine

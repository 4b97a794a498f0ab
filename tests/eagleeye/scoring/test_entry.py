"""A candidate in a rung, as it travels to whoever scores it: its scores are the engine's, and it can go on."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import eagleeye
from eagleeye.engine import Engine, Method
from eagleeye.errors import EvaluationError
from eagleeye.scoring.entry import Entry, score_entry
from eagleeye.scoring.racing import Rung
from eagleeye.task.classification import COLUMNS, SCORERS
from tests.eagleeye import networks
from tests.eagleeye.engine.conftest import CALIBRATION, SUB_VALIDATION, Setting, make_setting

FIRST, LAST = Rung(8, 20), Rung(CALIBRATION, SUB_VALIDATION)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return make_setting(networks.Residual())


@pytest.fixture
def engine(setting: Setting) -> Engine:
    method = Method(precision="float32")
    return Engine(setting.network, setting.space, setting.calibration, setting.sub_validation, method=method, lanes=1)


def test_scores_and_what_they_are_means_of_are_the_engines(engine: Engine, setting: Setting) -> None:
    strategy = setting.strategies[0]
    found = score_entry(engine, Entry(strategy, FIRST, None), vanilla=True)
    wanted = engine.score(strategy, calibration=8, sub_validation=20, vanilla=True)
    assert found.id == strategy.id
    assert list(found.scores.values) == list(COLUMNS)
    assert found.scores.values["vanilla_loss"] == wanted.vanilla.loss
    for name, scorer in SCORERS.items():
        column = wanted.predictions.columns[name]
        assert found.scores.values[name] == column.mean()
        np.testing.assert_array_equal(
            scorer.evidence.unpack(found.scores.images[name]).values, scorer.of(column).values
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_from_a_pickle_it_goes_on_to_the_bits_of_starting_anew(setting: Setting, dtype: torch.dtype) -> None:
    network = copy.deepcopy(setting.network).to(dtype)
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12, dtype=dtype))
    engine = Engine(network, space, setting.calibration, setting.sub_validation, method=Method(), lanes=1)
    strategy = setting.strategies[1]
    first = score_entry(engine, Entry(strategy, FIRST, None))
    entry = pickle.loads(pickle.dumps(Entry(strategy, LAST, (8, first.statistics))))  # noqa: S301 - our own
    on, anew = score_entry(engine, entry), score_entry(engine, Entry(strategy, LAST, None))
    assert (on.scores.values, on.scores.images) == (anew.scores.values, anew.scores.images)
    assert on.statistics == anew.statistics != first.statistics


def test_who_cannot_be_scored_is_named(engine: Engine, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Engine, *_: object, **__: object) -> None:
        raise EvaluationError("the outputs are not finite")

    monkeypatch.setattr(Engine, "score", fail)
    with pytest.raises(EvaluationError, match="candidate s0000: the outputs are not finite"):
        score_entry(engine, Entry(setting.strategies[0], FIRST, None))

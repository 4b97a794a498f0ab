"""The searches of the benchmark are those of `eagleeye.search`, and spend what its table says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import eagleeye
from benchmarks import searching
from benchmarks.plots import draw_searching
from benchmarks.searching import Found, Settings, search
from eagleeye.engine import Engine, Method
from eagleeye.scoring.racing import Rung
from eagleeye.strategies import Shell
from tests.eagleeye import networks
from tests.eagleeye.engine.conftest import CALIBRATION, SUB_VALIDATION, Setting, make_setting

FIRST = Rung(8, 20)
FULL = CALIBRATION + SUB_VALIDATION


@pytest.fixture(scope="module")
def setting() -> Setting:
    torch.manual_seed(0)
    return make_setting(networks.Residual(), count=12)


def engine_of(setting: Setting) -> Engine:
    method = Method(precision="float32")
    return Engine(setting.network, setting.space, setting.calibration, setting.sub_validation, method=method, lanes=2)


def rows(setting: Setting, sampler: str, racing: bool, score: str = "loss") -> list[Found]:
    engine = engine_of(setting)
    shell = Shell(setting.space, eagleeye.Budget(macs=0.6, tolerance=0.25), 0.8)
    wanted = Settings("tiny", score, sampler, racing, seed=0, size=4)
    return list(search(wanted, engine, eagleeye.Memory(engine), shell, generations=3, first=FIRST))


@pytest.mark.parametrize(("racing", "score"), [(True, "divergence"), (False, "accuracy")])
def test_a_point_is_a_whole_search_with_what_it_spent(setting: Setting, racing: bool, score: str) -> None:
    found = rows(setting, "uniform", racing, score)
    for row in found:
        candidates = setting.strategies[: row.candidates]
        table = eagleeye.search(engine_of(setting), candidates, score=score, first=FIRST if racing else None)
        assert (row.winner.id, row.best) == (table["id"][0], table[score][0])
        finalists = int((table["images"] == SUB_VALIDATION).sum())
        # Who goes on looks at all sub-validation images, and at the calibration images that it has not seen.
        raced = len(table) * 28 + finalists * (CALIBRATION - 8 + SUB_VALIDATION)
        assert row.evaluations * FULL == pytest.approx(raced if racing else len(table) * FULL)
    assert [row.candidates for row in found] == [4, 8, 12]


def test_evolution_begins_with_the_same_draws_and_goes_on_from_their_scores(setting: Setting) -> None:
    drawn, bred = rows(setting, "uniform", racing=False), rows(setting, "evolution", racing=False)
    assert drawn[0] == bred[0]
    losses = [row.best for row in bred]
    assert losses == sorted(losses, reverse=True)
    assert drawn[1:] != bred[1:]


def test_what_is_on_file_is_not_searched_again(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    ran: list[Settings] = []

    def run(settings: Settings, *_: object, generations: int) -> list[Found]:
        ran.append(settings)
        if len(ran) == 3:
            raise KeyboardInterrupt
        lengths = range(1, generations + 1)
        return [Found(n, 4 * n, n, n / 10, setting.strategies[0]) for n in lengths]

    monkeypatch.setattr(searching, "open_subject", lambda name: opened.append(name) or setting)
    monkeypatch.setattr(searching, "Raced", lambda _: type("Raced", (), {"engine": None}))
    monkeypatch.setattr(searching, "search", run)
    file = tmp_path / "searching.csv"
    with pytest.raises(KeyboardInterrupt):
        searching.measure("tiny", "accuracy", 1, 2, 4, file)
    table = searching.measure("tiny", "accuracy", 1, 2, 4, file)
    assert len(ran) == 3 + 2
    assert len(table) == 2 * 2 * 2
    assert searching.measure("tiny", "accuracy", 1, 2, 4, file).equals(table)
    assert len(opened) == 2
    # Another score or longer searches are others.
    assert len(searching.measure("tiny", "loss", 1, 2, 4, file)) == 16
    longer = searching.measure("tiny", "accuracy", 1, 3, 4, file)
    assert len(longer[longer["score"] == "accuracy"]) == 12
    draw_searching(longer[longer["score"] == "accuracy"], tmp_path / "searching.png")
    assert (tmp_path / "searching.png").stat().st_size > 10_000

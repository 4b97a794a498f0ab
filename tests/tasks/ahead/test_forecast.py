"""Minutes and bytes, against counts by hand."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from eagleeye.channels import Cost
from eagleeye.scoring.racing import Rung
from tasks.__main__ import STAGES
from tasks.ahead.forecast import Amounts, candidates, disk_bytes, race_seconds, stage_seconds, tuned_networks
from tasks.ahead.timing import Line, Timings, passes
from tasks.settings import read_params
from tests.imports import ROOT
from tests.tasks.conftest import changed

PARAMS = read_params(ROOT / "recipes" / "cifar10-resnet20.yaml")
NOTHING = Timings(0, Line(0, 0), 0, 0, Line(0, 0), 0, 0, 0, 0, 0, 0)


def times(**parts: Any) -> Timings:
    return Timings(**(vars(NOTHING) | parts))


def trial(**parts: Any) -> Any:
    subset = SimpleNamespace(calibration=range(1500), sub_validation=range(5000))
    usual = {"train": range(50_000), "test": range(10_000), "subset": subset, "tuned": 45_000}
    return SimpleNamespace(**(usual | dict.fromkeys(("opened", "decoded", "forward", "traced"), 0.0) | parts))


def amounts(forward: float = 0.0) -> Amounts:
    return Amounts(45_000, 1500, 5000, 10_000, 0, 0.0, 0.0, forward, 0.0)


def test_a_line_goes_through_what_was_measured_and_never_below_zero() -> None:
    line = Line.through((10, 3.0), (20, 5.0))
    assert (line.fixed, line.each) == pytest.approx((1.0, 0.2))
    assert line.at(100) == pytest.approx(21.0)
    assert Line.through((10, 5.0), (20, 4.0)) == Line(4.0, 0.0)  # noise: more images took less
    steep = Line.through((10, 0.5), (20, 4.0))
    assert (steep.fixed, steep.each) == pytest.approx((0.0, 0.2))
    assert Line.through((5, 1.0), (5, 1.0)) == Line(1.0, 0.0)


def test_candidates_go_through_the_race_with_the_images_of_its_rungs() -> None:
    params = changed(
        PARAMS,
        strategies={"count": 100, "even": True, "allocated": False},
        evaluate={"racing": "on", "first_images": (256, 1024), "batch_size": 128, "vanilla": True, "mode": "reset"},
    )
    # 101 candidates see 256 + 2 · 1024 images; twelve of them go on from there to 1500 + 2 · 5000.
    wanted = 101 * (256 + 2 * 1024) + 12 * (1500 - 256 + 2 * 5000)
    assert race_seconds(params, times(candidate=Line(0, 1)), Rung(1500, 5000)) == wanted
    assert race_seconds(params, times(candidate=Line(1, 0)), Rung(1500, 5000)) == 101 + 12
    whole = changed(params, evaluate={"racing": "off", "vanilla": False})
    assert race_seconds(whole, times(candidate=Line(0, 1)), Rung(1500, 5000)) == 101 * (1500 + 5000)


def test_the_published_protocol_recalibrates_on_its_own_count_of_batches() -> None:
    paper = changed(PARAMS, evaluate={"mode": "paper", "iterations": None, "batch_size": 128, "vanilla": False})
    assert passes(paper, 1500, 5000) == 100 * 128 + 5000
    assert passes(paper, 1500, 5000, trial=True) == 128 + 5000


def test_training_and_testing_are_counted_for_every_network() -> None:
    params = changed(
        PARAMS,
        strategies={"even": True},
        rank={"top_k": 3},
        finetune={"epochs": 7, "batch_size": 100},
        baseline={"epochs": 5, "batch_size": 200},
    )
    assert tuned_networks(params) == 4
    found = stage_seconds(params, amounts(), times(tuning_step=1.0, step=1.0), start=10.0)
    assert found["finetune"] == 10 + 4 * 7 * 450
    assert found["baseline"] == 10 + 5 * 225
    assert found["rank"] == 10
    given = stage_seconds(params, amounts(1.0), times(step=None), start=0.0)
    assert given["baseline"] == 5000 + 256
    assert given["finetune"] == 10_000  # the unpruned network's test


def test_bytes_are_those_of_images_networks_and_states(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "artifacts").mkdir()
    for name in ("calibration", "sub_validation"):
        (tmp_path / "artifacts" / f"{name}.parquet").write_bytes(b"x" * 500)
    params = changed(PARAMS, model={"checkpoint": "x.pt"}, strategies={"even": False}, rank={"top_k": 1})
    space = SimpleNamespace(full_cost=Cost(100, 1000))
    given = cast(Any, trial(calibration=5, sub_validation=5, pixels=3072, space=space))
    found = disk_bytes(params, given, Cost(50, 400))
    # Ten images of 100 bytes in the trial's files; 6,500 in the search.
    assert found["artifacts/"] == 6500 * 100 + 4000 + 3 * 1600 + 2_000_000
    assert found[".eagleeye/"] == 6500 * 3072 + 3 * 1600 + candidates(params) * 4 * 5000


def test_every_stage_has_its_minutes() -> None:
    assert tuple(stage_seconds(PARAMS, amounts(), NOTHING, 1.0)) == STAGES

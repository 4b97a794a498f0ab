"""What a search would do, said before it does anything."""

import shutil
from pathlib import Path

import pytest
import torch

from eagleeye.errors import BudgetError, ConfigError
from eagleeye.models.cifar_resnet import CifarResNet
from eagleeye.prune import prune
from tasks.__main__ import STAGES
from tasks.ahead import check
from tasks.ahead.beside import beside
from tasks.ahead.trial import open_trial, reach
from tasks.settings import override, read_params
from tests.imports import ROOT
from tests.tasks.conftest import SMALL


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    override(tmp_path / "params.yaml", SMALL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_within_reach_is_what_the_networks_at_both_ends_cost(project: Path) -> None:
    params = read_params(project / "params.yaml")
    with beside(project):
        trial = open_trial(params)
    least, most = reach(params, trial.space)
    full = sum(weight.numel() for weight in CifarResNet(blocks=1, num_classes=10).parameters())
    assert (most.params, most.macs) == (full, trial.space.full_cost.macs)
    # Rates are drawn below 0.7.
    thin = prune(trial.network, trial.space, [0.7 - 1e-9] * len(trial.space.groups))
    assert least.params == sum(weight.numel() for weight in thin.parameters())
    assert len(trial.subset.calibration) == 48
    assert trial.tuned == 1437 - 287


def test_a_budget_out_of_reach_is_refused_after_what_is_within_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override(project / "params.yaml", {"strategies.budget.macs": 0.01, "strategies.exclude": ["layer3.*"]})
    with pytest.raises(BudgetError, match=r"is out of reach: with max_rate 0\.7"):
        check.run([])
    told = capsys.readouterr().out
    assert "images: 1,437 to train on (48 for calibration, 287 for sub-validation, 1,150 for fine-tuning)" in told
    assert "would not be pruned: layer3.0.conv1" in told
    assert "within reach with max_rate 0.7: " in told
    assert "minutes" not in told


def test_what_a_stage_would_refuse_is_refused(project: Path) -> None:
    override(project / "params.yaml", {"model.checkpoint": "missing.pt"})
    with pytest.raises(Exception, match=r"missing\.pt"):
        check.run([])
    override(project / "params.yaml", {"model.checkpoint": None, "data.options": {"wrong": 1}})
    with pytest.raises(ConfigError, match="wrong"):
        check.run([])
    assert Path.cwd() == project
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [{}, {"importance.criterion": "obs", "importance.refit": "in_turn", "strategies.allocated": True}],
)
def test_every_stage_is_told_with_its_minutes_and_nothing_is_written(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, more: dict[str, object]
) -> None:
    # As old as a process that has just imported everything, which the tests' own is not.
    monkeypatch.setattr(check, "process_start", lambda: 4.0)
    torch.save(CifarResNet(blocks=1, num_classes=10).state_dict(), project / "mine.pt")
    override(project / "params.yaml", {"model.checkpoint": "mine.pt", "baseline.epochs": 500, **more})
    before = sorted(path.name for path in project.iterdir())
    check.run([])
    told = capsys.readouterr().out
    minutes = {
        line.split()[0]: float(line.split()[1])
        for line in told.splitlines()
        if line.startswith("  ") and " min" in line
    }
    assert [name for name in minutes if name in STAGES] == list(STAGES)
    assert 0 < minutes["together"] < 10  # a training of 500 epochs is not among it
    assert "disk: about " in told
    assert sorted(path.name for path in project.iterdir()) == before

"""A loop of the user's own: what it returns is looked at before it counts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from eagleeye.errors import ConfigError, EagleEyeError, EvaluationError, ModelError
from eagleeye.train import Told, train_by


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).eval()


X, Y = torch.randn(16, 1, 4, 4), torch.arange(16) % 2


def step(network: nn.Module) -> float:
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    optimiser.zero_grad()
    loss = nn.functional.cross_entropy(network(X), Y)
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def loop(network: nn.Module, folder: Path, told: Told) -> nn.Module:
    """Three epochs, a state after each."""
    state = folder / "state.pt"
    done = 0
    if state.exists():
        found = torch.load(state, weights_only=True)
        done = found["epoch"]
        network.load_state_dict(found["model"])
    for epoch in range(done, 3):
        told({"train_loss": step(network)})
        torch.save({"epoch": epoch + 1, "model": network.state_dict()}, state)
    return network


def test_it_gets_a_copy_in_training_mode_and_its_weights_are_taken_over(tmp_path: Path) -> None:
    network, expected = small(), small().train()
    losses = [step(expected) for _ in range(3)]
    rows: list[dict[str, float]] = []
    found = train_by(loop, network, tmp_path / "new" / "folder", rows.append)
    assert not found.network.training
    assert torch.equal(found.network(X), expected.eval()(X))
    assert torch.equal(network(X), small()(X))
    assert found.history.to_dict("list") == {"epoch": [1, 2, 3], "train_loss": losses}
    assert found.history.to_dict("records") == rows


def test_a_killed_loop_goes_on_from_its_folder(tmp_path: Path) -> None:
    def killed(network: nn.Module, folder: Path, told: Told) -> nn.Module:
        def tell(values: Any) -> None:
            told(values)
            if (folder / "state.pt").exists():
                raise KeyboardInterrupt

        return loop(network, folder, tell)

    with pytest.raises(KeyboardInterrupt):
        train_by(killed, small(), tmp_path)
    found = train_by(loop, small(), tmp_path)
    whole = train_by(loop, small(), tmp_path / "undisturbed")
    assert len(found.history) == 2
    assert torch.equal(found.network(X), whole.network(X))


def test_wrappers_and_hooks_stay_behind_and_statistics_come_along(tmp_path: Path) -> None:
    def wrapped(network: nn.Module, folder: Path, told: Told) -> nn.Module:
        network.register_forward_hook(lambda _layer, _inputs, outputs: outputs * 0)
        network[1].running_mean += 3
        return nn.DataParallel(network)

    found = train_by(wrapped, small(), tmp_path)
    assert type(found.network) is nn.Sequential
    assert found.network(X).abs().sum() > 0
    assert torch.equal(found.network[1].running_mean, torch.full((4,), 3.0))
    assert found.history.empty


def returning(value: Any) -> Any:
    def trainer(network: nn.Module, folder: Path, told: Told) -> Any:
        return value(network)

    return trainer


def broken(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        network[3].weight[0, 0] = float("nan")
    return network


def failing(network: nn.Module) -> nn.Module:
    raise RuntimeError("out of\nluck")


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (lambda network: None, ModelError, r"it returned None; it must return the network"),
        (lambda network: network.state_dict(), ModelError, r"it returned a OrderedDict"),
        (lambda network: network[:2], ModelError, r"tensor '3\.weight' has shape None, but \(2, 16\)"),
        (lambda network: nn.Sequential(*network, nn.Linear(2, 2)), ModelError, r"'4\.weight' has shape \(2, 2\), but"),
        (lambda network: nn.Sequential(nn.Conv2d(1, 5, 3), *network[1:]), ModelError, r"'0\.weight' has shape \(5, 1"),
        (broken, EvaluationError, r"tensor '3\.weight' holds NaN or infinity; lower its learning rate"),
        (failing, ModelError, r"it stopped: RuntimeError: out of luck"),
    ],
    ids=["none", "state-dict", "layers-gone", "layers-added", "other-shapes", "nan", "raises"],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(value: Any, kind: type[EagleEyeError], said: str, tmp_path: Path) -> None:
    network = small()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(kind, match=rf"trainer returning\..*: .*{said}") as raised:
        train_by(returning(value), network, tmp_path)
    assert "\n" not in str(raised.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_what_it_tells_is_numbers(tmp_path: Path) -> None:
    def telling(network: nn.Module, folder: Path, told: Told) -> nn.Module:
        told({"loss": torch.tensor(0.5)})
        told({"note": "fine"})
        return network

    with pytest.raises(ConfigError, match=r"it told note 'fine', a str; tell numbers by name"):
        train_by(telling, small(), tmp_path)

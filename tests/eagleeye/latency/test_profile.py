"""Tables measured on layers whose time is known by formula, and on real ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye import Budget, Space
from eagleeye.errors import ConfigError
from eagleeye.latency import layers as latency_layers
from eagleeye.latency import measure as latency
from eagleeye.latency.profile import compare, profile
from tests.eagleeye.detectors import detector, pictures
from tests.eagleeye.networks import Depthwise, Flattened, Grouped, Head, Plain, Residual, Transposed, conv_bn

X = torch.randn(2, 3, 12, 12)


class Clock:
    """Time passes by the arithmetic done: a nanosecond per multiply-accumulate, and some for every call."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = 0
        self.block = 1

    def perf_counter(self) -> float:
        return self.now

    def count(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rows, columns, *kernel = layer.weight.shape
        source = inputs[0] if getattr(layer, "transposed", False) else output
        blocks = [math.ceil(size / self.block) * self.block for size in (rows, columns)]
        self.now += source.numel() / rows * math.prod([*blocks, *kernel]) * 1e-9 + 1e-6
        self.calls += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    for kind in (nn.Conv2d, nn.Linear, nn.ConvTranspose2d):
        original = kind.forward

        def forward(layer, x, original=original):
            output = original(layer, x)
            clock.count(layer, (x,), output)
            return output

        monkeypatch.setattr(kind, "forward", forward)
    return clock


def setting(construct: type[nn.Module]) -> tuple[nn.Module, Space]:
    network = construct().eval()
    return network, eagleeye.trace(network, X[:1])


@pytest.mark.parametrize("construct", [Plain, Residual, Depthwise, Grouped, Transposed, Flattened])
def test_times_that_are_products_of_sizes_are_predicted_exactly(construct: type[nn.Module], clock: Clock) -> None:
    network, space = setting(construct)
    table = profile(network, space, X, repeats=1)
    strategies = eagleeye.sample(space, Budget(macs=0.6, tolerance=0.35), count=4, max_rate=0.8, seed=0)
    found = compare(table, network, space, X, strategies, repeats=1)
    assert found.id.tolist() == [strategy.id for strategy in strategies]
    assert found.measured_ms.nunique() > 1
    assert found.predicted_ms.tolist() == pytest.approx(found.measured_ms.tolist(), rel=1e-6)
    assert found.error.abs().max() < 1e-6


def test_steps_of_eight_channels_are_predicted_exactly(clock: Clock) -> None:
    clock.block = 8
    network = nn.Sequential(conv_bn(3, 32), conv_bn(32, 24), conv_bn(24, 32), Head(32)).eval()
    space = eagleeye.trace(network, X[:1])
    table = profile(network, space, X, repeats=1)
    strategies = eagleeye.sample(space, Budget(macs=0.5, tolerance=0.4), count=20, max_rate=0.9, seed=0)
    found = compare(table, network, space, X, strategies, repeats=1)
    assert found.error.abs().max() < 1e-6


def test_layers_of_equal_shape_are_measured_once(clock: Clock) -> None:
    network = nn.Sequential(conv_bn(3, 8), *(conv_bn(8, 8) for _ in range(6)), Head(8))
    space = eagleeye.trace(network, X[:1])
    table = profile(network, space, X, repeats=1)
    assert (len(table.calls), len(table.grids)) == (8, 3)


def test_a_file_spares_the_measuring_unless_something_is_different(tmp_path: Path, clock: Clock) -> None:
    network, space = setting(Plain)
    path = tmp_path / "latency.json"
    traced = clock.calls
    first = profile(network, space, X, path=path, repeats=1)
    measured = clock.calls - traced
    again = profile(network, space, X, path=path, repeats=1)
    assert clock.calls - traced - measured == 3  # one forward pass, to see the inputs
    widths = np.array([[5, 7]])
    assert again.predict(widths).tolist() == first.predict(widths).tolist()
    profile(network, space, X[:1], path=path, repeats=1)
    assert clock.calls - traced > 2 * measured - 10
    other, other_space = setting(Residual)
    profile(other, other_space, X, path=path, repeats=1)
    assert profile(other, other_space, X, path=path, repeats=1).key != first.key


def test_a_budget_of_latency_is_met_as_predicted(clock: Clock) -> None:
    network, space = setting(Residual)
    table = profile(network, space, X, repeats=1)
    full = float(table.predict(np.array([space.channels]))[0])
    budget = Budget(latency=0.6, params=0.6, tolerance=0.1)
    for strategy in eagleeye.sample(space, budget, count=5, max_rate=0.8, seed=0, latency=table.predict):
        assert strategy.latency == pytest.approx(float(table.predict(np.array([strategy.widths]))[0]))
        assert abs(strategy.latency / full - 0.6) <= 0.1
        assert abs(strategy.params / space.full_cost.params - 0.6) <= 0.1
    even = eagleeye.even(space, Budget(latency=0.6), latency=table.predict)
    assert even.latency is not None
    assert abs(even.latency / full - 0.6) < 0.15


def test_a_budget_of_latency_without_a_table_is_refused() -> None:
    _, space = setting(Plain)
    with pytest.raises(ConfigError, match=r"budget latency: there is nothing to predict it with"):
        eagleeye.sample(space, Budget(latency=0.5), count=1, max_rate=0.7, seed=0)


def test_the_network_stays_as_it_was(clock: Clock) -> None:
    network = Plain().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    profile(network, eagleeye.trace(network, X[:1]), X, repeats=1)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_real_network_gets_a_real_prediction() -> None:
    network, space = setting(Plain)
    table = profile(network, space, X, repeats=2)
    assert (table.predict(np.array([space.channels, (1, 1)])) > 0).all()
    assert min(table.coefficients) >= 0
    assert table.key["threads"] == torch.get_num_threads()
    assert table.key["points"] == latency_layers.POINTS


class Pairs(nn.Module):
    """A network whose head takes two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
        self.head = Sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x * 2), self.body(x)[..., :2, :2].mean((2, 3), keepdim=True))


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 2, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x + y).relu())


def test_of_a_core_the_layers_are_timed_with_what_reaches_it() -> None:
    model, images = detector(), pictures(1)
    space = eagleeye.trace(model, images, core="backbone")
    table = profile(model, space, images, repeats=1)
    alone = eagleeye.trace(model.backbone, images * 2 - 1)
    assert table.key == profile(model.backbone, alone, images * 2 - 1, repeats=1).key
    assert table.predict(np.array([[8, 12], [2, 3]])).shape == (2,)


def test_a_core_of_two_tensors_has_no_budget_of_latency() -> None:
    model, images = Pairs().eval(), torch.rand(1, 1, 12, 12)
    with pytest.raises(ConfigError, match="latency: core 'head' takes more than a tensor"):
        profile(model, eagleeye.trace(model, images, core="head"), images)

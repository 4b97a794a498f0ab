import pytest
import torch
from torch import nn

import eagleeye
from eagleeye.latency import measure, parts
from eagleeye.latency.parts import time_parts

EXAMPLE = torch.zeros(1, 3, 8, 8)


class Clock:
    """A clock that only layers move on."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Slow(nn.Conv2d):
    """A convolution that takes a millisecond for every 8 weights."""

    def forward(self, x):
        Slow.clock.now += self.weight.numel() / 8000
        return super().forward(x)


class Norm(nn.BatchNorm2d):
    """A layer that takes two milliseconds."""

    def forward(self, x):
        Slow.clock.now += 0.002
        return super().forward(x)


class Network(nn.Module):
    def __init__(self, middle, groups=1):
        super().__init__()
        self.first = Slow(3, 8, 3, padding=1, bias=False)
        self.norm = Norm(8)
        self.depthwise = Slow(8, 8, 3, padding=1, groups=8, bias=False)
        self.middle = Slow(8, middle, 1, bias=False)
        self.up = nn.ConvTranspose2d(middle, 4, 2, stride=2)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.up(self.middle(self.depthwise(self.norm(self.first(x))))).mean((2, 3)))


@pytest.fixture
def clock(monkeypatch):
    clock = Slow.clock = Clock()
    for module in (measure, parts):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_time_and_macs_go_to_the_parts_they_belong_to(clock):
    table = time_parts(Network(8), Network(4), EXAMPLE, batch_sizes=(1, 2), repeats=5)
    assert table["batch_size"].tolist() == [1] * 4 + [2] * 4
    rows = table[table["batch_size"] == 1].set_index("part")
    assert rows["layers"].to_dict() == {"lighter": 2, "unchanged": 2, "depthwise": 1, "rest": 0}
    assert rows.loc["lighter", ["full_macs", "pruned_macs"]].tolist() == [64 * (64 + 128), 64 * (32 + 64)]
    assert rows.loc["unchanged", ["full_macs", "pruned_macs"]].tolist() == [64 * 216 + 8] * 2
    assert rows.loc["depthwise", ["full_macs", "pruned_macs"]].tolist() == [64 * 72] * 2
    assert rows.loc["lighter", ["full_ms", "pruned_ms"]].tolist() == pytest.approx([8, 4])
    assert rows.loc["unchanged", ["full_ms", "pruned_ms"]].tolist() == pytest.approx([27, 27])
    assert rows.loc["depthwise", ["full_ms", "pruned_ms"]].tolist() == pytest.approx([9, 9])
    assert rows.loc["rest", ["full_ms", "pruned_ms"]].tolist() == pytest.approx([2, 2])


def test_macs_are_those_that_are_counted_elsewhere():
    network = Network(8)
    Slow.clock = Clock()
    table = time_parts(network, network, EXAMPLE, repeats=1)
    assert table["full_macs"].sum() == eagleeye.cost(network, EXAMPLE).macs


def test_networks_are_left_without_hooks():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    time_parts(network, network, EXAMPLE, repeats=1)
    assert network.training
    assert not network[0]._forward_hooks
    assert not network[0]._forward_pre_hooks

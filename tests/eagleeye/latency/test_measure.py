from pathlib import Path

import pytest
import torch
from torch import nn

from eagleeye.latency import measure as latency
from eagleeye.latency.measure import compare_latency, device_name, measure_latency

EXAMPLE = torch.zeros(1, 3, 4, 4)


class Clock:
    """A clock that only the networks move on, so that the figures are exact on a busy machine too."""

    def __init__(self):
        self.now, self.turns = 0.0, []

    def perf_counter(self):
        return self.now


class Network(nn.Module):
    """Takes the times it is told, one after the other, and keeps a record of what it was given."""

    def __init__(self, name, clock, milliseconds):
        super().__init__()
        self.name, self.clock, self.milliseconds = name, clock, list(milliseconds)
        self.calls = []
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x):
        self.calls.append((tuple(x.shape), self.training, torch.is_inference_mode_enabled()))
        self.clock.turns.append(self.name)
        self.clock.now += self.milliseconds[(len(self.calls) - 1) % len(self.milliseconds)] / 1000
        return self.bn(x)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    return clock


def test_median_and_percentiles_leave_the_warm_up_out(clock):
    network = Network("net", clock, [500, 400, 7, 3, 1, 2, 9, 4, 8, 5, 6, 10, 11])
    found = measure_latency(network, EXAMPLE, repeats=11, warmup=2)
    assert (found.p10_ms, found.median_ms, found.p90_ms) == pytest.approx((2, 6, 10))
    assert found.device == device_name(torch.device("cpu"))
    assert found.threads == torch.get_num_threads()


def test_it_passes_the_batch_in_evaluation_and_inference_mode(clock):
    network = Network("net", clock, [1])
    measure_latency(network, EXAMPLE.expand(7, -1, -1, -1), repeats=4, warmup=3)
    assert network.calls == [((7, 3, 4, 4), False, True)] * 7


def test_the_networks_modes_and_statistics_stay_as_they_were(clock):
    network = Network("net", clock, [1]).train()
    network.bn.eval()
    before = network.bn.running_mean.clone()
    measure_latency(network, torch.ones(1, 3, 4, 4), repeats=2)
    assert (network.training, network.bn.training) == (True, False)
    assert torch.equal(before, network.bn.running_mean)


def test_modes_are_put_back_when_a_pass_fails():
    network = nn.Sequential(nn.Linear(2, 2)).train()
    with pytest.raises(RuntimeError):
        measure_latency(network, EXAMPLE, repeats=2)
    assert network.training


def test_networks_take_turns_and_each_round_is_compared_with_the_first_network(clock):
    # A machine that slows down by ten in every second round: the ratio of each round is what stays true.
    full = Network("full", clock, [12, 120])
    pruned = Network("pruned", clock, [4, 40])
    table = compare_latency({"full": full, "pruned": pruned}, EXAMPLE, batch_sizes=(1, 8), repeats=4, warmup=2)
    assert clock.turns == ["full", "pruned"] * 12
    assert table.model.tolist() == ["full", "pruned"] * 2
    assert table.batch_size.tolist() == [1, 1, 8, 8]
    assert [shape[0] for shape, _, _ in full.calls] == [1] * 6 + [8] * 6
    assert table.median_ms.tolist() == pytest.approx([66, 22, 66, 22])
    assert table.speedup.tolist() == pytest.approx([1, 3, 1, 3])
    assert table.images_per_second.tolist() == pytest.approx([1000 / 66, 1000 / 22, 8000 / 66, 8000 / 22])


def test_one_disturbed_pass_does_not_change_the_speed_up(clock):
    full, pruned = Network("full", clock, [10]), Network("pruned", clock, [5, 5, 400, 5, 5])
    table = compare_latency({"full": full, "pruned": pruned}, EXAMPLE, batch_sizes=(1,), repeats=5, warmup=0)
    assert table.speedup.tolist() == pytest.approx([1, 2])


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux tells a processor's model there")
def test_a_processor_is_called_by_its_model():
    assert f": {device_name(torch.device('cpu'))}\n" in Path("/proc/cpuinfo").read_text()


def test_a_real_pass_takes_real_time():
    assert measure_latency(nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 32, 32), repeats=3).p10_ms > 0

import time

import pytest
import torch
from torch import nn

from eagleeye.latency import compare_latency, measure_latency


class Sleeper(nn.Module):
    """Takes a known time, and keeps a record of what it was given."""

    def __init__(self, milliseconds):
        super().__init__()
        self.milliseconds, self.calls = milliseconds, []
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x):
        self.calls.append(
            (time.perf_counter(), tuple(x.shape), self.training, torch.is_inference_mode_enabled())
        )
        time.sleep(self.milliseconds / 1000)
        return self.bn(x)


EXAMPLE = torch.zeros(1, 3, 4, 4)


def test_it_measures_the_time_of_a_pass():
    found = measure_latency(Sleeper(20), EXAMPLE, repeats=5, warmup=1)
    assert 20 <= found.p10_ms <= found.median_ms <= found.p90_ms
    assert found.median_ms < 40
    assert found.device == "cpu"
    assert found.threads == torch.get_num_threads()


def test_it_warms_up_and_passes_in_evaluation_and_inference_mode():
    model = Sleeper(0)
    measure_latency(model, EXAMPLE.expand(7, -1, -1, -1), repeats=4, warmup=3)
    assert [(shape, training, inference) for _, shape, training, inference in model.calls] == [
        ((7, 3, 4, 4), False, True)
    ] * 7


def test_the_networks_modes_and_statistics_stay_as_they_were():
    model = Sleeper(0).train()
    model.bn.eval()
    before = model.bn.running_mean.clone()
    measure_latency(model, torch.ones(1, 3, 4, 4), repeats=2)
    assert (model.training, model.bn.training) == (True, False)
    assert torch.equal(before, model.bn.running_mean)


def test_networks_take_turns_and_are_compared_with_the_first():
    slow, fast = Sleeper(12), Sleeper(4)
    table = compare_latency({"full": slow, "pruned": fast}, EXAMPLE, batch_sizes=(1, 8), repeats=5, warmup=1)
    assert table[["model", "batch_size"]].values.tolist() == [
        ["full", 1],
        ["pruned", 1],
        ["full", 8],
        ["pruned", 8],
    ]
    assert table.speedup[table.model == "full"].tolist() == [1, 1]
    assert table.speedup[table.model == "pruned"].between(1.8, 3.2).all()
    assert table.images_per_second.tolist() == pytest.approx(
        (1000 * table.batch_size / table.median_ms).tolist()
    )
    turns = sorted([(call[0], "full") for call in slow.calls] + [(call[0], "pruned") for call in fast.calls])
    assert [name for _, name in turns] == ["full", "pruned"] * 12

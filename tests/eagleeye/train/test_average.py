import pytest
import torch
from torch import nn

from eagleeye.train.average import MovingAverage


class Indexed(nn.Module):
    """Weights, BN statistics with their count, and an index, as attention has."""

    def __init__(self):
        super().__init__()
        self.linear, self.bn = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.register_buffer("index", torch.arange(101))
        self.register_buffer("mask", torch.tensor([True, False]))

    def forward(self, x):
        return self.bn(self.linear(x))


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_weights_and_statistics_are_the_weighted_sum_over_all_steps(decay):
    torch.manual_seed(0)
    net = Indexed()
    average, seen = MovingAverage(net, decay), []
    for _ in range(7):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
        net(torch.randn(16, 4))
        average.update_parameters(net)
        seen.append({name: value.clone() for name, value in net.state_dict().items()})
    # Written out instead of step by step: the first step keeps what the later ones leave.
    weights = [decay**6, *((1 - decay) * decay ** (6 - step) for step in range(1, 7))]
    for name, value in average.module.state_dict().items():
        if value.is_floating_point():
            wanted = sum(weight * state[name] for weight, state in zip(weights, seen, strict=True))
            torch.testing.assert_close(value, wanted, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(value, seen[-1][name]), name
    assert int(average.module.bn.num_batches_tracked) == 7
    assert all(torch.equal(value, seen[-1][name]) for name, value in net.state_dict().items())

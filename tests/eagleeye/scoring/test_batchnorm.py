"""Adaptive statistics against brute force in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import ConfigError, EvaluationError
from tests.eagleeye.networks import Residual, lively


def first_layer_statistics(network: Residual, batches: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of the first convolution's outputs, averaged over batches by their images."""
    conv, images = copy.deepcopy(network.stem[0]).double(), sum(len(batch) for batch in batches)
    mean = variance = torch.zeros(conv.out_channels, dtype=torch.float64)
    for batch in batches:
        outputs = conv(batch.double()).transpose(0, 1).flatten(1)
        mean = mean + outputs.mean(dim=1) * len(batch) / images
        variance = variance + outputs.var(dim=1, unbiased=True) * len(batch) / images
    return mean, variance


def test_reset_averages_over_all_images_and_forgets_the_outdated_statistics() -> None:
    network = lively(Residual())
    batches = [torch.randn(n, 3, 12, 12) * n for n in (8, 8, 3)]
    eagleeye.adapt_batch_norm(network, batches)
    mean, variance = first_layer_statistics(network, batches)
    torch.testing.assert_close(network.stem[1].running_mean.double(), mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(network.stem[1].running_var.double(), variance, rtol=1e-5, atol=1e-5)


def test_paper_mode_is_the_exponential_average_over_100_iterations() -> None:
    network = lively(Residual())
    batches = [torch.randn(4, 3, 12, 12) * (i + 1) for i in range(3)]
    expected = network.stem[1].running_mean.double().clone()
    for iteration in range(100):
        mean, _ = first_layer_statistics(network, [batches[iteration % 3]])
        expected = 0.9 * expected + 0.1 * mean
    eagleeye.adapt_batch_norm(network, batches, mode="paper")
    torch.testing.assert_close(network.stem[1].running_mean.double(), expected, rtol=1e-4, atol=1e-4)


def test_only_statistics_change_and_modes_and_momenta_come_back() -> None:
    network = lively(Residual())
    network.head.train()
    network.stem[1].momentum = 0.25
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    eagleeye.adapt_batch_norm(network, [torch.randn(8, 3, 12, 12)])
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("running" in name or "num_batches" in name for name in changed)
    assert [module.training for module in network.modules()] == modes
    assert network.stem[1].momentum == 0.25
    assert all(parameter.grad is None for parameter in network.parameters())


def test_dropout_stays_off() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(0.9), nn.BatchNorm2d(4))
    x = torch.randn(16, 3, 6, 6)
    eagleeye.adapt_batch_norm(network, [x])
    torch.testing.assert_close(network[2].running_mean, network[0](x).mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_everything_is_restored_when_an_exception_passes() -> None:
    network = lively(Residual()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def failing() -> object:
        yield torch.randn(4, 3, 12, 12)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eagleeye.adapt_batch_norm(network, failing())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())


def test_it_makes_a_pruned_network_score_again() -> None:
    """The point of the method: outdated statistics are wrong by far, adapted ones reproduce the batch's own."""
    network, x = lively(Residual()), torch.randn(64, 3, 12, 12)
    thin = eagleeye.prune(network, eagleeye.trace(network, x[:1]), [0.5, 0.5, 0.5])
    own = copy.deepcopy(thin).train()(x)
    outdated = (thin(x) - own).norm()
    eagleeye.adapt_batch_norm(thin, [x])
    assert (thin(x) - own).norm() < 0.05 * outdated


def test_bad_input_is_refused() -> None:
    network, x = Residual(), torch.randn(4, 3, 12, 12)
    with pytest.raises(ConfigError, match="'median' is unknown; allowed are 'reset' and 'paper'"):
        eagleeye.adapt_batch_norm(network, [x], mode="median")
    with pytest.raises(EvaluationError, match="no batch-normalisation layer"):
        eagleeye.adapt_batch_norm(nn.Sequential(nn.Conv2d(3, 4, 1)), [x])
    with pytest.raises(EvaluationError, match="there are no images"):
        eagleeye.adapt_batch_norm(network, [])
    with pytest.raises(EvaluationError, match="use larger batches"):
        eagleeye.adapt_batch_norm(network, [torch.randn(1, 3, 1, 1)])
    assert torch.equal(network.stem[1].running_mean, torch.zeros(8))


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-9), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_statistics_of_other_precisions_are_rounded_once(dtype: torch.dtype, error: float) -> None:
    network = lively(Residual()).to(dtype)
    # So many that an average in 16 bits would no longer move.
    batches = [torch.randn(2, 3, 6, 6) + i / 100 for i in range(300)]
    eagleeye.adapt_batch_norm(network, batches)
    mean, variance = first_layer_statistics(network, batches)
    assert network.stem[1].running_mean.dtype == network.stem[1].weight.dtype == dtype
    torch.testing.assert_close(network.stem[1].running_mean.double(), mean, rtol=error, atol=error)
    torch.testing.assert_close(network.stem[1].running_var.double(), variance, rtol=error, atol=error)


def test_batches_of_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: Tensor, *, scale: Tensor) -> Tensor:
            return self.norm(x * scale)

    x, scale = torch.randn(6, 3, 4, 4), torch.rand(6, 1, 1, 1)
    expected = (x.double() * scale).mean((0, 2, 3))
    for batches in ([{"x": x, "scale": scale}], [(x, scale)], [(x[:4], scale[:4]), (x[4:], scale[4:])]):
        network = Two()
        eagleeye.adapt_batch_norm(network, batches)
        torch.testing.assert_close(network.norm.running_mean.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_variance_is_that_within_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    # Images differ in their brightness, so that the values of one are alike.
    images = torch.linspace(-1, 1, 24).reshape(-1, 1, 1, 1) + torch.randn(24, 2, 3, 3, generator=generator)
    layer = nn.BatchNorm2d(2)
    eagleeye.adapt_batch_norm(nn.Sequential(layer), images.split(6))
    values = images.transpose(0, 1).double()
    between = torch.stack([batch.double().mean((0, 2, 3)) for batch in images.split(6)]).var(0, correction=0)
    count = 6 * 3 * 3
    wanted = count / (count - 1) * (values.flatten(1).var(1, correction=0) - between)
    torch.testing.assert_close(layer.running_var.double(), wanted, rtol=1e-5, atol=0)
    assert (between > 5 * values.flatten(1).var(1) / count).all()

"""Layers called several times, never, or as often as the input says, against torch's own averages."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

import eagleeye
from eagleeye.errors import EvaluationError
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import Residual, Twice, lively


class Pyramid(nn.Module):
    """A head that all levels share; how many levels there are follows from the picture's size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.shared, self.head, self.spare = conv_bn(3, 6), conv_bn(6, 6), Head(6), conv_bn(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        total = self.head(x)
        while x.shape[-1] > 2:
            total, x = total + self.head(self.shared(x)), F.max_pool2d(x, 2)
        return total


class Uncalled(nn.Module):
    """Code that normalises with a layer's tensors but does not call it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        x = F.batch_norm(
            self.conv(x), norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum
        )
        return self.head(x)


class Statistics:
    """Mean and unbiased variance of every call of a layer, in float64, from its inputs."""

    def __init__(self, network: nn.Module, layer: nn.BatchNorm2d) -> None:
        self.network, self.layer = network, layer

    def of(self, batch: Tensor) -> list[Tensor]:
        found: list[Tensor] = []

        def note(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            channels = inputs[0].double().transpose(0, 1).flatten(1)
            found.append(torch.stack([channels.mean(1), channels.var(1)]))

        handle = self.layer.register_forward_pre_hook(note)
        momenta = {m: m.momentum for m in self.network.modules() if isinstance(m, nn.BatchNorm2d)}
        for norm in momenta:
            norm.train()
            norm.momentum = 0.0
        with torch.no_grad():
            self.network(batch)
        handle.remove()
        for norm, momentum in momenta.items():
            norm.eval()
            norm.momentum = momentum
        return found


def held(layer: nn.BatchNorm2d) -> Tensor:
    return torch.stack([layer.running_mean, layer.running_var]).double()


def cumulative(network: nn.Module, batches: list[Tensor]) -> nn.Module:
    """Torch's own cumulative average over the same calls."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    with torch.no_grad():
        for batch in batches:
            network(batch)
    return network


@pytest.mark.parametrize("traced", [False, True])
def test_a_layer_called_several_times_averages_over_all_calls(traced: bool) -> None:
    network, batches = lively(Pyramid()), [torch.randn(4, 3, 16, 16) * (i + 1) for i in range(3)]
    if traced:
        network = eagleeye.prune(network, eagleeye.trace(network, batches[0][:1]), [0.5])
    wanted = cumulative(network, batches)
    eagleeye.adapt_batch_norm(network, batches)
    torch.testing.assert_close(held(network.get_submodule("shared.1")), held(wanted.get_submodule("shared.1")))


def test_calls_that_depend_on_the_input_count_one_by_one_and_batches_by_their_images() -> None:
    network = lively(Pyramid())
    same = [torch.randn(4, 3, size, size) for size in (16, 4, 8)]
    wanted = cumulative(network, same)
    eagleeye.adapt_batch_norm(network, same)
    torch.testing.assert_close(held(network.shared[1]), held(wanted.shared[1]))
    different = [torch.randn(n, 3, size, size) * n for n, size in ((8, 16), (3, 4), (5, 8))]
    calls = [(call, len(batch)) for batch in different for call in Statistics(network, network.shared[1]).of(batch)]
    assert len(calls) == 3 + 1 + 2
    average = sum(call * images for call, images in calls) / sum(images for _, images in calls)
    eagleeye.adapt_batch_norm(network, different)
    torch.testing.assert_close(held(network.shared[1]), average, rtol=1e-5, atol=1e-5)


def test_the_exponential_average_of_a_pass_is_that_of_all_its_calls() -> None:
    network, batches = lively(Pyramid()), [torch.randn(4, 3, size, size) * size for size in (16, 4, 8)]
    expected = held(network.shared[1])
    for iteration in range(7):
        calls = Statistics(network, network.shared[1]).of(batches[iteration % 3])
        expected = 0.9 * expected + 0.1 * sum(calls) / len(calls)
    eagleeye.adapt_batch_norm(network, batches, mode="paper", iterations=7)
    torch.testing.assert_close(held(network.shared[1]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["reset", "paper"])
def test_a_layer_that_is_never_called_keeps_what_it_has(mode: str) -> None:
    network = lively(Pyramid())
    before = {key: value.clone() for key, value in network.spare.state_dict().items()}
    eagleeye.adapt_batch_norm(network, [torch.randn(4, 3, 8, 8)], mode=mode, iterations=2)
    assert all(torch.equal(value, before[key]) for key, value in network.spare.state_dict().items())


def test_a_network_that_calls_no_layer_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1))
    network.spare = nn.Identity()
    network.spare.norm = nn.BatchNorm2d(4)
    with pytest.raises(EvaluationError, match="calls no batch-normalisation layer of it"):
        eagleeye.adapt_batch_norm(network[:1].append(network.spare), [torch.randn(4, 3, 8, 8)])


def test_tensors_of_a_layer_that_is_not_called_are_averaged_as_well() -> None:
    network, batches = lively(Uncalled()), [torch.randn(n, 3, 8, 8) * n for n in (4, 2, 6)]
    outputs = [network.conv(batch).double().transpose(0, 1).flatten(1) for batch in batches]
    mean = sum(output.mean(1) * len(batch) for output, batch in zip(outputs, batches, strict=True)) / 12
    eagleeye.adapt_batch_norm(network, batches)
    torch.testing.assert_close(network.norm.running_mean.double(), mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [Twice, Residual, Uncalled])
@pytest.mark.parametrize("traced", [False, True])
def test_going_on_from_statistics_gives_the_bits_of_starting_anew(kind: type[nn.Module], traced: bool) -> None:
    network, batches = lively(kind()), [torch.randn(n, 3, 12, 12) for n in (8, 8, 5)]
    if traced:
        space = eagleeye.trace(network, batches[0][:1])
        network = eagleeye.prune(network, space, [0.3] * len(space.groups))
        assert isinstance(network, fx.GraphModule)
    whole = copy.deepcopy(network)
    eagleeye.adapt_batch_norm(whole, batches)
    eagleeye.adapt_batch_norm(network, batches[:1])
    eagleeye.adapt_batch_norm(network, batches[1:], seen=8)
    for (name, found), (_, wanted) in zip(network.named_buffers(), whole.named_buffers(), strict=True):
        assert torch.equal(found, wanted) or name.endswith("num_batches_tracked"), name


def test_going_on_is_refused_where_the_number_of_calls_changes() -> None:
    network = lively(Pyramid())
    eagleeye.adapt_batch_norm(network, [torch.randn(4, 3, 16, 16)])
    before = held(network.shared[1])
    batches = [torch.randn(4, 3, 16, 16), torch.randn(4, 3, 8, 8)]
    with pytest.raises(EvaluationError, match=r"layer 'shared.1': this batch calls it 2 times and the first one 3"):
        eagleeye.adapt_batch_norm(network, batches, seen=4)
    assert torch.equal(held(network.shared[1]), before)


@pytest.mark.parametrize("mode", ["reset", "paper"])
def test_with_one_call_each_the_bits_are_those_of_one_momentum_for_all(mode: str) -> None:
    network, batches = lively(Residual()), [torch.randn(n, 3, 12, 12) * n for n in (8, 8, 3)]
    wanted, images = copy.deepcopy(network), 0
    norms = [module for module in wanted.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        if mode == "reset":
            norm.reset_running_stats()
    for batch in batches:
        images += len(batch)
        for norm in norms:
            norm.momentum = len(batch) / images if mode == "reset" else 0.1
        with torch.no_grad():
            wanted(batch)
    eagleeye.adapt_batch_norm(network, batches, mode=mode, iterations=3)
    for (name, found), (_, tensor) in zip(network.named_buffers(), wanted.named_buffers(), strict=True):
        assert torch.equal(found, tensor), name


def test_hooks_of_the_user_stay_and_are_called() -> None:
    network, heard = lively(Twice()), list[str]()
    network.same[1].register_forward_pre_hook(lambda *_: heard.append("before"))
    network.same[1].register_forward_hook(lambda *_: heard.append("after"))
    hooks = [dict(m._forward_pre_hooks) for m in network.modules()]
    eagleeye.adapt_batch_norm(network, [torch.randn(8, 3, 12, 12)])
    assert heard == ["before", "after"] * 2
    with pytest.raises(EvaluationError):
        eagleeye.adapt_batch_norm(network, [torch.randn(1, 3, 1, 1)])
    assert [dict(m._forward_pre_hooks) for m in network.modules()] == hooks

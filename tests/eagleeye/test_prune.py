"""The thin network against masking by hand, and invariants over networks and strategies."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import eagleeye
from eagleeye.errors import StrategyError
from eagleeye.models import build
from tests.eagleeye.networks import CONSTRUCTS, Plain, Residual, lively


@given(construct=st.sampled_from(CONSTRUCTS), seed=st.integers(0, 10**6), top=st.sampled_from([0.3, 0.7, 1.0]))
@settings(max_examples=60, deadline=None)
def test_any_strategy_on_any_construct_meets_the_criterion(construct: type[nn.Module], seed: int, top: float) -> None:
    torch.manual_seed(seed)
    network, x = lively(construct(), seed), torch.randn(2, 3, 12, 12)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    space = eagleeye.trace(network, x[:1])
    rates = np.random.default_rng(seed).uniform(0, top, len(space.groups)).tolist()

    thin = eagleeye.prune(network, space, rates)

    assert eagleeye.check(network, space, rates, x) < 1e-9
    widths = space.widths_of(rates)
    assert min(widths) >= 1
    predicted = space.cost_of(np.array([widths]))
    assert (int(predicted.macs[0]), int(predicted.params[0])) == (counted_macs(thin, x), counted_params(thin))
    assert set(thin.state_dict()) == set(before)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def counted_macs(network: nn.Module, x: torch.Tensor) -> int:
    """An independent count: torch's own counts two operations for each multiply-accumulate."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    return counter.get_total_flops() // 2 // len(x)


def counted_params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_filters_of_smallest_l1_norm_go_first_and_consumers_lose_their_inputs() -> None:
    network = lively(Plain())
    conv, consumer = network.a[0], network.b[0]
    norms = conv.weight.detach().abs().sum(dim=(1, 2, 3))
    keep = torch.sort(torch.argsort(norms)[3:]).values

    thin = eagleeye.prune(network, eagleeye.trace(network, torch.randn(1, 3, 12, 12)), [0.45, 0.0])

    assert torch.equal(thin.get_parameter("a.0.weight"), conv.weight[keep])
    assert torch.equal(thin.get_parameter("b.0.weight"), consumer.weight[:, keep])
    assert torch.equal(thin.get_buffer("a.1.running_mean"), network.a[1].running_mean[keep])
    assert thin.get_submodule("a.0").out_channels == thin.get_submodule("a.1").num_features == 5


def test_tied_filters_are_ranked_by_the_sum_of_their_norms() -> None:
    network = lively(Residual())
    with torch.no_grad():
        network.stem[0].weight[2] *= 0
        network.outer[0].weight[2] *= 100
        network.stem[0].weight[5] *= 0
        network.outer[0].weight[5] *= 0
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12))
    thin = eagleeye.prune(network, space, [0.125, 0, 0])
    keep = [0, 1, 2, 3, 4, 6, 7]
    assert torch.equal(thin.get_parameter("outer.0.weight"), network.outer[0].weight[keep])


def test_cifar_resnet20_equals_masking_by_hand() -> None:
    """Channel numbers of the option A shortcut worked out on paper, not taken from the tracer."""
    torch.manual_seed(1)
    network, x = lively(build("cifar_resnet20", num_classes=10)), torch.randn(2, 3, 32, 32).double()
    space = eagleeye.trace(network, x[:1].float())
    rates = [0.25 if group.name == "conv1" else 0.0 for group in space.groups]
    thin = eagleeye.prune(network, space, rates).double()

    tied = [network.conv1] + [block.conv2 for block in network.layer1]
    norms = sum(conv.weight.detach().double().abs().sum(dim=(1, 2, 3)) for conv in tied)
    for stage, offset in ((network.layer2, 8), (network.layer3, 24)):
        for block in stage:
            norms = norms + block.conv2.weight.detach().double().abs().sum(dim=(1, 2, 3))[offset : offset + 16]
    gone = torch.argsort(norms)[:4]
    masked = copy.deepcopy(network).double()
    with torch.no_grad():
        for stage, offset in ((masked.layer1, 0), (masked.layer2, 8), (masked.layer3, 24)):
            for number, block in enumerate(stage):
                previous = {0: 0, 8: 0, 24: 8}[offset] if number == 0 else offset
                block.conv1.weight[:, gone + previous] = 0
        masked.linear.weight[:, gone + 24] = 0
        difference = (thin(x) - masked(x)).abs().max() / masked(x).abs().max()
    assert float(difference) < 1e-12


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_torchvision_networks_meet_the_criterion(name: str) -> None:
    torch.manual_seed(0)
    network = lively(torchvision.models.get_model(name, num_classes=7))
    x = torch.randn(2, 3, 64, 64)
    space = eagleeye.trace(network, x[:1])
    rates = np.random.default_rng(0).uniform(0, 0.8, len(space.groups)).tolist()
    assert eagleeye.check(network, space, rates, x) < 1e-9
    thin = eagleeye.prune(network, space, rates)
    assert int(space.cost_of(np.array([space.widths_of(rates)])).macs[0]) == counted_macs(thin, x)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["shufflenet_v2_x0_5", "squeezenet1_1", "resnet50", "vgg11_bn", "densenet121", "googlenet", "inception_v3",
     "mobilenet_v2", "mnasnet0_5", "efficientnet_b0", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf",
     "resnext50_32x4d", "wide_resnet50_2", "shufflenet_v2_x1_0", "alexnet"],
)  # fmt: skip
def test_more_torchvision_networks_meet_the_criterion(name: str) -> None:
    torch.manual_seed(0)
    network = lively(build(name, num_classes=7))
    x = torch.randn(2, 3, *((299, 299) if name == "inception_v3" else (96, 96)))
    space = eagleeye.trace(network, x[:1])
    rates = np.random.default_rng(0).uniform(0, 0.8, len(space.groups)).tolist()
    assert eagleeye.check(network, space, rates, x) < 1e-9
    thin = eagleeye.prune(network, space, rates)
    costs = space.cost_of(np.array([space.widths_of(rates)]))
    assert (int(costs.macs[0]), int(costs.params[0])) == (counted_macs(thin, x), counted_params(thin))


def test_rate_one_leaves_one_channel_and_rate_zero_everything() -> None:
    network, x = lively(Residual()), torch.randn(2, 3, 12, 12)
    space = eagleeye.trace(network, x)
    assert space.widths_of([1.0] * 3) == (1, 1, 1)
    whole = eagleeye.prune(network, space, [0.0] * 3)
    assert torch.equal(whole(x), network(x))


def test_the_thin_network_shares_no_memory_and_keeps_the_mode() -> None:
    network = lively(Residual()).train()
    thin = eagleeye.prune(network, eagleeye.trace(network, torch.randn(1, 3, 12, 12)), [0.0] * 3)
    assert thin.training
    owned = {parameter.data_ptr() for parameter in network.parameters()}
    assert owned.isdisjoint(parameter.data_ptr() for parameter in thin.parameters())


def test_rates_that_do_not_fit_are_refused() -> None:
    network = Residual()
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12))
    with pytest.raises(StrategyError, match="2 given, but this network has 3 groups"):
        eagleeye.prune(network, space, [0.5, 0.5])
    with pytest.raises(StrategyError, match=r"'inner\.0': 1\.5 is outside"):
        eagleeye.prune(network, space, [0.5, 1.5, 0.5])
    with pytest.raises(StrategyError, match=r"tensor 'a\.0\.weight'.*has"):
        eagleeye.prune(network, eagleeye.trace(Plain(), torch.randn(1, 3, 12, 12)), [0.5, 0.5])

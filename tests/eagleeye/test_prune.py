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
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

import eagleeye
from eagleeye.errors import StrategyError
from eagleeye.models import build
from eagleeye.thin import build_thin
from tests.eagleeye.networks import (
    CONSTRUCTS,
    OTHER_INPUTS,
    ChannelsLast,
    Functional,
    GroupNorms,
    Plain,
    Residual,
    Standardised,
    inputs_of,
    lively,
)  # fmt: skip


@given(
    construct=st.sampled_from(CONSTRUCTS + OTHER_INPUTS),
    seed=st.integers(0, 10**6),
    top=st.sampled_from([0.3, 0.7, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_any_strategy_on_any_construct_meets_the_criterion(construct: type[nn.Module], seed: int, top: float) -> None:
    torch.manual_seed(seed)
    network, x = lively(construct(), seed), inputs_of(construct, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    space = eagleeye.trace(network, tuple(one[:1] for one in x))
    rates = np.random.default_rng(seed).uniform(0, top, len(space.groups)).tolist()

    thin = eagleeye.prune(network, space, rates)

    assert eagleeye.check(network, space, rates, x) < 1e-9
    widths = space.widths_of(rates)
    assert min(widths) >= 1
    predicted = space.cost_of(np.array([widths]))
    assert (int(predicted.macs[0]), int(predicted.params[0])) == (counted_macs(thin, x), counted_params(thin))
    made, computed = {"_tensor_constant0", "own.num_batches_tracked"}, {"a.gain", "b.gain", "c.gain"}
    assert set(thin.state_dict()) - made == set(before) - computed
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("construct", CONSTRUCTS + OTHER_INPUTS)
def test_every_construct_meets_the_criterion_whichever_channels_go(construct: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network, x = lively(construct()), inputs_of(construct, 2)
    space = eagleeye.trace(network, x)
    rng = np.random.default_rng(0)
    for _ in range(8):
        rates = rng.uniform(0.3, 0.8, len(space.groups)).tolist()
        given = [rng.uniform(size=len(ids)) for ids in space.ids]
        assert eagleeye.check(network, space, rates, x, criterion=lambda *_, given=given: given) < 1e-9


def counted_macs(network: nn.Module, x: torch.Tensor | tuple[torch.Tensor, ...]) -> int:
    """An independent count: torch's own counts two operations for each multiply-accumulate."""
    inputs = (x,) if isinstance(x, torch.Tensor) else x
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return counter.get_total_flops() // 2 // len(inputs[0])


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


def test_normalisations_over_channels_see_those_that_stay_sliced_by_hand() -> None:
    torch.manual_seed(3)
    network, x = lively(ChannelsLast()).double(), torch.randn(2, 3, 12, 12).double()
    space = eagleeye.trace(network, x[:1])
    tied, inner = [np.isin(np.arange(n), gone, invert=True) for n, gone in ((8, [1, 4, 5]), (12, [0, 11]))]
    thin = build_thin(network, space, [tied, inner])
    c, u = np.flatnonzero(tied), np.flatnonzero(inner)

    with torch.no_grad():
        y = F.conv2d(x, network.stem.weight[c], network.stem.bias[c], 2).permute(0, 2, 3, 1)
        y = F.layer_norm(y, (5,), network.norm.weight[c], network.norm.bias[c]).permute(0, 3, 1, 2)
        z = F.conv2d(y, network.depth.weight[c], network.depth.bias[c], padding=1, groups=5).permute(0, 2, 3, 1)
        z = F.layer_norm(z, (5,), network.inner.weight[c], network.inner.bias[c])
        z = F.gelu(F.linear(z, network.up.weight[u][:, c], network.up.bias[u]))
        z = F.linear(z, network.down.weight[c][:, u], network.down.bias[c]).permute(0, 3, 1, 2)
        y = (y + network.scale[c] * z).mean(dim=(2, 3))
        by_hand = F.linear(y, network.head.linear.weight[:, c], network.head.linear.bias)
        assert torch.allclose(thin(x), by_hand, rtol=1e-12, atol=1e-12)


def test_group_norms_lose_whole_groups_and_a_single_one_loses_channels_sliced_by_hand() -> None:
    torch.manual_seed(4)
    network, x = lively(GroupNorms()).double(), torch.randn(2, 3, 12, 12).double()
    space = eagleeye.trace(network, x[:1])
    chosen = [np.array(mask) for mask in ([True, False, True, True], [True] * 4 + [False] * 5, [True, True, False] * 2)]
    thin = build_thin(network, space, chosen)
    a, b, c = [0, 1, 2, 6, 7, 8, 9, 10, 11], [0, 1, 2, 3], [0, 1, 3, 4]

    with torch.no_grad():
        y = F.conv2d(x, network.a.weight[a], network.a.bias[a], padding=1)
        y = F.relu(F.group_norm(y, 3, network.four.weight[a], network.four.bias[a]))
        y = F.conv2d(y, network.b.weight[b][:, a], network.b.bias[b], padding=1)
        y = F.relu(F.group_norm(y, 1, network.one.weight[b], network.one.bias[b]))
        y = F.conv2d(y, network.c.weight[c][:, b], network.c.bias[c])
        y = F.group_norm(y, 4, network.each.weight[c], network.each.bias[c]).mean(dim=(2, 3))
        by_hand = F.linear(y, network.head.linear.weight[:, c], network.head.linear.bias)
        assert torch.allclose(thin(x), by_hand, rtol=1e-12, atol=1e-12)


def test_a_batch_norm_called_as_a_function_becomes_a_layer_that_adapts() -> None:
    network, x = lively(Functional()), torch.randn(8, 3, 12, 12)
    thin = eagleeye.prune(network, eagleeye.trace(network, x), [0.5, 0.5])
    norm = thin.get_submodule("norm")
    assert type(norm) is nn.BatchNorm2d
    assert norm.momentum == network.norm.momentum
    before = norm.running_mean.clone()
    thin.train()(x)
    assert not torch.equal(norm.running_mean, before)
    assert len(network.norm.running_mean) == 8


def test_dropout_called_as_a_function_follows_the_mode() -> None:
    class Dropping(Plain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.b(F.dropout(self.a(x), 0.9, self.training)))

    network, x = lively(Dropping()), torch.randn(2, 3, 12, 12)
    thin = eagleeye.prune(network, eagleeye.trace(network, x), [0.0, 0.0])
    assert torch.equal(thin(x), network(x))
    assert any(isinstance(layer, nn.Dropout) and layer.p == 0.9 for layer in thin.modules())
    thin.train()
    assert not torch.equal(thin(x), thin(x))


def test_standardised_weights_are_computed_once_and_keep_their_values() -> None:
    network, x = lively(Standardised()), torch.randn(2, 3, 12, 12)
    space = eagleeye.trace(network, x)
    whole = eagleeye.prune(network, space, [0.0] * len(space.groups))
    assert type(whole.get_submodule("a")) is nn.Conv2d
    assert torch.allclose(whole(x), network(x), atol=1e-5)
    flat = network.b.weight.detach().flatten(1)
    standard = (flat - flat.mean(1, keepdim=True)) / (flat.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = network.b.gain.detach() * standard.reshape(network.b.weight.shape)
    assert torch.allclose(whole.get_parameter("b.weight"), expected, atol=1e-6)


def test_the_necks_of_detectors_meet_the_criterion() -> None:
    torch.manual_seed(0)
    network = lively(resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5))
    x = torch.randn(1, 3, 64, 64)
    space = eagleeye.trace(network, x)
    rates = np.random.default_rng(0).uniform(0, 0.8, len(space.groups)).tolist()
    thin = eagleeye.prune(network, space, rates)
    assert eagleeye.check(network, space, rates, x) < 1e-9
    assert {key: value.shape for key, value in thin(x).items()} == {k: v.shape for k, v in network(x).items()}
    assert int(space.cost_of(np.array([space.widths_of(rates)])).macs[0]) == counted_macs(thin, x)


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
     "resnext50_32x4d", "wide_resnet50_2", "shufflenet_v2_x1_0", "alexnet", "convnext_tiny"],
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

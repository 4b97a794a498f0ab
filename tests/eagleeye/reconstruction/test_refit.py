"""Refitted networks against explicit least squares, and what must hold for every network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import ConfigError, StrategyError
from eagleeye.prune import choose
from tests.eagleeye import networks
from tests.eagleeye.network_parts import Head, conv_bn

KINDS = (*networks.CONSTRUCTS, *networks.OTHER_INPUTS)


def prepared(kind: Callable[[], nn.Module]) -> tuple[nn.Module, eagleeye.Space, list[tuple[Tensor, ...]]]:
    torch.manual_seed(0)
    network = networks.lively(kind()).double()
    inputs = tuple(x.double() for x in networks.inputs_of(network, 24))
    space = eagleeye.trace(network, tuple(x[:1] for x in inputs))
    return network, space, [inputs]


def layer_inputs(network: nn.Module, layer: str, batches: list[tuple[Tensor, ...]]) -> Tensor:
    seen: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    with torch.no_grad():
        for batch in batches:
            network(*batch)
    handle.remove()
    return torch.cat(seen)


@pytest.mark.parametrize("bias", [True, False])
def test_weights_are_those_of_least_squares(bias: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(conv_bn(3, 8), nn.Conv2d(8, 7, 1, bias=bias), nn.Hardtanh(), Head(7))
    network = networks.lively(network).double()
    images = torch.randn(20, 3, 9, 9).double()
    space = eagleeye.trace(network, images[:1])
    found = eagleeye.reconstruct(network, space, [images], ridge=1e-12)
    rates = [0.5 if group.name == "0.0" else 0.0 for group in space.groups]
    thin = eagleeye.prune(network, space, rates, refit=found)
    kept = choose(network, space, space.widths_of(rates))[0]

    rows = layer_inputs(network, "1", [(images,)]).movedim(1, -1).flatten(0, -2).numpy()
    wanted = network[1](layer_inputs(network, "1", [(images,)])).movedim(1, -1).flatten(0, -2).detach().numpy()
    left = rows[:, kept]
    if bias:
        left = np.concatenate([left, np.ones((len(left), 1))], axis=1)
    best = np.linalg.lstsq(left, wanted, rcond=None)[0]
    layer = thin.get_submodule("1")
    assert np.allclose(layer.weight.detach().numpy()[:, :, 0, 0].T, best[:4], atol=1e-7)
    if bias:
        assert np.allclose(layer.bias.detach().numpy(), best[4], atol=1e-7)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_layer_errs_more_than_without(kind: Callable[[], nn.Module]) -> None:
    """The error of what a layer makes of the full network's activations, the positions of its kernel apart."""
    network, space, batches = prepared(kind)
    found = eagleeye.reconstruct(network, space, batches, ridge=1e-9)
    rates = [0.5] * len(space.groups)
    kept = space.kept(choose(network, space, space.widths_of(rates)))
    plain, thin = (eagleeye.prune(network, space, rates, refit=refit) for refit in (None, found))
    axes = {(axis.tensor, axis.axis): axis.ids for axis in space.axes}
    for consumer, moments in zip(found.consumers, found.moments, strict=True):
        columns, rows = axes[consumer.weight, consumer.axis], axes.get((consumer.weight, 1 - consumer.axis))
        full = plain_weight(found.network, consumer.layer, consumer.axis)
        full = full if rows is None else full[torch.from_numpy(kept[rows])]
        errors = []
        for pruned in (plain, thin):
            weight = torch.zeros_like(full)
            weight[..., torch.from_numpy(kept[columns])] = plain_weight(pruned, consumer.layer, consumer.axis)
            errors.append(error_of(full - weight, consumer, moments))
        assert errors[1] <= errors[0] * (1 + 1e-9) + 1e-12, consumer.layer


def plain_weight(network: nn.Module, layer: str, axis: int) -> Tensor:
    weight = network.get_submodule(layer).weight.detach().movedim(axis, -1)
    return weight.reshape(len(weight), -1, weight.shape[-1])


def error_of(difference: Tensor, consumer: object, moments: list) -> float:
    total = 0.0
    for block, one in zip(consumer.blocks, moments, strict=True):
        parts = difference[..., torch.from_numpy(block.places)].movedim(2, 3)
        parts = parts.reshape(consumer.groups, -1, len(block.ids))
        total += float(((parts @ one.second) * parts).sum())
    return total


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_large_ridge_leaves_the_weights_as_they_were(kind: Callable[[], nn.Module]) -> None:
    network, space, batches = prepared(kind)
    rates = [0.4] * len(space.groups)
    found = eagleeye.reconstruct(network, space, batches, ridge=1e12)
    plain = eagleeye.prune(network, space, rates).state_dict()
    thin = eagleeye.prune(network, space, rates, refit=found).state_dict()
    for name, tensor in plain.items():
        if name.endswith("weight"):
            assert torch.allclose(thin[name], tensor, atol=1e-9), name


@given(seed=st.integers(0, 10**6), copies=st.integers(1, 3))
@settings(deadline=None, max_examples=20)
def test_channels_that_others_give_exactly_are_not_missed(seed: int, copies: int) -> None:
    torch.manual_seed(seed)
    stem, after = nn.Conv2d(3, 6, 3, bias=False).double(), nn.Conv2d(6, 5, 3).double()
    with torch.no_grad():
        stem.weight[6 - copies :] = stem.weight[:copies] * 0.5
    network = nn.Sequential(stem, after, nn.Hardtanh(), Head(5).double()).eval()
    images = torch.randn(8, 3, 9, 9).double()
    space = eagleeye.trace(network, images[:1])
    found = eagleeye.reconstruct(network, space, [images], ridge=1e-13)
    rates = [copies / 6 if group.name == "0" else 0.0 for group in space.groups]
    thin = eagleeye.prune(network, space, rates, criterion=found.order, refit=found)
    with torch.no_grad():
        assert torch.allclose(thin(images), network(images), atol=1e-6)


def test_a_network_measured_before_is_told_from_this_one() -> None:
    network, space, batches = prepared(networks.Plain)
    found = eagleeye.reconstruct(network, space, batches)
    with torch.no_grad():
        network.get_submodule("b.0").weight.mul_(2)
    with pytest.raises(StrategyError, match=r"layer 'b\.0': its weight is not the one that was measured"):
        eagleeye.prune(network, space, [0.5] * len(space.groups), criterion=found.order)
    with pytest.raises(ConfigError, match="ridge: 0 must be positive"):
        eagleeye.reconstruct(network, space, batches, ridge=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_images_of_float32_serve_networks_of_any_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network, images = networks.lively(networks.Residual()).to(dtype), torch.randn(8, 3, 12, 12)
    space = eagleeye.trace(network, images[:1].to(dtype))
    found = eagleeye.reconstruct(network, space, [images])
    thin = eagleeye.prune(network, space, [0.5] * len(space.groups), criterion=found.order, refit=found)
    assert {tensor.dtype for tensor in thin.parameters()} == {dtype}
    assert all(bool(torch.isfinite(tensor).all()) for tensor in thin.parameters())


@pytest.mark.parametrize("spoil", ["dead", "constant", "twice", "few"])
def test_singular_moments_give_finite_weights(spoil: str) -> None:
    torch.manual_seed(0)
    network = networks.lively(networks.Plain())
    conv, norm = network.get_submodule("a.0"), network.get_submodule("a.1")
    with torch.no_grad():
        if spoil == "dead":
            norm.bias.fill_(-1e6)
        if spoil == "constant":
            norm.weight.zero_()
            norm.bias.fill_(2.0)
        if spoil == "twice":
            conv.weight[4:] = conv.weight[:4]
    images = torch.randn(1 if spoil == "few" else 8, 3, 12, 12)
    space = eagleeye.trace(network, images[:1])
    found = eagleeye.reconstruct(network, space, [images])
    thin = eagleeye.prune(network, space, [0.5] * len(space.groups), criterion=found.order, refit=found)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in thin.state_dict().values())

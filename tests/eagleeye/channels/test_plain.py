"""Weights that are computed from other tensors: the plain network is the same, and the user's own is left alone."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import eagleeye
from eagleeye.channels.plain import plain
from eagleeye.engine import Method
from eagleeye.errors import EagleEyeError, ModelError, TraceError
from tests.eagleeye.channels.test_macs import counted
from tests.eagleeye.engine.conftest import make_setting
from tests.eagleeye.engine.test_engine import assert_close, engine_of
from tests.eagleeye.network_parts import Head
from tests.eagleeye.networks import lively

Way = Callable[[nn.Module], object]


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


class Same(nn.Conv2d):
    """A convolution of the user's own, which pads as it likes."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), value=0.5), self.weight, self.bias)


def masked(layer: nn.Module) -> None:
    prune.random_unstructured(layer, "weight", 0.3)
    prune.l1_unstructured(layer, "weight", 0.5)
    prune.l1_unstructured(layer, "bias", 2)


def old_weight_norm(layer: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(layer)


def halved_twice(layer: nn.Module) -> None:
    for name in ("weight", "weight", "bias"):
        parametrize.register_parametrization(layer, name, Halved())


WAYS: dict[str, Way] = {
    "parametrised weight norm": parametrizations.weight_norm,
    "parametrised spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "own parametrisations": halved_twice,
    "older weight norm": old_weight_norm,
    "older spectral norm": nn.utils.spectral_norm,
    "masks": masked,
    "masked filters": lambda layer: prune.ln_structured(layer, "weight", 0.3, n=1, dim=0),
}


class Network(nn.Module):
    def __init__(self, way: Way) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 10, 3), nn.BatchNorm2d(10), Same(10, 12, 3)
        self.c, self.head = nn.ConvTranspose2d(12, 8, 2), Head(8)
        for layer in (self.a, self.b, self.c, self.head.linear):
            way(layer)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.a(x)))
        return self.head(F.relu(self.c(F.relu(self.b(x)))))


def made(way: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return lively(Network(WAYS[way])), torch.randn(2, 3, 12, 12)


def looks(network: nn.Module) -> list[Any]:
    """Everything that a careless copy or removal would change."""
    modules = [
        (
            type(m),
            m.training,
            [list(h) for n, h in vars(m).items() if n.endswith("_hooks")],
            list(vars(m)),
            list(m._parameters),
        )
        for m in network.modules()
    ]
    return [*modules, *(tensor.clone() for tensor in network.state_dict().values()), network.state_dict().keys()]


def assert_untouched(network: nn.Module, before: list[Any]) -> None:
    for found, wanted in zip(looks(network), before, strict=True):
        assert torch.equal(found, wanted) if isinstance(wanted, Tensor) else found == wanted


@pytest.mark.parametrize("way", WAYS)
def test_the_plain_network_computes_the_same_and_has_no_other_tensors_than_a_new_one(way: str) -> None:
    network, x = made(way)
    before = looks(network)
    found = plain(network)
    assert_untouched(network, before)
    assert torch.equal(found(x), network(x))
    wanted = Network(lambda layer: None)
    assert [(n, t.shape) for n, t in found.state_dict().items()] == [
        (n, t.shape) for n, t in wanted.state_dict().items()
    ]
    assert [type(module) for module in found.modules()] == [type(module) for module in wanted.modules()]
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in found.parameters())
    assert plain(found) is found


@pytest.mark.parametrize("way", WAYS)
def test_the_users_network_goes_on_training(way: str) -> None:
    network, x = made(way)
    twin, _ = made(way)
    space = eagleeye.trace(network, x)
    eagleeye.prune(network, space, [0.5] * len(space.groups))
    for each in (network, twin):
        each.train()
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            each(x).square().mean().backward()
            optimizer.step()
    for found, wanted in zip(network.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("way", WAYS)
def test_pruning_meets_the_criterion_and_the_counter_and_can_be_saved(way: str, tmp_path: Path) -> None:
    network, x = made(way)
    before = looks(network)
    space = eagleeye.trace(network, x[:1])
    assert [group.name for group in space.groups] == ["a", "b", "c"]
    assert space.left_out == space.unstorable == ()
    assert space.full_cost.macs == counted(plain(network), x[:1])
    rates = [0.3, 0.6, 0.4]
    assert eagleeye.check(network, space, rates, x) < 1e-12
    thin, costs = eagleeye.prune(network, space, rates), space.cost_of(np.array([space.widths_of(rates)]))
    assert int(costs.macs[0]) == counted(thin, x[:1])
    assert int(costs.params[0]) == sum(parameter.numel() for parameter in thin.parameters())
    eagleeye.save(thin, tmp_path / "thin.safetensors")
    assert torch.equal(eagleeye.load(tmp_path / "thin.safetensors")(x), thin(x))
    assert_untouched(network, before)


def test_filters_are_ranked_by_what_they_compute_with() -> None:
    network, x = made("masked filters")
    space = eagleeye.trace(network, x)
    gone = (network.a.weight_mask.flatten(1).sum(1) == 0).nonzero().flatten().tolist()
    thin = eagleeye.prune(network, space, [0.3, 0, 0])
    left = [i for i in range(10) if i not in gone]
    assert len(gone) == 3
    assert torch.equal(thin.a.weight, (network.a.weight_orig * network.a.weight_mask)[left])


def test_candidates_are_scored_as_networks_built_one_by_one() -> None:
    setting = make_setting(Network(WAYS["parametrised weight norm"]))
    engine = engine_of(setting, Method(precision="float32"))
    for strategy in setting.strategies:
        assert_close(engine.score(strategy).score, setting.plain(strategy))


def test_a_tensor_in_a_parameters_place_is_a_frozen_weight() -> None:
    torch.manual_seed(0)
    network, x = (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(384, 5)),
        torch.randn(2, 3, 12, 12),
    )
    weight = network[0].weight.detach()
    del network[0].weight
    network[0].weight = weight
    space = eagleeye.trace(network.eval(), x[:1])
    assert space.full_cost.macs == counted(network, x[:1])
    assert eagleeye.check(network, space, [0.5, 0.5], x) < 1e-12
    assert "weight" in vars(network[0])


def test_weights_that_a_hook_of_the_users_sets_are_refused_in_a_line() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3))
    raw = nn.Parameter(network[0].weight.detach().clone())
    del network[0].weight
    network[0].register_parameter("raw", raw)
    network[0].register_forward_pre_hook(lambda layer, _: setattr(layer, "weight", layer.raw * 2))
    network(torch.randn(1, 3, 8, 8))
    with pytest.raises(ModelError, match="its weight is no parameter but set anew by a hook of its own") as caught:
        eagleeye.trace(network, torch.randn(1, 3, 8, 8))
    assert "\n" not in str(caught.value)


class Noisy(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight + torch.randn_like(weight)


def test_weights_that_are_others_at_every_call_are_refused() -> None:
    network, x = made("own parametrisations")
    parametrize.register_parametrization(network.b, "weight", Noisy())
    before = looks(network)
    with pytest.raises(TraceError, match="it computes weights anew at every call, and not from its tensors alone"):
        eagleeye.trace(network, x)
    assert_untouched(network, before)


def test_what_cannot_be_copied_is_refused_with_the_way_out() -> None:
    network, x = made("parametrised weight norm")
    network.lock = threading.Lock()
    with pytest.raises(EagleEyeError, match=r"make them plain first: parametrize\.remove_parametrizations") as caught:
        eagleeye.trace(network, x)
    assert "\n" not in str(caught.value)
    for layer in (network.a, network.b, network.c, network.head.linear):
        parametrize.remove_parametrizations(layer, "weight")
    assert len(eagleeye.trace(network, x).groups) == 3


def test_frozen_batch_normalisation_is_estimated_anew_like_any_other() -> None:
    from torchvision.ops import FrozenBatchNorm2d

    torch.manual_seed(0)
    x = torch.randn(16, 3, 8, 8)
    frozen, usual = FrozenBatchNorm2d(6, eps=1e-3), nn.BatchNorm2d(6, eps=1e-3)
    for name, tensor in frozen.named_buffers():
        tensor.uniform_(0.5, 2)
        getattr(usual, name).data.copy_(tensor)
    first, last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3)
    networks = [nn.Sequential(first, norm, nn.ReLU(), last).eval() for norm in (frozen, usual)]
    spaces = [eagleeye.trace(network, x) for network in networks]
    thin = [eagleeye.prune(each, space, [0.5]) for each, space in zip(networks, spaces, strict=True)]
    assert torch.equal(thin[0](x), thin[1](x))
    for each in thin:
        eagleeye.adapt_batch_norm(each, [x])
    assert torch.equal(thin[0](x), thin[1](x))
    assert isinstance(networks[0][1], FrozenBatchNorm2d)
    scales = thin[0].get_submodule("1").weight
    assert not scales.requires_grad and len(scales) == 3

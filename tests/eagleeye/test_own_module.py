"""Pruning in place: the user's own module computes what the new network does, or nothing has happened to it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torchvision.models import MobileNetV2, ResNet
from torchvision.models.resnet import BasicBlock

import eagleeye
from benchmarks.scene_networks import UNet
from eagleeye.errors import ModelError
from eagleeye.forward.structures import tensors
from eagleeye.models import build
from tests.eagleeye.detector import C2f, Conv
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import Flattened, GroupNorms, Plain, Standardised, lively
from tests.eagleeye.unusual_layers import Functional


class Parts(nn.Module):
    """Blocks whose halves may lose different numbers of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, 8, 3, 2)
        self.body = nn.Sequential(C2f(8, 16, 1, True), C2f(16, 16))
        self.head = Head(16)
        self.stride = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)))


class Auxiliary(nn.Module):
    """A head that training alone uses."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head, self.other = conv_bn(3, 8), conv_bn(8, 8), Head(8), Head(8)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.a(x)
        outputs = self.head(self.b(x))
        return (outputs, self.other(x)) if self.training else outputs


def mobilenet() -> nn.Module:
    return MobileNetV2(5, 0.25, [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]])


def uneven(groups: int) -> list[float]:
    return np.random.default_rng(0).uniform(0.2, 0.8, groups).tolist()


@pytest.mark.parametrize(
    ("make", "shape", "rates"),
    [
        (lambda: ResNet(BasicBlock, [1, 1, 1, 1], 5), (2, 3, 32, 32), uneven),
        (mobilenet, (2, 3, 32, 32), uneven),
        (lambda: UNet(width=8), (2, 1, 16, 16), uneven),
        (Parts, (2, 3, 16, 16), lambda groups: [0.5] * groups),
        (GroupNorms, (2, 3, 12, 12), uneven),
        (Functional, (2, 3, 12, 12), uneven),
    ],
    ids=["resnet", "mobilenet", "u-net", "c2f", "group-norm", "functional-norm"],
)
def test_the_own_module_computes_what_the_new_network_does_to_the_last_bit(make, shape, rates) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    network = lively(make())
    x = torch.randn(*shape)
    space = eagleeye.trace(network, x[:1])
    thin = eagleeye.prune(network, space, rates(len(space.groups)))
    kind = type(network)
    parameters = list(network.parameters())
    assert eagleeye.prune(network, space, rates(len(space.groups)), inplace=True) is network
    assert type(network) is kind
    assert all(one is other for one, other in zip(network.parameters(), parameters, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(tensors(network(x)), tensors(thin(x)), strict=True))
    assert eagleeye.cost(network, x[:1]) == eagleeye.cost(thin, x[:1])
    assert eagleeye.cost(network, x[:1]).macs < space.full_cost.macs


def test_layers_know_their_sizes_and_training_goes_on() -> None:
    network = lively(Parts())
    x = torch.randn(4, 3, 16, 16)
    sum_of(network(x)).backward()
    space = eagleeye.trace(network, x)
    eagleeye.prune(network, space, [0.5] * len(space.groups), inplace=True)
    assert network.stride == 2
    assert all(parameter.grad is None for parameter in network.parameters())
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            assert tuple(layer.weight.shape[:2]) == (layer.out_channels, layer.in_channels // layer.groups)
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.num_features == len(layer.weight) == len(layer.running_var)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    before = network.stem.conv.weight.detach().clone()
    sum_of(network.train()(x)).backward()
    optimizer.step()
    assert not torch.equal(before, network.stem.conv.weight)
    again = eagleeye.trace(network.eval(), x)
    assert again.full_cost == eagleeye.cost(network, x[:1])


def test_refitting_reaches_the_own_module() -> None:
    network = lively(Plain())
    x = torch.randn(32, 3, 12, 12)
    space = eagleeye.trace(network, x[:1])
    refit = eagleeye.reconstruct(network, space, [x])
    given = {"criterion": refit.order, "refit": refit, "in_turn": x}
    thin = eagleeye.prune(network, space, [0.5, 0.5], **given)
    eagleeye.prune(network, space, [0.5, 0.5], **given, inplace=True)
    assert torch.equal(network(x), thin(x))


@pytest.mark.parametrize(
    ("make", "rates", "said"),
    [
        (
            lambda: build("cifar_resnet20", num_classes=10),
            0.5,
            r"operation 'pad' in layer 'layer2\.0.* at .*py:\d+ needs",
        ),
        (Flattened, 0.5, r"raises 'shape '\[-1, 96\]' is invalid.*operation 'view' in .*networks\.py:\d+ needs"),
        (Parts, [0.5, 0.1, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], r"in layer 'body\.0' at .*detector\.py:\d+ needs"),
        (Standardised, 0.5, r"layer '[ab]' computes its weight from another tensor in forward\(\)"),
        (Auxiliary, 0.5, r"raises .* in training mode at .*network_parts\.py:\d+.*\(exclude\)"),
        (lambda: nn.DataParallel(Plain()), 0.5, r"network DataParallel: it wraps the network"),
        (lambda: nn.Sequential(weight_norm(nn.Conv2d(3, 4, 3)), nn.Conv2d(4, 4, 3)), 0.5, r"remove_weight_norm"),
    ],
    ids=["pad", "view", "uneven-halves", "standardised", "training-head", "wrapped", "weight-norm"],
)
def test_what_its_code_cannot_do_is_refused_and_changes_nothing(make, rates, said: str) -> None:  # type: ignore[no-untyped-def]
    network = lively(make())
    x = torch.randn(2, 3, 12, 12)
    space = eagleeye.trace(network, x[:1])
    every = rates if isinstance(rates, list) else [rates] * len(space.groups)
    before = copy.deepcopy(network)
    with pytest.raises(ModelError, match=said) as raised:
        eagleeye.prune(network, space, every, inplace=True)
    assert "\n" not in str(raised.value)
    assert {name: layer.extra_repr() for name, layer in network.named_modules()} == {
        name: layer.extra_repr() for name, layer in before.named_modules()
    }
    assert network.training is before.training
    for name, tensor in before.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)
    assert torch.equal(network(x), before(x))


def test_a_head_of_training_alone_is_kept_by_excluding_what_it_reads() -> None:
    network = lively(Auxiliary())
    x = torch.randn(2, 3, 12, 12)
    space = eagleeye.trace(network, x, exclude=["a.*"])
    eagleeye.prune(network, space, [0.5], inplace=True)
    assert [len(each) for each in network.train()(x)] == [2, 2]


def sum_of(outputs: Tensor) -> Tensor:
    return outputs.square().sum()

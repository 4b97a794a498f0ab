"""Multiply-accumulates told before pruning against torch's own counter on the pruned network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import eagleeye
from tests.eagleeye.channels.test_left_out import Unfollowed
from tests.eagleeye.network_parts import Head, conv_bn


def counted(network: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    return counter.get_total_flops() // 2


class Modulated(nn.Module):
    """A convolution with a weight for each sample, as style-based generators have it."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.weight, self.style = nn.Parameter(torch.randn(1, filters, inputs, 3, 3)), nn.Linear(inputs, inputs)
        self.filters = filters

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        weight = self.weight * self.style(x.mean((2, 3))).view(n, 1, c, 1, 1)
        weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8).view(n, self.filters, 1, 1, 1)
        y = F.conv2d(x.reshape(1, n * c, h, w), weight.view(n * self.filters, c, 3, 3), padding=1, groups=n)
        return y.view(n, self.filters, h, w)


class Dynamic(nn.Module):
    """A convolution whose weight is a mixture of experts, mixed by a product of matrices."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.weight, self.route = nn.Parameter(torch.randn(4, filters * inputs * 9)), nn.Linear(inputs, 4)
        self.filters = filters

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        weight = torch.mm(torch.softmax(self.route(x.mean((2, 3))), 1), self.weight)
        y = F.conv2d(x.reshape(1, n * c, h, w), weight.view(n * self.filters, c, 3, 3), padding=1, groups=n)
        return y.view(n, self.filters, h, w)


class LowRank(nn.Module):
    """A 1x1 convolution whose weight is the product of two matrices."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(filters, 2)), nn.Parameter(torch.randn(2, inputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, (self.left @ self.right)[:, :, None, None])


class Patches(nn.Module):
    """Pictures cut into four, which then are the batch; a linear layer on rows of pixels."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.conv, self.rows = conv_bn(inputs, filters), nn.Linear(filters, filters)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.view(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 1, 3, 5).reshape(n * 4, c, h // 2, w // 2)
        y = self.conv(x)
        y = self.rows(y.permute(0, 2, 3, 1).reshape(-1, y.shape[1]))
        return y.view(n, h, w, -1).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Self-attention over positions: products of activations, in code of its own and in a layer of torch."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.qkv, self.layer = nn.Conv2d(inputs, 3 * inputs, 1), nn.MultiheadAttention(inputs, 2, batch_first=True)
        self.out = nn.Conv2d(inputs, filters, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).flatten(2).chunk(3, 1)
        x = (v @ torch.softmax(q.transpose(1, 2) @ k, -1).transpose(1, 2)).view_as(x)
        x = x + F.scaled_dot_product_attention(q, k, v).view_as(x)
        tokens = x.flatten(2).transpose(1, 2)
        return self.out(self.layer(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape))


class Between(nn.Module):
    """A part between convolutions that can be pruned."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.a, self.b, self.part, self.c, self.head = conv_bn(3, 8), conv_bn(8, 6), part, conv_bn(5, 7), Head(7)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.c(self.part(self.b(self.a(x)))))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("part", [Modulated, Dynamic, LowRank, Patches, Attention])
def test_what_is_told_is_what_torch_counts(part: type[nn.Module], count: int) -> None:
    torch.manual_seed(0)
    network, x = Between(part(6, 5)).eval(), torch.randn(count, 3, 12, 12)
    space = eagleeye.trace(network, x)
    assert space.full_cost.macs == counted(network, x[:1])
    assert {"a.0", "c.0"} <= {group.name for group in space.groups}
    for rate in (0.3, 0.8):
        rates = [rate] * len(space.groups)
        thin = eagleeye.prune(network, space, rates)
        costs = space.cost_of(np.array([space.widths_of(rates)]))
        assert int(costs.macs[0]) == counted(thin, x[:1]) == eagleeye.cost(thin, x).macs
        assert int(costs.params[0]) == sum(parameter.numel() for parameter in thin.parameters())
        assert eagleeye.check(network, space, rates, x) < 1e-12


class Standardised(nn.Conv2d):
    """A convolution that standardises its weight at every call."""

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, (self.weight - mean) / (deviation + 1e-5), self.bias, padding=1)


class Shared(nn.Module):
    """A head for all levels that standardises its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.tower, self.out = conv_bn(3, 6), Standardised(6, 8, 3), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        return [self.out(F.relu(self.tower(level))) for level in (x, F.max_pool2d(x, 2), F.max_pool2d(x, 4))]


def test_a_layer_of_computed_weight_that_is_called_several_times_is_pruned_and_told_right() -> None:
    torch.manual_seed(0)
    network, x = Shared().eval(), torch.randn(2, 3, 16, 16)
    space = eagleeye.trace(network, x)
    assert [group.name for group in space.groups] == ["stem.0", "tower"]
    thin, costs = eagleeye.prune(network, space, [0.5, 0.5]), space.cost_of(np.array([[3, 4]]))
    assert int(costs.macs[0]) == counted(thin, x[:1])
    assert eagleeye.check(network, space, [0.5, 0.5], x) < 1e-12


def test_a_network_in_which_almost_nothing_can_be_followed_is_told_right() -> None:
    torch.manual_seed(0)
    network, x = Unfollowed().eval(), torch.randn(1, 3, 12, 12)
    space = eagleeye.trace(network, x)
    assert space.full_cost.macs == counted(network, x)


class OfList(nn.Module):
    """As the heads of detectors: features of several sizes in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [self.last(self.first(each).relu()) for each in maps]


def test_macs_are_those_of_one_input_where_the_batch_is_in_a_list() -> None:
    network, maps = OfList().eval(), [torch.rand(4, 3, 12, 12), torch.rand(4, 3, 6, 6)]
    space = eagleeye.trace(network, (maps,))
    assert space.full_cost.macs == (10 * 10 + 4 * 4) * (8 * 3 * 9 + 2 * 8)
    assert space.full_cost == eagleeye.cost(network, (maps,))

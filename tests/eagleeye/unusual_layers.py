"""Small networks whose layers a module alone does not tell: other norms, functions, weights made on the way."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from tests.eagleeye.network_parts import Head, conv_bn


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of maps (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ChannelsLast(nn.Module):
    """A ConvNeXt block: layer norm and linear layers on (N, H, W, C), a scale per layer, stochastic depth."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.depth = (
            nn.Conv2d(3, 8, 2, 2),
            LayerNorm2d(8),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
        )
        self.inner, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 12), nn.Linear(12, 8)
        self.scale, self.drop, self.head = nn.Parameter(torch.rand(8, 1, 1)), StochasticDepth(0.1, "row"), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        y = self.down(F.gelu(self.up(self.inner(self.depth(x).permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)
        return self.head(x + self.drop(self.scale * y))


class GroupNorms(nn.Module):
    """Group norms of many groups, of one (a layer norm of the whole map), and of one channel each."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.four = nn.Conv2d(3, 12, 3, padding=1), nn.GroupNorm(4, 12)
        self.b, self.one = nn.Conv2d(12, 9, 3, padding=1), nn.GroupNorm(1, 9)
        self.c, self.each, self.head = nn.Conv2d(9, 6, 1), nn.GroupNorm(6, 6), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(self.b(F.relu(self.four(self.a(x))))))
        return self.head(self.each(self.c(x)))


class NormAct(nn.BatchNorm2d):
    """A batch norm with its activation inside, as model zoos write it."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, self.eps)
        return F.relu(x)


class OwnNorm(nn.Module):
    """A batch norm written from scratch: no layer of torch.nn, no count of batches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(channels) + 0.5), nn.Parameter(torch.randn(channels))
        self.register_buffer("running_mean", torch.randn(channels))
        self.register_buffer("running_var", torch.rand(channels) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)


class Functional(nn.Module):
    """Functions called with the network's own parameters, and with those of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.offset = nn.Parameter(torch.randn(8, 3, 3, 3)), nn.Parameter(torch.randn(8))
        self.norm, self.b = NormAct(8), conv_bn(8, 6)
        self.own, self.matrix = OwnNorm(6), nn.Parameter(torch.randn(5, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.own(self.b(self.norm(F.conv2d(x, self.kernel, self.offset, padding=1))))
        return F.linear(x.mean((2, 3)), self.matrix)


class StandardConv(nn.Conv2d):
    """A convolution with standardised weights and a learnt gain, padded as the size asks for."""

    def __init__(self, *args: int, **options: int) -> None:
        super().__init__(*args, **options)
        self.gain = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = self.gain * F.batch_norm(flat, None, None, training=True, momentum=0.0).reshape_as(self.weight)
        size, stride = self.weight.shape[-2:][0], self.stride[0]
        pad = max((math.ceil(x.shape[-1] / stride) - 1) * stride + size - x.shape[-1], 0)
        x = F.pad(x, [pad // 2, pad - pad // 2, pad // 2, pad - pad // 2])
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Standardised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = StandardConv(3, 8, 3), StandardConv(8, 8, 3, stride=2)
        self.c, self.head = StandardConv(8, 12, 3, groups=2), Head(12)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.c(F.relu(self.b(F.relu(self.a(x)))))))


class SplitAttention(nn.Module):
    """Two branches stacked, weighted against each other and summed (selective kernels)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = conv_bn(3, 6), conv_bn(6, 8), conv_bn(6, 8, 1)
        self.squeeze, self.select, self.head = conv_bn(8, 4, 1), nn.Conv2d(4, 16, 1), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        both = torch.stack([self.a(x), self.b(x)], dim=1)
        gate = self.select(self.squeeze(both.sum(1).mean((2, 3), keepdim=True)))
        gate = torch.softmax(gate.view(x.shape[0], 2, 8, 1, 1), dim=1)
        return self.head((both * gate).sum(dim=1))


class FrozenNorm(nn.Module):
    """Batch normalisation whose tensors are buffers, as detectors freeze it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, low in (("weight", 0.5), ("bias", -0.3), ("running_mean", -0.3), ("running_var", 0.5)):
            self.register_buffer(name, torch.empty(channels).uniform_(low, low + 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False)


class FrozenGroups(nn.Module):
    """Layer normalisation over all channels, its tensors buffers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, 1, self.weight, self.bias)


class Frozen(nn.Module):
    """Layers whose tensors are buffers: normalisations of their own kind, convolutions and a linear layer of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.inner = nn.Conv2d(3, 8, 3), FrozenNorm(8), nn.Conv2d(8, 10, 3, padding=1)
        self.whole, self.outer, self.after = FrozenGroups(10), nn.Conv2d(10, 8, 1), nn.BatchNorm2d(8)
        self.depth, self.head = nn.Conv2d(8, 8, 3, groups=8), Head(8)
        for layer in (self.stem, self.inner, self.outer, self.after, self.head.linear):
            weight = layer.weight.detach()
            del layer.weight
            layer.register_buffer("weight", weight)
        self.depth.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = x + self.after(self.outer(F.relu(self.whole(self.inner(x)))))
        return self.head(self.depth(x))

"""Small networks, one for each construct that ties or moves channels."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.unusual_layers import (
    ChannelsLast,
    Functional,
    GroupNorms,
    SplitAttention,
    Standardised,
)


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv_bn(3, 8), conv_bn(8, 12), Head(12)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(self.b(self.a(x)), 2))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.outer = conv_bn(3, 8), conv_bn(8, 6), conv_bn(6, 8)
        self.skip, self.down, self.head = conv_bn(8, 10, 1), conv_bn(8, 10), Head(10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(x + self.outer(self.inner(x)))
        y = self.skip(x)
        y += self.down(x)
        return self.head(y)


class Concatenation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = conv_bn(3, 6), conv_bn(6, 4), conv_bn(10, 7), Head(17)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        ab = torch.cat([a, self.b(a)], dim=1)
        return self.head(torch.cat([self.c(ab), ab], 1))


class PaddedShortcut(nn.Module):
    """Option A of the CIFAR ResNets: strided slicing, then zero channels on both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1, self.conv2 = conv_bn(3, 6), conv_bn(6, 12, stride=2), conv_bn(12, 12)
        self.last, self.head = conv_bn(12, 12), Head(12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 3, 3), "constant", 0.0)
        x = F.relu(shortcut + self.conv2(self.conv1(x)))
        return self.head(x + self.last(x))


class PaddedWhole(nn.Module):
    """Zero channels beside channels that cannot go: the zeros can, with the filters they are added to."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.head = conv_bn(3, 4), conv_bn(4, 10), Head(10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(F.pad(x, (0, 0, 0, 0, 2, 4)) + self.conv(x)) + x.mean(dim=(1, 2, 3))[:, None]


class Shuffle(nn.Module):
    """A ShuffleNet unit: half of the channels pass, the rest is convolved, then both are interleaved."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = conv_bn(3, 12), nn.Sequential(conv_bn(6, 8, 1), conv_bn(8, 8, groups=8), conv_bn(8, 6))
        self.after, self.head = conv_bn(12, 6), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        kept, rest = self.stem(x).chunk(2, dim=1)
        x = torch.cat((kept, self.branch(rest)), dim=1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width)
        x = torch.transpose(x, 1, 2).contiguous().view(batch, channels, height, width)
        return self.head(self.after(x))


class Slices(nn.Module):
    """Uneven slices with hard-coded bounds, each with its own consumer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.c = conv_bn(3, 12), conv_bn(5, 4), conv_bn(4, 4), conv_bn(3, 4)
        self.head = Head(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        first, middle, _ = torch.split(x, [5, 4, 3], dim=1)
        return self.head(self.a(x[:, :5]) + self.b(middle) + self.c(x[:, 9:, :, :]) + 0 * first.mean())


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth, self.point = conv_bn(3, 8), conv_bn(8, 16, groups=8), conv_bn(16, 10, 1)
        self.head = Head(10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.point(self.depth(self.stem(x))))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grouped, self.point = conv_bn(3, 12), conv_bn(12, 8, groups=4), conv_bn(8, 10, 1)
        self.head = Head(10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.point(self.grouped(self.stem(x))))


class Gate(nn.Module):
    """Squeeze and excitation, and a spatial attention map of one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down, self.up = conv_bn(3, 8), nn.Conv2d(8, 3, 1), nn.Conv2d(3, 8, 1)
        self.attention, self.after, self.head = nn.Conv2d(8, 1, 3, padding=1), conv_bn(8, 6), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x * torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))
        return self.head(self.after(x * torch.sigmoid(self.attention(x))))


class OneChannel(nn.Module):
    """Convolutions with one channel that are not depthwise."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.expand, self.head = nn.Conv2d(3, 1, 3, padding=1), conv_bn(1, 8), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.expand(self.squeeze(x)))


class Flattened(nn.Module):
    """A view with hard-coded sizes before a linear layer, and a hidden linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.hidden, self.out = conv_bn(3, 6), nn.Linear(6 * 4 * 4, 9), nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.stem(x), 4)
        return self.out(F.relu(self.hidden(x.view(-1, 6 * 4 * 4))))


class ConvolutionHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.classes = conv_bn(3, 8), nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(F.adaptive_avg_pool2d(self.classes(self.stem(x)), (1, 1)), 1)


class Twice(nn.Module):
    """One layer called twice, and a parameter used directly."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.same, self.head = conv_bn(3, 8), conv_bn(8, 8), Head(8)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.same(self.same(self.stem(x))) * self.scale)


class Sizes(nn.Module):
    """Sizes read at run time, control flow on shapes, an operation without a rule that mixes channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = conv_bn(3, 6), conv_bn(6, 8), Head(8)
        self.mixed = conv_bn(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if x.shape[1] > 2 and len(x.shape) == 4:
            x = self.b(x)
        batch, channels = x.shape[:2]
        x = x.reshape(batch, channels, -1).reshape(batch, channels, *x.shape[2:])
        x = self.mixed(x)
        return self.head(torch.softmax(x, dim=1) * (x.size(1) ** 0.5))


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.slope = conv_bn(3, 6), nn.ConvTranspose2d(6, 8, 2, stride=2), nn.PReLU(8)
        self.after, self.head = conv_bn(8, 5), Head(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.after(self.slope(self.up(self.stem(x)))))


class Expanded(nn.Module):
    """Maps expanded to the size of others, stacked branches taken apart again, a shuffle that is a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate, self.a, self.b = conv_bn(3, 8), nn.Conv2d(8, 8, 1), conv_bn(10, 6), conv_bn(10, 6)
        self.shuffle, self.head, self.shift = nn.ChannelShuffle(2), Head(12), nn.Parameter(torch.randn(1, 2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate = torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        x = x * gate.expand(x.shape[0], 8, *x.shape[2:]) + gate.expand_as(x)
        x = torch.cat([x, self.shift.expand(x.shape[0], 2, *x.shape[2:])], 1)
        a, b = torch.stack([self.a(x), self.b(x)], 0).unbind(0)
        return self.head(self.shuffle(torch.cat([a, b], 1)))


class EvenGroups(nn.Module):
    """A grouped convolution of few groups: all of them stay, each with as many channels less."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grouped, self.point = conv_bn(3, 12), conv_bn(12, 16, groups=2), conv_bn(16, 10, 1)
        self.head = Head(10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.point(self.grouped(self.stem(x))))


class GroupedTransposed(nn.Module):
    """Transposed convolutions in groups: depthwise, and of several channels each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up = conv_bn(3, 6), nn.ConvTranspose2d(6, 6, 2, stride=2, groups=6)
        self.twice, self.after, self.head = nn.ConvTranspose2d(6, 9, 1, groups=3), conv_bn(9, 5), Head(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.after(F.relu(self.twice(self.up(self.stem(x))))))


class Blur(nn.Module):
    """A fixed depthwise filter kept as a buffer, and a tensor made on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.after, self.head = conv_bn(3, 8), conv_bn(8, 6), Head(6)
        self.register_buffer("taps", torch.rand(1, 1, 3, 3).repeat(8, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(self.stem(x), self.taps, stride=2, groups=8)
        return self.head(self.after(x * torch.tensor(0.5)))


class Sequence(nn.Module):
    """One-dimensional convolutions."""

    input_shapes = ((3, 20),)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv1d(3, 8, 5, padding=2), nn.BatchNorm1d(8), nn.Conv1d(8, 6, 3, groups=2)
        self.pool, self.head = nn.MaxPool1d(2), nn.Linear(6 * 9, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(F.relu(self.b(self.norm(self.a(x))))), 1))


class Volume(nn.Module):
    """Three-dimensional convolutions."""

    input_shapes = ((3, 5, 8, 8),)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv3d(3, 8, (1, 3, 3)), nn.BatchNorm3d(8)
        self.b, self.c, self.head = nn.Conv3d(8, 8, 3, padding=1, groups=8), nn.Conv3d(8, 6, 1), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool3d(self.c(F.relu(self.b(self.norm(self.a(x))))), (1, 2, 2))
        return self.head(F.adaptive_avg_pool3d(x, 1).flatten(1))


class TwoInputs(nn.Module):
    """Two inputs of different sizes with a branch each, and several outputs in a dict and a list."""

    input_shapes = ((3, 12, 12), (2, 6, 6))

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse, self.joint = conv_bn(3, 8, stride=2), conv_bn(2, 8), conv_bn(16, 6)
        self.maps, self.lateral, self.head = conv_bn(6, 4), nn.Conv2d(8, 4, 1), Head(6)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor | list[Tensor]]:
        x, y = self.fine(x), self.coarse(y)
        joint = self.joint(torch.cat([x, y], 1))
        return {"classes": self.head(joint), "maps": [self.maps(joint), self.lateral(x + y)]}


CONSTRUCTS: tuple[Callable[[], nn.Module], ...] = (
    Plain, Residual, Concatenation, PaddedShortcut, Shuffle, Slices, Depthwise, Grouped, Gate, OneChannel, Flattened,
    ConvolutionHead, Twice, Sizes, Transposed, ChannelsLast, GroupNorms, Functional, Standardised, SplitAttention,
    Expanded, EvenGroups, GroupedTransposed, Blur, PaddedWhole,
)  # fmt: skip

OTHER_INPUTS: tuple[Callable[[], nn.Module], ...] = (Sequence, Volume, TwoInputs)
"""Networks that take something else than one picture of three channels."""


def inputs_of(network: nn.Module | type[nn.Module], count: int) -> tuple[Tensor, ...]:
    """Random inputs: 12x12 pictures of three channels unless the network says otherwise."""
    return tuple(torch.randn(count, *shape) for shape in getattr(network, "input_shapes", ((3, 12, 12),)))


def lively(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random normalisation parameters and statistics: with the initial ones, mistakes can cancel out."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.running_var):
                tensor.data.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias, module.running_mean):
                tensor.data.normal_(0, 0.3, generator=generator)
        elif isinstance(module, (nn.LayerNorm, nn.GroupNorm)):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.3, generator=generator)
    return network.eval()

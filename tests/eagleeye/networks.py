"""Small networks, one for each construct that ties or moves channels."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(inputs: int, filters: int, size: int = 3, **options: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, filters, size, padding=size // 2, bias=False, **options), nn.BatchNorm2d(filters), nn.ReLU()
    )


class Head(nn.Module):
    def __init__(self, channels: int, classes: int = 5) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean(dim=[2, 3]))


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


CONSTRUCTS: tuple[Callable[[], nn.Module], ...] = (
    Plain, Residual, Concatenation, PaddedShortcut, Shuffle, Slices, Depthwise, Grouped, Gate, OneChannel, Flattened,
    ConvolutionHead, Twice, Sizes, Transposed,
)  # fmt: skip


def lively(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random normalisation parameters and statistics: with the initial ones, mistakes can cancel out."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                tensor.data.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias, module.running_mean):
                tensor.data.normal_(0, 0.3, generator=generator)
    return network.eval()

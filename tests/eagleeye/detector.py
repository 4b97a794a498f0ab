"""A one-stage detector as people write them: its neck goes up and down again, its heads look at three levels."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Module):
    """Convolution, batch normalisation, SiLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001, momentum=0.03)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels, 3)
        self.cv2 = Conv(channels, channels, 3)
        self.add = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cv2(self.cv1(x)) if self.add else self.cv2(self.cv1(x))


class C2f(nn.Module):
    """Half of the channels pass, the other half goes from block to block, and all that came of it is joined."""

    def __init__(self, inputs: int, outputs: int, count: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        self.c = outputs // 2
        self.cv1 = Conv(inputs, 2 * self.c)
        self.cv2 = Conv((2 + count) * self.c, outputs)
        self.m = nn.ModuleList(Bottleneck(self.c, shortcut) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        y = list(self.cv1(x).chunk(2, 1))
        y.extend(m(y[-1]) for m in self.m)
        return self.cv2(torch.cat(y, 1))


class SPPF(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int = 5) -> None:
        super().__init__()
        self.cv1 = Conv(inputs, inputs // 2)
        self.cv2 = Conv(inputs // 2 * 4, outputs)
        self.m = nn.MaxPool2d(size, 1, size // 2)

    def forward(self, x: Tensor) -> Tensor:
        y = [self.cv1(x)]
        y.extend(self.m(y[-1]) for _ in range(3))
        return self.cv2(torch.cat(y, 1))


class Distances(nn.Module):
    """The mean of a distribution over distances, by a convolution that is not trained."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(bins, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.data[:] = torch.arange(bins, dtype=torch.float).view(1, bins, 1, 1)
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        batch, _, places = x.shape
        return self.conv(x.view(batch, 4, self.bins, places).transpose(2, 1).softmax(1)).view(batch, 4, places)


class Detect(nn.Module):
    """Decoupled heads: boxes and classes of three levels; decoded boxes in evaluation, raw maps in training."""

    def __init__(self, classes: int, channels: tuple[int, ...], bins: int = 4) -> None:
        super().__init__()
        self.nc = classes
        self.bins = bins
        self.no = classes + 4 * bins
        self.stride = torch.zeros(len(channels))
        self.shape: Any = None
        self.anchors = torch.empty(0)
        self.strides = torch.empty(0)
        boxes = max(8, channels[0] // 4)
        self.cv2 = nn.ModuleList(
            nn.Sequential(Conv(c, boxes, 3), Conv(boxes, boxes, 3), nn.Conv2d(boxes, 4 * bins, 1)) for c in channels
        )
        self.cv3 = nn.ModuleList(
            nn.Sequential(
                Conv(c, channels[0], 3), Conv(channels[0], channels[0], 3), nn.Conv2d(channels[0], classes, 1)
            )
            for c in channels
        )
        self.dfl = Distances(bins)

    def forward(self, x: list[Tensor]) -> Any:
        for level in range(len(x)):
            x[level] = torch.cat((self.cv2[level](x[level]), self.cv3[level](x[level])), 1)
        if self.training:
            return x
        shape = x[0].shape
        joined = torch.cat([level.view(shape[0], self.no, -1) for level in x], 2)
        if self.shape != shape:
            self.anchors, self.strides = (each.transpose(0, 1) for each in anchors_of(x, self.stride))
            self.shape = shape
        box, scores = joined.split((4 * self.bins, self.nc), 1)
        left, right = self.dfl(box).chunk(2, 1)
        low = self.anchors.unsqueeze(0) - left
        high = self.anchors.unsqueeze(0) + right
        boxes = torch.cat(((low + high) / 2, high - low), 1) * self.strides
        return torch.cat((boxes, scores.sigmoid()), 1), x


def anchors_of(levels: list[Tensor], strides: Tensor) -> tuple[Tensor, Tensor]:
    """The centres of all cells (n, 2), and the stride of each (n, 1)."""
    points, steps = [], []
    for level, stride in zip(levels, strides, strict=True):
        _, _, height, width = level.shape
        across = torch.arange(end=width, dtype=level.dtype, device=level.device) + 0.5
        down = torch.arange(end=height, dtype=level.dtype, device=level.device) + 0.5
        down, across = torch.meshgrid(down, across, indexing="ij")
        points.append(torch.stack((across, down), -1).view(-1, 2))
        steps.append(torch.full((height * width, 1), stride, dtype=level.dtype, device=level.device))
    return torch.cat(points), torch.cat(steps)


class Detector(nn.Module):
    """Backbone, neck and heads."""

    def __init__(self, classes: int = 5, width: int = 8) -> None:
        super().__init__()
        a, b, c, d = width, 2 * width, 4 * width, 8 * width
        self.stem = nn.Sequential(Conv(3, a, 3, 2), Conv(a, b, 3, 2), C2f(b, b, 1, True))
        self.small = nn.Sequential(Conv(b, b, 3, 2), C2f(b, b, 2, True))
        self.middle = nn.Sequential(Conv(b, c, 3, 2), C2f(c, c, 2, True))
        self.large = nn.Sequential(Conv(c, d, 3, 2), C2f(d, d, 1, True), SPPF(d, d))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.up_middle, self.up_small = C2f(d + c, c), C2f(c + b, b)
        self.to_middle, self.down_middle = Conv(b, b, 3, 2), C2f(b + c, c)
        self.to_large, self.down_large = Conv(c, c, 3, 2), C2f(c + d, d)
        self.detect = Detect(classes, (b, c, d))
        self.detect.stride = torch.tensor([64 / level.shape[-2] for level in self(torch.zeros(1, 3, 64, 64))])
        for head, stride in zip(self.detect.cv3, self.detect.stride, strict=True):
            head[-1].bias.data[:] = math.log(5 / classes / (640 / stride) ** 2)

    def forward(self, x: Tensor) -> Any:
        small = self.small(self.stem(x))
        middle = self.middle(small)
        large = self.large(middle)
        up_middle = self.up_middle(torch.cat((self.up(large), middle), 1))
        found = self.up_small(torch.cat((F.interpolate(up_middle, scale_factor=2.0), small), 1))
        down = self.down_middle(torch.cat((self.to_middle(found), up_middle), 1))
        return self.detect([found, down, self.down_large(torch.cat((self.to_large(down), large), 1))])

"""Small networks for what can be asked about scenes: masks, labels, counts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.scenes import CLASSES


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A convolution with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class UNet(nn.Module):
    """Class scores for every pixel; what the encoder saw is joined to what the decoder makes."""

    def __init__(self, outputs: int = CLASSES, width: int = 12) -> None:
        super().__init__()
        self.first, self.down = block(1, width), block(width, 2 * width, 2)
        self.deep = nn.Sequential(block(2 * width, 4 * width, 2), block(4 * width, 4 * width))
        self.up, self.last = block(6 * width, 2 * width), block(3 * width, width)
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (n, classes, h, w) of pictures (n, 1, h, w)."""
        first = self.first(x)
        down = self.down(first)
        up = self.up(torch.cat([F.interpolate(self.deep(down), scale_factor=2.0), down], 1))
        return self.head(self.last(torch.cat([F.interpolate(up, scale_factor=2.0), first], 1)))


class Heads(nn.Module):
    """Which digits there are, how many, and features: outputs as people return them."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.body = nn.Sequential(block(1, width), block(width, 2 * width, 2), block(2 * width, 4 * width, 2))
        self.labels, self.count = nn.Linear(4 * width, 10), nn.Linear(4 * width, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        """What there is in pictures (n, 1, h, w)."""
        features = self.body(x).amax((2, 3))
        return {"features": features, "heads": (self.labels(features), self.count(features))}


class Labels(Heads):
    """Which digits there are."""

    def forward(self, x: Tensor) -> Tensor:
        """A logit for every digit (n, 10), of pictures (n, 1, h, w)."""
        return self.labels(self.body(x).amax((2, 3)))


class Count(Heads):
    """How many digits there are."""

    def forward(self, x: Tensor) -> Tensor:
        """The number of digits (n, 1), of pictures (n, 1, h, w)."""
        return self.count(self.body(x).sum((2, 3)) / 100)

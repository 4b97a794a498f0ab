"""Small networks for every task, and images of scenes with what is asked about them."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.scenes import CLASSES, Scenes, make_scenes


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
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
        features = self.body(x).amax((2, 3))
        return {"features": features, "heads": (self.labels(features), self.count(features))}


class Labels(Heads):
    def forward(self, x: Tensor) -> Tensor:
        return self.labels(self.body(x).amax((2, 3)))


class Count(Heads):
    def forward(self, x: Tensor) -> Tensor:
        return self.count(self.body(x).sum((2, 3)) / 100)


@cache
def scenes(count: int = 240, seed: int = 1) -> Scenes:
    return make_scenes(count, seed=seed)


@cache
def trained(kind: type[nn.Module], epochs: int = 6) -> nn.Module:
    """A network that knows something of its task, after a few seconds."""
    torch.manual_seed(0)
    model, found = kind(), scenes(240, 1)
    targets = {UNet: found.masks, Count: found.counts}.get(kind, found.labels)
    loss = {UNet: F.cross_entropy, Count: F.mse_loss}.get(kind, F.binary_cross_entropy_with_logits)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    for _ in range(epochs):
        for rows in torch.randperm(len(targets)).split(24):
            optimizer.zero_grad()
            outputs = model(found.images[rows])
            loss(outputs["heads"][0] if kind is Heads else outputs, targets[rows]).backward()
            optimizer.step()
    return model.eval()

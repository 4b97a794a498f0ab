"""What the small networks of the tests are made of."""

from __future__ import annotations

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

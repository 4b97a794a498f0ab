"""Networks that settings of the tests name."""

import numpy as np
import torch
from torch import Tensor, nn

from eagleeye.channels import Space


def with_group_norm(num_classes: int) -> nn.Module:
    """A network that needs no recalibration."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, num_classes),
    )


def small(num_classes: int) -> nn.Module:
    """A network for images of any size, trained within a second."""
    layers: list[nn.Module] = []
    for inputs, filters in ((3, 12), (12, 16), (16, 24), (24, 24)):
        convolution = nn.Conv2d(inputs, filters, 3, stride=2 if inputs in (3, 16) else 1, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(filters), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96, num_classes))


def for_one_size(num_classes: int) -> nn.Module:
    """A network for images of 32 pixels alone."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2048, num_classes),
    )


def larger_last(_model: nn.Module, space: Space) -> list[np.ndarray]:
    """An importance criterion of a user's own: the last filters matter most."""
    return [np.arange(group.channels, dtype=float) for group in space.groups]


class Unstorable(nn.Sequential):
    """A network with an operation that a saved network cannot name."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, classes)."""
        return super().forward(x + torch.histc(x).max())


def with_a_histogram(num_classes: int) -> nn.Module:
    """A network that can be searched but not saved."""
    return Unstorable(*with_group_norm(num_classes))


class AroundACore(nn.Module):
    """Looks at values, which no recording follows, before a core that only computes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        layers = list(small(num_classes))
        self.stem = nn.Sequential(*layers[:3])
        self.core = nn.Sequential(*layers[3:-2])
        self.head = nn.Sequential(*layers[-2:])
        self.unused = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, classes)."""
        if float(x.max()) > 100:
            raise ValueError("pictures are normalised")
        return self.head(self.core(self.stem(x)))


def around_a_core(num_classes: int) -> nn.Module:
    """A network of which one module can be traced."""
    return AroundACore(num_classes)

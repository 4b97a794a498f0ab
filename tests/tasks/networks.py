"""Networks that settings of the tests name."""

import numpy as np
from torch import nn

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


def larger_last(_model: nn.Module, space: Space) -> list[np.ndarray]:
    """An importance criterion of a user's own: the last filters matter most."""
    return [np.arange(group.channels, dtype=float) for group in space.groups]

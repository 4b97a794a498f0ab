"""Importance criteria: how much a channel of a group matters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from torch import nn

from eagleeye.channels.space import Space

Criterion = Callable[[nn.Module, Space], list[npt.NDArray[np.float64]]]
"""Per group an array of its channels' importances, in the order of the first convolution's filters."""


def l1_norm(model: nn.Module, space: Space) -> list[npt.NDArray[np.float64]]:
    """L1 norm of the filters (method, step 2); of tied filters, the sum of their norms.

    Args:
        model: The network whose filters are ranked.
        space: Its search space.

    Returns:
        Per group, the importance of each channel.
    """
    totals = np.zeros(space.id_count)
    for axis in space.axes:
        if axis.role == "filter":
            weight = model.get_parameter(axis.tensor).detach().double().cpu()
            norms = weight.abs().sum(dim=[d for d in range(weight.dim()) if d != axis.axis]).numpy()
            np.add.at(totals, axis.ids, norms)
    return [totals[ids] for ids in space.ids]

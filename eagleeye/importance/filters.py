"""Criteria that look at the weights alone."""

from __future__ import annotations

import operator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from eagleeye.channels.space import Space
from eagleeye.channels.ties import Axis
from eagleeye.errors import ConfigError
from eagleeye.importance.ranked import Importance, Rows, channel_rows, filter_axes, ranked, total
from eagleeye.torch_layers import BatchNorm


def l1_norm(model: nn.Module, space: Space) -> list[Importance]:
    """L1 norm of the filters (method, step 2); of tied filters, the sum of their norms.

    Args:
        model: The network whose filters are ranked.
        space: Its search space.

    Returns:
        Per group, the importance of each channel.
    """
    return ranked(filter_rows, l1, total, model, space)


def filter_rows(model: nn.Module, space: Space) -> list[list[Rows]]:
    """The filters themselves: per group and convolution, one row for each channel."""
    return channel_rows(space, filter_axes(space), lambda name: operator.attrgetter(name)(model))


def scale_rows(model: nn.Module, space: Space) -> list[list[Rows]]:
    """The scales (gamma) of the batch normalisations that a group's channels pass, in order of execution.

    Args:
        model: The network.
        space: Its search space.

    Returns:
        Per group and batch-normalisation layer, one row for each channel.

    Raises:
        ConfigError: No layer of the kind normalises the channels of a group.
    """
    axes = [axis for axis in space.axes if _is_scale(model, space, axis)]
    found = channel_rows(space, axes, lambda name: operator.attrgetter(name)(model))
    for group, layers in zip(space.groups, found, strict=True):
        if not layers:
            raise ConfigError(
                f"criterion bn_scale: no batch normalisation with scales follows the filters of group '{group.name}';"
                " exclude its layers, or use another criterion (l1)"
            )
    return found


def l1(rows: Rows) -> Importance:
    """Sum of absolute values (Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017)."""
    return np.asarray(np.abs(rows).sum(axis=1))


def l2(rows: Rows) -> Importance:
    """Euclidean norm (He et al., Soft Filter Pruning, IJCAI 2018)."""
    return np.asarray(np.sqrt((rows * rows).sum(axis=1)))


def geometric_median(rows: Rows) -> Importance:
    """Sum of the distances to all other rows: small where others can stand in (He et al., FPGM, CVPR 2019, eq. 6)."""
    # By differences: the usual way by products loses near neighbours to rounding and depends on the threads.
    pairs = F.pdist(torch.from_numpy(rows)).numpy()
    distances = np.zeros((len(rows), len(rows)))
    distances[np.triu_indices(len(rows), 1)] = pairs
    # Sorted, so that the sum does not depend on the order of the filters.
    return np.asarray(np.sort(distances + distances.T, axis=1).sum(axis=1))


def _is_scale(model: nn.Module, space: Space, axis: Axis) -> bool:
    owner, _, key = axis.tensor.rpartition(".")
    return axis.role == "norm" and key == "weight" and isinstance(space.layer(model, owner), BatchNorm)

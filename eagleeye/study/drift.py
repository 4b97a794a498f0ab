"""What fine-tuning changes in a network: its BN statistics (paper, section 3.4) and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from eagleeye.torch_layers import BatchNorm, ConvNd

BINS = 60
SHOWN = 3
"""Layers whose weights are looked at: the first, one in the middle, the last."""


class Moments(NamedTuple):
    """Statistics of one BN layer, float64 (channels,)."""

    mean: Tensor
    variance: Tensor


def statistics(network: nn.Module) -> dict[str, Moments]:
    """A copy of the BN statistics by name of the layer, in the network's order."""
    found = {}
    for name, layer in network.named_modules():
        if isinstance(layer, BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
            mean, variance = (tensor.detach().cpu().double() for tensor in (layer.running_mean, layer.running_var))
            found[name] = Moments(mean.clone(), variance.clone())
    return found


def distances(found: Mapping[str, Moments], true: Mapping[str, Moments]) -> dict[str, tuple[float, float]]:
    """How far statistics are from the true ones, layer by layer.

    Args:
        found: Statistics before fine-tuning.
        true: Those of the fine-tuned network.

    Returns:
        By layer, Euclidean distances over its channels: of the means, in units of the true standard deviations, and of
        the variances, in units of the true variances. So layers of any width and scale can be compared.
    """
    return {
        name: (
            float((found[name].mean - wanted.mean).norm() / wanted.variance.sum().sqrt()),
            float((found[name].variance - wanted.variance).norm() / wanted.variance.norm()),
        )
        for name, wanted in true.items()
    }


def typical_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights of a few convolutions, from the first to the last, by name of the layer."""
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, ConvNd)}
    names = list(layers)
    places = dict.fromkeys(np.linspace(0, len(names) - 1, min(SHOWN, len(names))).round().astype(int).tolist())
    return {names[place]: layers[names[place]].weight.detach().cpu().float().clone() for place in places}


def weight_histograms(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """How the weights of layers are distributed before and after fine-tuning.

    Args:
        before: From `typical_weights`.
        after: The same, of the fine-tuned network.

    Returns:
        Per layer its name, `edges` (bins + 1) and the counts `before` and `after` (bins), plus `shift`, the mean
        absolute change of a weight relative to the standard deviation before.
    """
    rows = []
    for name, old in before.items():
        both = torch.stack([old.flatten(), after[name].flatten()])
        edges = np.histogram_bin_edges(both.numpy(), BINS)
        counts = [np.histogram(weights.numpy(), edges)[0].tolist() for weights in both]
        shift = float((both[1] - both[0]).abs().mean() / both[0].std(correction=0))
        rows.append({"layer": name, "edges": edges.tolist(), "before": counts[0], "after": counts[1], "shift": shift})
    return rows

"""What a layer does to channel ids: it consumes those on its input and makes or passes those on its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from eagleeye.channels.ties import FIXED, Ids, Ties, along, spread, varying_axes

Conv = nn.modules.conv._ConvNd
BatchNorm = nn.modules.batchnorm._BatchNorm
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer: its name, the layer, its input's labels and its output's shape."""

    name: str
    layer: nn.Module
    labels: Tensor
    shape: torch.Size


LayerRule = Callable[[Ties, LayerCall], Tensor | None]
"""Returns the output's labels; None where the rule does not hold, and the input's channels are then fixed."""


def channel_ids(labels: Tensor, axis: int) -> Ids | None:
    """The ids along the channel axis, or None if labels also change along another one."""
    return along(labels, axis) if set(varying_axes(labels)) <= {axis % labels.dim()} else None


def convolution(ties: Ties, call: LayerCall) -> Tensor | None:
    """A convolution: dense ones cut the chain of channels, grouped ones tie the channels of each group."""
    layer = call.layer
    assert isinstance(layer, Conv)
    axis = call.labels.dim() - len(layer.kernel_size) - 1
    incoming = channel_ids(call.labels, axis)
    if incoming is None:
        return None
    rows, columns = (1, 0) if isinstance(layer, _TRANSPOSED) else (0, 1)
    if layer.groups == 1:
        ties.tie(ties.axis(f"{call.name}.weight", columns, layer.in_channels, "in"), incoming)
        filters = ties.axis(f"{call.name}.weight", rows, layer.out_channels, "filter")
    elif rows == 1:
        # A transposed grouped convolution keeps its filters on axis 0, mixed with its inputs.
        return None
    else:
        filters = ties.axis(f"{call.name}.weight", 0, layer.out_channels, "filter")
        for group_in, group_out in zip(np.split(incoming, layer.groups), np.split(filters, layer.groups), strict=True):
            ties.tie(np.full_like(group_in, group_out[0]), group_in)
            ties.tie(np.full_like(group_out, group_out[0]), group_out)
    _share(ties, call, "bias", filters, "filter")
    return spread(filters, axis, call.shape)


def linear(ties: Ties, call: LayerCall) -> Tensor | None:
    """A linear layer: consumes the ids along the last axis, makes fresh ones."""
    layer = call.layer
    assert isinstance(layer, nn.Linear)
    incoming = channel_ids(call.labels, -1)
    if incoming is None:
        return None
    ties.tie(ties.axis(f"{call.name}.weight", 1, layer.in_features, "in"), incoming)
    units = ties.axis(f"{call.name}.weight", 0, layer.out_features, "unit")
    _share(ties, call, "bias", units, "unit")
    return spread(units, call.labels.dim() - 1, call.shape)


def channelwise_norm(ties: Ties, call: LayerCall) -> Tensor | None:
    """Batch or instance normalisation: each channel by itself, its parameters and statistics beside it."""
    incoming = channel_ids(call.labels, 1)
    if incoming is None:
        return None
    for tensor in ("weight", "bias", "running_mean", "running_var"):
        _share(ties, call, tensor, incoming, "norm")
    return call.labels


def prelu(ties: Ties, call: LayerCall) -> Tensor | None:
    """PReLU with one slope for all channels, or one for each."""
    layer = call.layer
    assert isinstance(layer, nn.PReLU)
    if layer.num_parameters == 1:
        return call.labels
    incoming = channel_ids(call.labels, 1)
    if incoming is None:
        return None
    _share(ties, call, "weight", incoming, "norm")
    return call.labels


def elementwise(ties: Ties, call: LayerCall) -> Tensor | None:
    """Activations, dropout, identity: every channel stays where it is."""
    return call.labels


def spatial(ties: Ties, call: LayerCall) -> Tensor | None:
    """Pooling, resizing, spatial padding: the spatial axes change, the channel axis stays."""
    incoming = channel_ids(call.labels, 1)
    unchanged = len(call.shape) == call.labels.dim() and call.shape[1] == call.labels.shape[1]
    return spread(incoming, 1, call.shape) if incoming is not None and unchanged else None


def _share(ties: Ties, call: LayerCall, tensor: str, ids: Ids, role: str) -> None:
    if getattr(call.layer, tensor, None) is not None:
        ties.tie(ties.axis(f"{call.name}.{tensor}", 0, len(ids), role), ids)


_ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardtanh,
    nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.LogSigmoid, nn.Hardshrink, nn.Softsign, nn.Tanhshrink,
    nn.Threshold, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
)  # fmt: skip
_SPATIAL = (
    nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd, nn.modules.pooling._LPPoolNd, nn.Upsample,
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d,
    nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d, nn.CircularPad1d, nn.CircularPad2d,
    nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d,
)  # fmt: skip


def rule_for(layer: nn.Module) -> LayerRule | None:
    """The rule of a layer's class, or None where none is known."""
    if nn.utils.parametrize.is_parametrized(layer):
        return None
    if isinstance(layer, _TRANSPOSED) or type(layer) in (nn.Conv1d, nn.Conv2d, nn.Conv3d):
        return convolution
    if type(layer) is nn.Linear:
        return linear
    if isinstance(layer, (BatchNorm, nn.modules.instancenorm._InstanceNorm)):
        return channelwise_norm
    if isinstance(layer, nn.PReLU):
        return prelu
    if isinstance(layer, _ELEMENTWISE) or type(layer).__name__ == "StochasticDepth":
        return elementwise
    return spatial if isinstance(layer, _SPATIAL) else None


def fixed_labels(shape: torch.Size) -> Tensor:
    """Labels of a tensor none of whose channels can go."""
    return torch.full((1,) * len(shape), FIXED, dtype=torch.int64).expand(shape)

"""What a layer does to channel ids: it consumes those on its input and makes or passes those on its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from eagleeye.channels.ties import FIXED, Ids, Ties, along, spread, varying_axes
from eagleeye.torch_layers import CONVOLUTIONS, TRANSPOSED, BatchNorm, ConvNd, InstanceNorm


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer: its name, the layer, its input's labels and its output's shape."""

    name: str
    layer: nn.Module
    labels: Tensor
    shape: torch.Size
    names: Mapping[str, str] = field(default_factory=dict)
    """Qualified names of tensors that are not called as the layer calls them."""

    def tensor(self, key: str) -> str:
        """The qualified name of one of the layer's tensors."""
        return self.names.get(key, f"{self.name}.{key}")


LayerRule = Callable[[Ties, LayerCall], Tensor | None]
"""Returns the output's labels; None where the rule does not hold, and the input's channels are then fixed."""


def channel_ids(labels: Tensor, axis: int) -> Ids | None:
    """The ids along the channel axis, or None if labels also change along another one."""
    return along(labels, axis) if set(varying_axes(labels)) <= {axis % labels.dim()} else None


def _name(call: LayerCall) -> str:
    return call.tensor("weight").removesuffix(".weight")


def _incoming(ties: Ties, call: LayerCall, axis: int) -> Ids:
    """The ids that a layer consumes; where they are not those of one axis they stay, and its own filters start afresh.

    A linear layer's units that are viewed as maps, for example.
    """
    incoming = channel_ids(call.labels, axis)
    if incoming is not None:
        return incoming
    ties.fix(call.labels, f"layer '{_name(call)}' takes several of them as one")
    return np.full(call.labels.shape[axis], FIXED, dtype=np.int64)


def convolution(ties: Ties, call: LayerCall) -> Tensor | None:
    """A convolution: dense ones cut the chain of channels, grouped ones lose whole groups or keep them equal-sized."""
    layer = call.layer
    assert isinstance(layer, ConvNd)
    axis = call.labels.dim() - len(layer.kernel_size) - 1
    rows, columns = (1, 0) if isinstance(layer, TRANSPOSED) else (0, 1)
    # A tensor that is no parameter (a fixed blur) has no filters to choose from: it follows its input.
    role = "filter" if layer.weight.requires_grad or not call.names else "fixed filter"
    if call.names and layer.groups not in (1, layer.in_channels) and not groups_stay(layer):
        # The number of groups stands in the forward pass, out of reach.
        return None
    incoming = _incoming(ties, call, axis)
    if layer.groups == 1:
        ties.tie(ties.axis(call.tensor("weight"), columns, layer.in_channels, "in"), incoming)
        filters = ties.axis(call.tensor("weight"), rows, layer.out_channels, role)
    elif groups_stay(layer):
        ties.tie(np.tile(ties.axis(call.tensor("weight"), 1, layer.weight.shape[1], "in"), layer.groups), incoming)
        filters = ties.axis(call.tensor("weight"), 0, layer.out_channels, role)
        ties.tie(filters, np.tile(filters[: len(filters) // layer.groups], layer.groups))
    else:
        # Axis 0 holds the filters, of a transposed convolution the inputs; whole groups go, so axis 1 stays.
        filters = ties.axis(call.tensor("weight"), 0, len(layer.weight), role)
        _tie_blocks(ties, layer.groups, filters, incoming, reason=f"layer '{_name(call)}' has inputs that stay")
        if rows == 1:
            filters = np.repeat(filters[:: len(filters) // layer.groups], layer.out_channels // layer.groups)
    _share(ties, call, "bias", filters, "bias")
    return spread(filters, axis, call.shape)


def groups_stay(layer: ConvNd) -> bool:
    """Whether a grouped convolution keeps its groups and each loses as many channels; else whole groups go.

    Whatever leaves more to choose from: few groups of many channels stay, many groups of few channels go.
    """
    return (
        layer.groups > 1
        and not layer.transposed
        and min(layer.weight.shape[1], len(layer.weight) // layer.groups) > layer.groups
    )


def _tie_blocks(ties: Ties, count: int, *axes: Ids, reason: str = "") -> None:
    """Tie everything within each of `count` equal blocks, across all axes."""
    for block in zip(*(np.split(ids, count) for ids in axes), strict=True):
        together = np.concatenate(block)
        ties.tie(np.full_like(together, together[0]), together, reason)


def linear(ties: Ties, call: LayerCall) -> Tensor:
    """A linear layer: consumes the ids along the last axis, makes fresh ones.

    On maps (N, H, W, C) it is a 1x1 convolution, and its units are filters.
    """
    layer = call.layer
    assert isinstance(layer, nn.Linear)
    incoming = _incoming(ties, call, call.labels.dim() - 1)
    role = "filter" if call.labels.dim() >= 4 else "unit"
    ties.tie(ties.axis(call.tensor("weight"), 1, layer.in_features, "in"), incoming)
    units = ties.axis(call.tensor("weight"), 0, layer.out_features, role)
    _share(ties, call, "bias", units, "bias")
    return spread(units, call.labels.dim() - 1, call.shape)


def channelwise_norm(ties: Ties, call: LayerCall) -> Tensor | None:
    """Batch or instance normalisation: each channel by itself, its parameters and statistics beside it."""
    incoming = channel_ids(call.labels, 1)
    if incoming is None:
        return None
    for tensor in ("weight", "bias", "running_mean", "running_var"):
        _share(ties, call, tensor, incoming, "norm")
    return call.labels


def layer_norm(ties: Ties, call: LayerCall) -> Tensor | None:
    """Layer normalisation: over the channels that are left, if the channel axis is among those it spans.

    Removing channels changes the mean and variance of the others: the thin network normalises over what it has.
    """
    layer = call.layer
    assert isinstance(layer, nn.LayerNorm)
    axes = varying_axes(call.labels)
    place = axes[0] - (call.labels.dim() - len(layer.normalized_shape)) if axes else -1
    if len(axes) > 1 or (place >= 0 and layer.weight is None):
        return None
    for tensor in ("weight", "bias") if place >= 0 else ():
        _share(ties, call, tensor, along(call.labels, axes[0]), "norm", place)
    return call.labels


def group_norm(ties: Ties, call: LayerCall) -> Tensor | None:
    """Group normalisation: whole groups go, which leaves the others as they were; a single one loses channels."""
    layer = call.layer
    assert isinstance(layer, nn.GroupNorm)
    incoming = channel_ids(call.labels, 1)
    if incoming is None or not layer.affine:
        return None
    if layer.num_groups > 1:
        _tie_blocks(ties, layer.num_groups, incoming)
    for tensor in ("weight", "bias"):
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


def _share(ties: Ties, call: LayerCall, tensor: str, ids: Ids, role: str, axis: int = 0) -> None:
    if getattr(call.layer, tensor, None) is not None:
        ties.tie(ties.axis(call.tensor(tensor), axis, len(ids), role), ids)


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
    if isinstance(layer, TRANSPOSED) or type(layer) in CONVOLUTIONS:
        return convolution
    if type(layer) is nn.Linear:
        return linear
    if isinstance(layer, (BatchNorm, InstanceNorm)):
        return channelwise_norm
    for kind, rule in ((nn.LayerNorm, layer_norm), (nn.GroupNorm, group_norm), (nn.PReLU, prelu)):
        if type(layer) is kind:
            return rule
    if isinstance(layer, _ELEMENTWISE) or type(layer).__name__ == "StochasticDepth":
        return elementwise
    return spatial if isinstance(layer, _SPATIAL) else None


def fixed_labels(shape: torch.Size) -> Tensor:
    """Labels of a tensor none of whose channels can go."""
    return torch.full((1,) * len(shape), FIXED, dtype=torch.int64).expand(shape)

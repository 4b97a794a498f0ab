"""What functions and tensor methods do to channel ids.

Data movement needs no rule of its own: the very operation, run on the labels, moves them where the data goes.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eagleeye.channels.ties import Ties, along, spread, varying_axes

_IN_PLACE = (
    "relu_", "sigmoid_", "tanh_", "exp_", "sqrt_", "rsqrt_", "abs_", "neg_", "square_", "log_", "sin_", "cos_", "erf_",
    "reciprocal_", "clamp_", "clamp_min_", "clamp_max_", "add_", "sub_", "mul_", "div_", "true_divide_", "pow_",
    "addcmul_", "addcdiv_", "lerp_", "masked_fill_", "copy_", "fill_", "zero_", "elu_", "selu_", "celu_", "silu_",
    "leaky_relu_", "hardtanh_", "hardswish_", "threshold_", "dropout_",
)  # fmt: skip
"""Methods and functions that write position by position: all names of the tensor keep the channels they had."""

MAKING: frozenset[Any] = frozenset({"new_zeros", "new_ones", "new_full", "new_empty", "new_tensor"})
"""Methods that take a tensor's kind alone, and nothing of what is in it."""

ELEMENTWISE: frozenset[Any] = frozenset({
    *_IN_PLACE,
    *(getattr(space, name) for space in (torch, F) for name in _IN_PLACE if callable(getattr(space, name, None))),
    operator.ipow, torch.full_like, torch.empty_like,
    operator.add, operator.sub, operator.mul, operator.truediv, operator.iadd, operator.isub, operator.imul,
    operator.itruediv, operator.neg, operator.pow, torch.add, torch.sub, torch.mul, torch.div, torch.neg, torch.pow,
    torch.maximum, torch.minimum, torch.where, torch.relu, torch.relu_, torch.sigmoid, torch.tanh, torch.exp,
    torch.sqrt, torch.rsqrt, torch.abs, torch.clamp, torch.clone, torch.square, torch.zeros_like, torch.ones_like,
    F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.hardswish, F.hardtanh,
    F.hardsigmoid, F.sigmoid, F.tanh, F.softplus, F.logsigmoid, F.dropout, F.dropout1d, F.dropout2d, F.dropout3d,
    "add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "neg", "pow", "maximum", "minimum", "relu", "relu_",
    "sigmoid", "sigmoid_", "tanh", "tanh_", "exp", "sqrt", "rsqrt", "abs", "clamp", "clamp_", "clone",
    torch.addcmul, torch.addcdiv, torch.lerp, torch.erf, torch.exp, torch.log, torch.sin, torch.cos, torch.reciprocal,
    torch.div, torch.true_divide, torch.clamp_min, F.softsign, F.tanhshrink, F.hardshrink, F.relu_, F.threshold,
    "rsub", "addcmul", "log", "reciprocal", "clamp_min", "clamp_max", "logical_not", "masked_fill", "hardtanh",
    "float", "double", "half", "bfloat16", "to", "type_as", "detach", "square", "expand_as",
})  # fmt: skip
"""Operations that work position by position, operands broadcast."""

SPATIAL: frozenset[Any] = frozenset({
    F.max_pool1d, F.max_pool2d, F.max_pool3d, torch.max_pool1d, torch.max_pool2d, torch.max_pool3d, F.avg_pool1d,
    F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
    torch.adaptive_avg_pool1d, F.interpolate, F.upsample,
})  # fmt: skip
"""Operations that change spatial axes alone, the channels being axis 1."""

REDUCTIONS: frozenset[Any] = frozenset({torch.mean, torch.sum, torch.amax, torch.amin, "mean", "sum", "amax", "amin"})

SOFTMAX: frozenset[Any] = frozenset(
    {torch.softmax, F.softmax, "softmax", torch.log_softmax, F.log_softmax, "log_softmax"}
)
"""Operations that mix the positions of one axis and keep its length."""

PERMUTING: frozenset[Any] = frozenset({
    torch.transpose, torch.permute, torch.movedim, torch.swapaxes, torch.unsqueeze, torch.cat, torch.concat,
    torch.stack, "transpose", "permute", "movedim", "swapaxes", "unsqueeze", "repeat", "repeat_interleave", "t",
    "contiguous", "expand", torch.unsqueeze,
})  # fmt: skip
"""Data movement that names no channel count: as valid for the thin network as for the full one."""

RESHAPING: frozenset[Any] = frozenset({
    torch.reshape, torch.flatten, torch.unflatten, torch.squeeze, "view", "reshape", "flatten", "unflatten", "squeeze",
})  # fmt: skip
"""Data movement that keeps the order of the elements and may name channel counts."""

SELECTING: frozenset[Any] = frozenset({
    operator.getitem, torch.chunk, torch.split, torch.narrow, torch.select, torch.index_select, torch.unbind,
    torch.tensor_split, "chunk", "split", "narrow", "select", "index_select", "unbind", "tensor_split",
})  # fmt: skip
"""Data movement that picks positions and may name channel numbers."""

PARTING: frozenset[Any] = frozenset({
    torch.chunk, torch.split, torch.tensor_split, "chunk", "split", "tensor_split",
})  # fmt: skip
"""Those that give several parts of one tensor."""

PADDING: frozenset[Any] = frozenset({F.pad})

MOVING = PERMUTING | RESHAPING | SELECTING


def combine(ties: Ties, inputs: Sequence[Tensor], shape: torch.Size, place: str) -> Tensor:
    """Element-wise operation: the channels its operands hold at one position are tied.

    An operand with one channel that is broadcast over many (a spatial attention map) is no counterpart of any
    of them: its channel is fixed instead.
    """
    aligned = [label.reshape((1,) * (len(shape) - label.dim()) + tuple(label.shape)) for label in inputs]
    varying = {axis for label in aligned for axis in varying_axes(label)}
    partners = []
    for label in aligned:
        if any(label.shape[axis] == 1 and shape[axis] > 1 for axis in varying):
            ties.fix(label, f"{place} broadcasts it over several channels")
        else:
            partners.append(label.expand(shape))
    index = tuple(slice(None) if axis in varying else slice(0, 1) for axis in range(len(shape)))
    for other in partners[1:]:
        ties.tie(partners[0][index], other[index], f"{place} joins them with what cannot be cut")
    return partners[0]


def reduce(ties: Ties, label: Tensor, shape: torch.Size, dims: Any, keep: bool) -> Tensor | None:
    """Mean, sum or maximum over axes; None if one of them is the channel axis."""
    if dims is None:
        return None
    axes = sorted({int(dim) % label.dim() for dim in ([dims] if isinstance(dims, int) else dims)}, reverse=True)
    merged = merge(ties, label, axes)
    if merged is None:
        return None
    for axis in () if keep else axes:
        merged = merged.select(axis, 0)
    return merged.expand(shape)


def merge(ties: Ties, label: Tensor, axes: Sequence[int]) -> Tensor | None:
    """Tie the channels that an operation mixes along some axes, if others remain that tell channels apart.

    Branches stacked beside each other (split attention) are mixed this way: one channel of all of them goes, or stays.

    Args:
        ties: Where channels are tied.
        label: The operand's labels.
        axes: The axes it mixes.

    Returns:
        Labels of length 1 along `axes`; None where the channels themselves would be mixed.
    """
    varying = set(varying_axes(label))
    first = label
    for axis in axes:
        first = first.narrow(axis, 0, 1)
    if varying & set(axes):
        if not varying - set(axes):
            return None
        ties.tie(label, first.expand(label.shape))
    return first


def pad(ties: Ties, label: Tensor, shape: torch.Size, amounts: Sequence[int], zeros: bool) -> Tensor | None:
    """Padding: spatially the channels stay; along the channel axis zeros are new channels without parameters.

    Args:
        ties: Where new channels are made.
        label: The input's labels.
        shape: The output's shape.
        amounts: Before and after, from the last axis backwards, as `torch.nn.functional.pad` takes them.
        zeros: Whether it pads with a constant.

    Returns:
        The output's labels, or None where the padding cannot be followed.
    """
    axes = varying_axes(label)
    if len(axes) != 1:
        return label.reshape(-1)[:1].reshape((1,) * len(shape)).expand(shape) if not axes else None
    before, after = padding_along(axes[0], label.dim(), amounts)
    if min(before, after) < 0 or ((before or after) and not zeros):
        return None
    ids = np.concatenate([ties.new(before), along(label, axes[0]), ties.new(after)])
    return spread(ids, axes[0], shape)


def padding_along(axis: int, dims: int, amounts: Sequence[int]) -> tuple[int, int]:
    """The amounts that `torch.nn.functional.pad` adds before and after one axis."""
    start = 2 * (dims - 1 - axis)
    return (int(amounts[start]), int(amounts[start + 1])) if start < len(amounts) else (0, 0)


def compact(label: Any) -> Any:
    """The same labels in as little memory as they need; sequences item by item."""
    if isinstance(label, (tuple, list)):
        return tuple(compact(item) for item in label)
    if not isinstance(label, Tensor):
        return label
    axes = varying_axes(label)
    return spread(along(label, axes[0]), axes[0], label.shape) if len(axes) == 1 else label

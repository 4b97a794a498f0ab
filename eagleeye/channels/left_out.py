"""Convolutions, or some of their filters, that are in no group, and why."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor, fx

from eagleeye.channels.groups import Grouping
from eagleeye.channels.propagate import Labelled, module_of
from eagleeye.channels.ties import FIXED, Axis, Ids
from eagleeye.channels.tracer import VALUE
from eagleeye.torch_layers import ConvNd


def left_out(net: Labelled, axes: Mapping[tuple[str, int], Axis], grouping: Grouping) -> tuple[str, ...]:
    """Every convolution that has filters in no group, with the reason.

    Args:
        net: The labelled network.
        axes: The axes of its tensors, their `ids` representatives.
        grouping: The groups.

    Returns:
        A sentence each: those that are called in order of execution, then those that never are.
    """
    grouped = np.concatenate([np.empty(0, dtype=np.int64), *grouping.ids])
    own = [_sentence(net, axis, grouped) for axis in axes.values() if axis.role in ("filter", "fixed filter")]
    return (*filter(None, own), *_unfollowed(net), *_uncalled(net))


def _sentence(net: Labelled, axis: Axis, grouped: Ids) -> str:
    name = axis.tensor.removesuffix(".weight")
    alone = ~np.isin(axis.ids, grouped)
    if axis.role == "fixed filter":
        stay = f"{alone.sum()} filters stay" if alone.any() else "its filters go with the channels they are applied to"
        return f"{name}: {stay}: the weight is no parameter"
    if not alone.any():
        return ""
    fixed = net.ties.axes[axis.tensor, axis.axis].ids[axis.ids == FIXED]
    reason = net.ties.reason(fixed) if len(fixed) else "no other channel is used like it"
    return f"{name}: {alone.sum()} filters stay: {reason}"


def _unfollowed(net: Labelled) -> Iterator[str]:
    """Convolutions that are functions and amount to no layer: their filters are no axis of a tensor that is known."""
    for node, reason in net.unfollowed.items():
        yield f"{module_of(node) or node.name}: its filters stay: {reason}"


def _uncalled(net: Labelled) -> Iterator[str]:
    used = {id(tensor) for node in net.graph.nodes for tensor in _weights(net, node)}
    for name, layer in net.root.named_modules():
        if isinstance(layer, ConvNd) and id(layer.weight) not in used:
            yield f"{name}: it is never called in evaluation mode, and no part of the pruned network"


def _weights(net: Labelled, node: fx.Node) -> list[Tensor]:
    if node.op == "get_attr":
        return [node.meta[VALUE]]
    weight = getattr(net.layer(node), "weight", None) if node.op == "call_module" else None
    lifted = net.lifted.get(str(node.target)) if node.op == "call_module" else None
    if lifted is not None and "weight" in lifted.tensors:
        return [operator.attrgetter(lifted.tensors["weight"])(net.root)]
    return [weight] if isinstance(weight, Tensor) else []

"""Where a forward pass reads channel numbers: a thin network would read others."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from eagleeye.channels.lift import GROUPS
from eagleeye.channels.propagate import Labelled, argument_of
from eagleeye.channels.ties import varying_axes
from eagleeye.channels.tracer import VALUE


def reads_width(net: Labelled, node: fx.Node) -> bool:
    """Whether a node reads the number of channels of a tensor that may lose some, for more than a convolution's groups.

    Args:
        net: The labelled network.
        node: One of its nodes.

    Returns:
        Whether what it computes may change with the widths.
    """
    called = node.op in ("call_function", "call_method") and GROUPS not in node.meta
    if net.labels[node] is not None or not called:
        return False
    target = node.target
    if target is getattr and node.args[1] != "shape":
        return False
    if target is operator.getitem and _is_shape(node.args[0]):
        shape: Any = node.args[0]
        return _touches_channels(net, shape.all_input_nodes[0], node.args[1])
    if target == "size" and len(node.args) + len(node.kwargs) > 1:
        return _touches_channels(net, node.all_input_nodes[0], argument_of(node, 1, "dim"))
    if _is_shape(node):
        whole = any(user.target is not operator.getitem for user in node.users)
        return whole and _touches_channels(net, node.all_input_nodes[0], slice(None))
    return target in ("numel", torch.numel, len) and _touches_channels(net, node.all_input_nodes[0], slice(None))


def _is_shape(node: Any) -> bool:
    if not isinstance(node, fx.Node) or isinstance(node.meta.get(VALUE), Tensor):
        return False
    is_attribute = node.target is getattr and node.args[1] == "shape"
    return bool(is_attribute) or (node.target == "size" and len(node.args) + len(node.kwargs) == 1)


def _touches_channels(net: Labelled, source: fx.Node, index: Any) -> bool:
    labels = net.labels[source]
    if not isinstance(labels, Tensor) or not net.ties.roots(labels).any():
        return False
    read = np.arange(labels.dim())[index]
    return bool(set(varying_axes(labels)) & set(np.atleast_1d(read).tolist()))

"""Batch normalisation folded into the convolutions before it: with fixed statistics both are one linear map."""

from __future__ import annotations

import copy
from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from eagleeye.torch_layers import CONVOLUTIONS, BatchNorm, ConvNd


class Pair(NamedTuple):
    """Names of a convolution and of the BN layer that alone reads it."""

    conv: str
    norm: str


def find_pairs(network: fx.GraphModule) -> list[Pair]:
    """The convolutions whose output goes to one BN layer and nowhere else; layers used twice are left alone.

    Args:
        network: A traced network.

    Returns:
        The pairs, in order of execution.
    """
    calls = Counter(node.target for node in network.graph.nodes if node.op == "call_module")
    pairs = []
    for node in network.graph.nodes:
        source = node.args[0] if node.args else None
        if not (
            isinstance(source, fx.Node) and _is(network, node, (BatchNorm,)) and _is(network, source, CONVOLUTIONS)
        ):
            continue
        norm = network.get_submodule(node.target)
        if len(source.users) == 1 and calls[node.target] == calls[source.target] == 1 and norm.running_mean is not None:
            pairs.append(Pair(str(source.target), str(node.target)))
    return pairs


def without_norms(network: fx.GraphModule, pairs: list[Pair]) -> fx.GraphModule:
    """The same network without the pairs' BN layers; their convolutions are new ones with a bias, to be set by `fold`.

    Args:
        network: A traced network.
        pairs: From `find_pairs`.

    Returns:
        A network that shares all other modules and tensors with the given one.
    """
    graph: fx.Graph = copy.deepcopy(network.graph)
    norms = {pair.norm for pair in pairs}
    convs = {pair.conv for pair in pairs}
    for node in list(graph.nodes):
        if node.op == "call_module" and node.target in norms:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    folded = fx.GraphModule(network, graph, class_name=type(network).__name__)
    for name in convs:
        folded.set_submodule(name, _with_bias(network.get_submodule(name)))
    return folded.train(network.training)


def fold(conv: nn.Module, norm: nn.Module, weight: Tensor, target: nn.Module) -> None:
    """Set a convolution's tensors to those of a convolution followed by BN with its present statistics.

    Args:
        conv: The convolution (for its bias).
        norm: The BN layer behind it.
        weight: The convolution's weight in float32, or in float64 where the network is.
        target: The convolution without the BN layer, as `without_norms` made it.
    """
    assert isinstance(conv, ConvNd) and isinstance(target, ConvNd) and isinstance(norm, BatchNorm)
    assert target.bias is not None and norm.running_mean is not None and norm.running_var is not None
    target.groups = conv.groups
    target.in_channels = conv.in_channels
    target.out_channels = conv.out_channels
    scaled, shift = fuse_conv_bn_weights(
        weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    target.weight.data = scaled.data.to(conv.weight.dtype)
    target.bias.data = shift.data.to(conv.weight.dtype)


def weight_of(network: nn.Module, name: str = "") -> Tensor:
    """The weight of a layer: a parameter, or a buffer where it is frozen.

    Args:
        network: A network.
        name: The layer's path in it.
    """
    weight = network.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight


def _with_bias(conv: nn.Module) -> nn.Module:
    target = copy.copy(conv)
    target._parameters = dict(conv._parameters)
    target._buffers = dict(conv._buffers)
    weight = weight_of(conv)
    target.weight = nn.Parameter(torch.empty_like(weight), requires_grad=False)
    target.bias = nn.Parameter(weight.new_empty(len(weight)), requires_grad=False)
    return target


def _is(network: fx.GraphModule, node: fx.Node, kinds: tuple[type, ...]) -> bool:
    return node.op == "call_module" and isinstance(network.get_submodule(str(node.target)), kinds)

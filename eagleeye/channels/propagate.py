"""Follow channel ids through a recorded network, from its input to its output."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from eagleeye.channels import tensor_rules as rules
from eagleeye.channels.aliases import WRITTEN
from eagleeye.channels.functional import CONVOLUTIONS
from eagleeye.channels.layer_rules import LayerCall, fixed_labels, rule_for
from eagleeye.channels.lift import CONSTANT, Lifted, lift
from eagleeye.channels.ties import Ties, along, spread, varying_axes
from eagleeye.channels.tracer import VALUE
from eagleeye.stored.records import is_record
from eagleeye.torch_layers import ConvNd


@dataclass
class Labelled:
    """A recorded network with the channel ids of every node's value."""

    root: nn.Module
    graph: fx.Graph
    ties: Ties = field(default_factory=Ties)
    labels: dict[fx.Node, Any] = field(default_factory=dict)
    """A tensor of ids in the shape of the node's value, a tuple of them, or None for what is no tensor."""
    unfollowed: dict[fx.Node, str] = field(default_factory=dict)
    """Convolutions without filters to choose from, each with the reason."""
    lifted: dict[str, Lifted] = field(default_factory=dict)
    """Layers of torch.nn in the place of functions, by the name of the module whose tensors they use."""
    functions: dict[fx.Node, Lifted] = field(default_factory=dict)
    """Functions that stay, each with the layer it amounts to."""
    layers: dict[str, nn.Module] = field(default_factory=dict)
    constants: dict[str, Tensor] = field(default_factory=dict)
    """Tensors that the forward pass makes on its own, by the name the graph has for them."""

    def layer(self, node: fx.Node) -> nn.Module:
        """The layer that a node of the graph calls."""
        return self.layers[str(node.target)]


def propagate(root: nn.Module, graph: fx.Graph, exclude: tuple[str, ...] = ()) -> Labelled:
    """Give every node its channel ids, tying those that must be kept or removed together.

    Args:
        root: The network the graph was recorded from.
        graph: From `record`.
        exclude: Patterns (`fnmatch`) of layers whose filters must stay.

    Returns:
        The labelled network.
    """
    lifted, functions = lift(root, graph)
    net = Labelled(root, graph, lifted=lifted, functions=functions)
    attributes = {str(node.target): node.meta[VALUE] for node in graph.nodes if node.op == "get_attr"}
    net.constants = {name: value for name, value in attributes.items() if not hasattr(root, name.split(".")[0])}
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    net.layers = {name: lifted[name].build(root) if name in lifted else root.get_submodule(name) for name in called}
    for node in graph.nodes:
        net.labels[node] = rules.compact(_labels_of(net, node))
    for axis in net.ties.axes.values():
        layer = axis.tensor.removesuffix(".weight")
        if axis.role == "filter" and any(fnmatchcase(layer, pattern) for pattern in exclude):
            net.ties.fix(axis.ids, f"layer '{layer}' is excluded")
    _tie_shared(net)
    _fix_direct_uses(net)
    return net


def tie_parts(net: Labelled) -> None:
    """Tie what lies at the same place of equal parts, so that all of them lose as many channels.

    Args:
        net: The labelled network.
    """
    for node in net.graph.nodes:
        parts = net.labels[node]
        if node.target in rules.PARTING and isinstance(parts, tuple) and len({part.shape for part in parts}) == 1:
            for other in parts[1:]:
                net.ties.tie(parts[0], other)


def _fix_direct_uses(net: Labelled) -> None:
    """A weight that is also used as a plain tensor, where its channels cannot be followed, stays whole."""
    used = {
        id(node.meta[VALUE]): str(node.target)
        for node in net.graph.nodes
        if node.op == "get_attr" and _whole(net.labels[node]) and any(_needs_whole(net, user) for user in node.users)
    }
    for name, axis in net.ties.axes.items():
        use = used.get(id(operator.attrgetter(name[0])(net.root)))
        if use is not None:
            net.ties.fix(axis.ids, f"'{use}' is also used as it is")


def _needs_whole(net: Labelled, user: fx.Node) -> bool:
    """Whether a reader of a weight sees its channels: not if it convolves with it, or reads the kernel's size alone."""
    if user in net.functions or (user.target is getattr and user.args[1] in ("dtype", "device", "ndim")):
        return False
    if user.target is not getattr or user.args[1] != "shape":
        return True
    axes: Any = np.arange(len(user.meta[VALUE]))
    picks = [reader.args[1] if reader.target is operator.getitem else slice(None) for reader in user.users]
    return any(np.min(axes[pick]) < 2 for pick in picks)


def _whole(label: Any) -> bool:
    return isinstance(label, Tensor) and not label.any()


def _tie_shared(net: Labelled) -> None:
    """One tensor under several names has one set of channels."""
    first: dict[tuple[int, int], str] = {}
    for name, axis in net.ties.axes:
        key = (id(operator.attrgetter(name)(net.root)), axis)
        other = first.setdefault(key, name)
        if other != name:
            net.ties.tie(net.ties.axes[other, axis].ids, net.ties.axes[name, axis].ids)


def module_of(node: fx.Node) -> str:
    """The path of the module whose code a node was recorded in, "" for the network itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def place_of(node: fx.Node) -> str:
    """A node's operation and layer, for messages."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    if node.op == "call_module":
        return f"layer '{node.target}'"
    path = module_of(node)
    return f"operation '{name}' in " + (f"layer '{path}'" if path else "the network's forward()")


def argument_of(node: fx.Node, position: int, name: str) -> Any:
    """A call's argument by position or name, None if not given; nodes in it become their values on the example."""
    argument = node.args[position] if len(node.args) > position else node.kwargs.get(name)
    return fx.node.map_arg(argument, lambda source: source.meta[VALUE])


def _labels_of(net: Labelled, node: fx.Node) -> Any:
    if node.op == "placeholder":
        return _fixed(node.meta[VALUE])
    if node.op == "output":
        _fix_inputs(net, node, "it is an output of the network")
        return None
    if node.op == "get_attr":
        return _attribute(net, node)
    if is_record(node.target):
        return tuple(_tensors(net, node))
    if not _holds_tensor(node.meta[VALUE]):
        if node.meta.get(WRITTEN):
            _fix_inputs(net, node, f"{place_of(node)} writes to positions picked by value")
        return None
    labels = _layer(net, node) if node.op == "call_module" else _operation(net, node)
    if labels is None:
        kind = type(net.layer(node)).__name__ + " " if node.op == "call_module" else ""
        reason = f"{kind}{place_of(node)} cannot be followed"
        if node.target in CONVOLUTIONS:
            reason = net.unfollowed[node] = f"{place_of(node)} {_why_unfollowed(net, node)}"
        _fix_inputs(net, node, reason)
        return _fixed(node.meta[VALUE])
    return labels


def _why_unfollowed(net: Labelled, node: fx.Node) -> str:
    weight = node.kwargs.get("weight", node.args[1] if len(node.args) > 1 else None)
    if node in net.functions:
        return "is told its number of groups by the network's code"
    fixed = isinstance(weight, fx.Node) and weight.meta[CONSTANT]
    return "computes its weight in a way that is not followed" if fixed else "computes its weight from the input"


def _layer(net: Labelled, node: fx.Node) -> Tensor | None:
    name = str(node.target)
    layer = net.layer(node)
    value = node.meta[VALUE]
    inputs = _tensors(net, node)
    rule = rule_for(layer)
    if rule is None or len(inputs) != 1 or not isinstance(value, Tensor):
        return _flattened(layer, inputs, value)
    return rule(net.ties, LayerCall(name, layer, inputs[0], value.shape))


def _function(net: Labelled, node: fx.Node) -> Tensor | None:
    """A function that multiplies with parameters: a layer without a module."""
    lifted = net.functions[node]
    layer = lifted.build(net.root)
    label = net.labels[node.all_input_nodes[0]]
    rule = rule_for(layer) if isinstance(layer, (ConvNd, nn.Linear, nn.PReLU)) else None
    if rule is None or not isinstance(label, Tensor):
        return None
    return rule(net.ties, LayerCall(node.name, layer, label, node.meta[VALUE].shape, lifted.tensors))


def _flattened(layer: nn.Module, inputs: list[Tensor], value: Any) -> Tensor | None:
    if isinstance(layer, (nn.Flatten, nn.ChannelShuffle)) and len(inputs) == 1:
        moved: Tensor = layer(inputs[0].contiguous())
        return moved
    return None


def _operation(net: Labelled, node: fx.Node) -> Any:
    inputs = _tensors(net, node)
    value = node.meta[VALUE]
    target = node.target
    if not inputs or target in rules.MAKING:
        return _fixed(value)
    if node in net.functions:
        return _function(net, node)
    if target in rules.ELEMENTWISE and isinstance(value, Tensor):
        return rules.combine(net.ties, inputs, value.shape, place_of(node))
    if target in rules.SPATIAL and isinstance(value, Tensor):
        return _spatial(inputs[0], value.shape)
    if target in rules.REDUCTIONS and isinstance(value, Tensor):
        keep = bool(argument_of(node, 2, "keepdim"))
        return rules.reduce(net.ties, inputs[0], value.shape, argument_of(node, 1, "dim"), keep)
    if target in rules.SOFTMAX and isinstance(value, Tensor) and isinstance(argument_of(node, 1, "dim"), int):
        mixed = rules.merge(net.ties, inputs[0], [argument_of(node, 1, "dim") % value.dim()])
        return None if mixed is None else mixed.expand(value.shape)
    if target in rules.PADDING:
        mode = argument_of(node, 2, "mode") or "constant"
        return rules.pad(net.ties, inputs[0], value.shape, argument_of(node, 1, "pad"), mode == "constant")
    if target is torch.stack:
        for other in inputs[1:]:
            # Whatever lies beside each other in one tensor has the same size.
            net.ties.tie(inputs[0], other)
    return _moved(net, node) if target in rules.MOVING else None


def _spatial(label: Tensor, shape: torch.Size) -> Tensor | None:
    if set(varying_axes(label)) - {1} or len(shape) != label.dim():
        return None
    return spread(along(label, 1), 1, shape)


def _moved(net: Labelled, node: fx.Node) -> Any:
    """The labels moved by the operation itself."""

    def argument(source: fx.Node) -> Any:
        label = net.labels[source]
        if label is None:
            return source.meta[VALUE]
        return tuple(label) if isinstance(label, tuple) else label.contiguous()

    args: Any
    kwargs: Any
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), argument)
    target: Any = node.target
    if node.op == "call_method":
        return getattr(args[0], target)(*args[1:], **kwargs)
    if target is operator.getitem and isinstance(args[0], tuple):
        return args[0][args[1]]
    return target(*args, **kwargs)


def _attribute(net: Labelled, node: fx.Node) -> Tensor | None:
    """A parameter or buffer used directly: its one axis that is longer than one may carry channels."""
    value = node.meta[VALUE]
    if not isinstance(value, Tensor):
        return None
    long = [axis for axis in range(value.dim()) if value.shape[axis] > 1]
    if len(long) != 1 or str(node.target) in net.constants:
        return fixed_labels(value.shape)
    ids = net.ties.axis(str(node.target), long[0], value.shape[long[0]], "gate")
    return spread(ids, long[0], value.shape)


def _tensors(net: Labelled, node: fx.Node) -> list[Tensor]:
    found: list[Tensor] = []
    for source in node.all_input_nodes:
        label = net.labels[source]
        found += [label] if isinstance(label, Tensor) else [item for item in label or () if isinstance(item, Tensor)]
    return found


def _fix_inputs(net: Labelled, node: fx.Node, reason: str) -> None:
    for label in _tensors(net, node):
        net.ties.fix(label, reason)


def _holds_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, (tuple, list)) and any(map(_holds_tensor, value)))


def _fixed(value: Any) -> Any:
    if isinstance(value, Tensor):
        return fixed_labels(value.shape)
    return tuple(_fixed(item) for item in value) if isinstance(value, (tuple, list)) else None

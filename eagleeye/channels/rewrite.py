"""Find the steps of a forward pass that hard-code channel numbers, and what to put in their place.

A step is left alone where it is valid for any width. Otherwise it becomes a pad, a selection or a reshape whose
settings follow the widths, so that one graph serves every candidate. Where that is impossible the channels are
fixed: never a wrong network.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from eagleeye.channels import tensor_rules as rules
from eagleeye.channels.aliases import WRITTEN, Aliases
from eagleeye.channels.propagate import Labelled, argument_of, place_of
from eagleeye.channels.sizes import reads_width
from eagleeye.channels.steps import PadStep, ReshapeStep, SelectStep, Step
from eagleeye.channels.ties import along, spread, varying_axes
from eagleeye.channels.tracer import VALUE


@dataclass(frozen=True)
class Replacement:
    """A step and the node whose value it takes."""

    source: fx.Node
    step: Step


Plan = dict[fx.Node, Replacement]


def plan_steps(net: Labelled) -> Plan:
    """Decide for every node that moves channels how it follows the widths.

    Args:
        net: The labelled network; channels that cannot be followed through a step are fixed in its ties.

    Returns:
        The nodes to replace, each with the node it reads and its step.
    """
    while True:
        plan, failed = _attempt(net)
        blocked = [
            node for node in _live(net.graph, plan) if node in failed or (node not in plan and reads_width(net, node))
        ]
        if not blocked:
            return plan
        for node in blocked:
            for label in _tensors(net.labels[node]) + _read(net, node):
                net.ties.fix(label, f"{place_of(node)} needs their number unchanged")


def _read(net: Labelled, node: fx.Node) -> list[Tensor]:
    """The labels of the tensors a node reads, also by way of their sizes."""
    found: list[Tensor] = []
    for source in node.all_input_nodes:
        found += _read(net, source) if net.labels[source] is None else _tensors(net.labels[source])
    return found


def _attempt(net: Labelled) -> tuple[Plan, set[fx.Node]]:
    for node, label in net.labels.items():
        net.labels[node] = rules.compact(_rooted(net, label))
    plan: Plan = {}
    failed: set[fx.Node] = set()
    aliases = Aliases(net.graph)
    for node in net.graph.nodes:
        if not _moves(net, node) or _all_fixed(net, node):
            continue
        steady = _shares_at_any_width(node, aliases)
        if steady and _valid_for_any_width(net, node, failed):
            continue
        moved = (_pad(net, node) or _reshape(net, node)) if steady else None
        replacement = moved or _select(net, node, aliases)
        if replacement is None:
            failed.add(node)
        else:
            plan[node] = replacement
    return plan, failed


def _rooted(net: Labelled, label: Any) -> Any:
    """Labels with one id for all that are tied: what differs then is what can be told apart."""
    if isinstance(label, (tuple, list)):
        return tuple(_rooted(net, item) for item in label)
    return torch.from_numpy(net.ties.roots(label)).expand(label.shape) if isinstance(label, Tensor) else label


def _moves(net: Labelled, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(net.layer(node), (nn.Flatten, nn.ChannelShuffle))
    called = node.op in ("call_function", "call_method") and net.labels[node] is not None
    return called and (node.target in rules.MOVING or node.target in rules.PADDING)


def _all_fixed(net: Labelled, node: fx.Node) -> bool:
    entries = [net.labels[node], *(net.labels[source] for source in node.all_input_nodes)]
    return not any(net.ties.roots(label).any() for entry in entries for label in _tensors(entry))


def _valid_for_any_width(net: Labelled, node: fx.Node, failed: set[fx.Node]) -> bool:
    labels = net.labels[node]
    sources = [s for s in node.all_input_nodes if net.labels[s] is not None]
    if not all(_clean(label) for entry in (node, *sources) for label in _tensors(net.labels[entry])):
        return False
    if node.target in rules.PERMUTING:
        return True
    if node.target in (torch.flatten, "flatten") or isinstance(_module(net, node), nn.Flatten):
        return True
    if node.target in ("view", "reshape", torch.reshape) and _says_rest(node, labels):
        return True
    if node.target in rules.SELECTING:
        return _keeps_all_channels(net, node, sources[0], failed)
    return node.target in rules.PADDING and _channel_padding(net, node) == (0, 0)


def _shares_at_any_width(node: fx.Node, aliases: Aliases) -> bool:
    """False where a copy may become a view of a thin network's tensor, and somebody writes to one of both."""
    if node.target not in rules.RESHAPING and node.target != "contiguous":
        return True
    source = node.all_input_nodes[0]
    return aliases.shared(node, source) or not (aliases.written(node) or aliases.written(source))


def _says_rest(node: fx.Node, labels: Tensor) -> bool:
    """Whether a view leaves the size of the channel axis open."""
    sizes: Any = node.kwargs.get("shape", node.args[1] if len(node.args) == 2 else node.args[1:])
    axes = varying_axes(labels)
    return isinstance(sizes, (tuple, list)) and len(axes) == 1 and sizes[axes[0]] == -1


def _keeps_all_channels(net: Labelled, node: fx.Node, source: fx.Node, failed: set[fx.Node]) -> bool:
    origin = net.labels[source]
    if isinstance(origin, tuple):
        return source not in failed
    axes = varying_axes(origin)
    if not axes:
        return True
    if node.target is operator.getitem:
        index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
        plain = all(isinstance(item, (slice, int)) for item in index[: axes[0] + 1])
        return plain and (len(index) <= axes[0] or index[axes[0]] == slice(None))
    sized = node.target in (torch.chunk, torch.split, torch.tensor_split, "chunk", "split", "tensor_split")
    dim = argument_of(node, 2 if sized else 1, "dim") or 0
    return isinstance(dim, int) and dim % origin.dim() != axes[0]


def _pad(net: Labelled, node: fx.Node) -> Replacement | None:
    if node.target not in rules.PADDING:
        return None
    source = node.all_input_nodes[0]
    axes = varying_axes(net.labels[node])
    if len(axes) != 1:
        return None
    before, after = _channel_padding(net, node)
    roots = net.ties.roots(along(net.labels[node], axes[0]))
    amounts = [int(amount) for amount in argument_of(node, 1, "pad")]
    value = float(argument_of(node, 3, "value") or 0.0)
    place = 2 * (net.labels[node].dim() - 1 - axes[0])
    step = PadStep(tuple(amounts), place, roots[:before], roots[len(roots) - after :], value)
    return Replacement(source, step)


def _channel_padding(net: Labelled, node: fx.Node) -> tuple[int, int]:
    # The result tells the axis: what is padded may hold nothing but channels that stay, all alike.
    labels = net.labels[node]
    axes = varying_axes(labels)
    return rules.padding_along(axes[0], labels.dim(), argument_of(node, 1, "pad")) if axes else (0, 0)


def _reshape(net: Labelled, node: fx.Node) -> Replacement | None:
    if node.target not in rules.RESHAPING:
        return None
    source = node.all_input_nodes[0]
    labels = net.labels[node]
    origin = net.labels[source]
    axes = varying_axes(labels)
    if not (_clean(labels) and _clean(origin) and len(axes) == 1 and axes[0] > 0):
        return None
    if labels.shape[0] != origin.shape[0] or 0 in varying_axes(origin):
        return None
    step = ReshapeStep(tuple(labels.shape[1:]), axes[0], net.ties.roots(along(labels, axes[0])))
    return Replacement(source, step)


def _select(net: Labelled, node: fx.Node, aliases: Aliases) -> Replacement | None:
    """Data movement from an earlier node that amounts to picking channels: a slice, a split's part, a shuffle."""
    labels = net.labels[node]
    if not isinstance(labels, Tensor) or not _clean(labels):
        return None
    chain = [node]
    while _moves(net, chain[-1]) and chain[-1].all_input_nodes:
        chain.append(chain[-1].all_input_nodes[0])
        found = _picked(net, chain)
        if found is not None:
            step = _as_it_shares(found, chain, aliases)
            return Replacement(chain[-1], step) if step else None
    return None


def _as_it_shares(step: SelectStep, chain: list[fx.Node], aliases: Aliases) -> SelectStep | None:
    """The step with memory shared as in the network where somebody writes to it: a view stays a view, a copy a copy."""
    node = chain[0]
    source = chain[-1]
    if not (aliases.written(node) or aliases.written(source)):
        return step
    if aliases.shared(node, source):
        return step if bool(np.all(np.diff(step.index) == 1)) else None
    # What lies between may have been written to since it was copied.
    return replace(step, copies=True) if len(chain) == 2 else None


def _picked(net: Labelled, chain: list[fx.Node]) -> SelectStep | None:
    node = chain[0]
    source = chain[-1]
    origin = net.labels[source]
    labels = net.labels[node]
    if not isinstance(origin, Tensor) or not _clean(origin) or origin.dim() != labels.dim():
        return None
    axes = varying_axes(origin)
    if not axes or axes[0] == 0:
        return None
    axis = axes[0]
    others = [size for a, size in enumerate(origin.shape) if a != axis]
    if others != [size for a, size in enumerate(labels.shape) if a != axis]:
        return None
    index = _replay(net, chain, spread(np.arange(origin.shape[axis]), axis, origin.shape))
    places = torch.arange(int(np.prod(others))).reshape([1 if a == axis else s for a, s in enumerate(origin.shape)])
    moved = _replay(net, chain, places.expand(origin.shape))
    if set(varying_axes(index)) - {axis} or not torch.equal(moved, places.expand(labels.shape)):
        return None
    return SelectStep(axis, net.ties.roots(along(origin, axis)), along(index, axis))


def _replay(net: Labelled, chain: list[fx.Node], value: Tensor) -> Tensor:
    """Run a chain of data movement on another tensor in its source's place."""
    values: dict[fx.Node, Any] = {chain[-1]: value.contiguous()}
    for node in reversed(chain[:-1]):
        args, kwargs = _filled(node, values)
        target: Any = _module(net, node) or node.target
        values[node] = (
            getattr(args[0].contiguous(), target)(*args[1:], **kwargs)
            if node.op == "call_method"
            else target(*args, **kwargs)
        )
    result: Tensor = values[chain[0]]
    return result


def _filled(node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    return fx.node.map_arg((node.args, node.kwargs), lambda source: values.get(source, source.meta[VALUE]))


def _live(graph: fx.Graph, plan: Plan) -> set[fx.Node]:
    live: set[fx.Node] = set()
    pending = [node for node in graph.nodes if node.op == "output" or node.meta.get(WRITTEN)]
    while pending:
        node = pending.pop()
        if node not in live:
            live.add(node)
            pending += [plan[node].source] if node in plan else node.all_input_nodes
    return live


def _module(net: Labelled, node: fx.Node) -> nn.Module | None:
    return net.layer(node) if node.op == "call_module" else None


def _clean(labels: Tensor) -> bool:
    return len(varying_axes(labels)) <= 1


def _tensors(entry: Any) -> list[Tensor]:
    if isinstance(entry, Tensor):
        return [entry]
    return [label for label in entry if isinstance(label, Tensor)] if isinstance(entry, tuple) else []

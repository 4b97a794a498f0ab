"""Where candidates begin to differ: a network cut in two before the first layer that loses channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import fx


class Halves(NamedTuple):
    """A network as two that follow each other, sharing its modules."""

    start: fx.GraphModule
    """The layers that are the same in all candidates: network input to activations."""
    rest: fx.GraphModule
    """All others: those activations to the network's output."""


def split(network: fx.GraphModule, differs: Callable[[fx.Node], bool]) -> Halves | None:
    """Cut a network where candidates begin to differ.

    Args:
        network: A traced network.
        differs: Whether a step differs from candidate to candidate.

    Returns:
        The halves; None where nothing is gained: the network has several inputs, or its first layer differs already.
    """
    nodes = list(network.graph.nodes)
    if sum(node.op == "placeholder" for node in nodes) != 1:
        return None
    place = _last_common(nodes, differs)
    start = set(nodes[: place + 1])
    rest = set(nodes[place + 1 :])
    layers = [{node.target for node in half if node.op == "call_module"} for half in (start, rest)]
    if not layers[0] or layers[0] & layers[1]:
        return None
    return Halves(_start(network, nodes[: place + 1]), _rest(network, nodes[place], nodes[place + 1 :]))


def _last_common(nodes: list[fx.Node], differs: Callable[[fx.Node], bool]) -> int:
    """The last place up to which nothing differs, and of which only the last value is used behind it."""
    found = 0
    for place, node in enumerate(nodes):
        if node.op == "output" or differs(node):
            break
        before = set(nodes[: place + 1])
        if all(user in before for other in nodes[:place] for user in other.users):
            found = place
    return found


def _start(network: fx.GraphModule, nodes: list[fx.Node]) -> fx.GraphModule:
    graph = fx.Graph()
    copies = dict[fx.Node, fx.Node]()
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[nodes[-1]])
    return fx.GraphModule(network, graph, class_name="Start").train(network.training)


def _rest(network: fx.GraphModule, border: fx.Node, nodes: list[fx.Node]) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {border: graph.placeholder("activations")}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    return fx.GraphModule(network, graph, class_name=type(network).__name__).train(network.training)

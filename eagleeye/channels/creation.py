"""Tensors that a forward pass makes on its own: recorded, so that they follow the sizes they are made from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from eagleeye.channels.aliases import WRITTEN, Aliases
from eagleeye.channels.proxies import FREE, VALUE

CREATING: tuple[Any, ...] = (
    torch.zeros, torch.ones, torch.empty, torch.full, torch.arange, torch.linspace, torch.logspace, torch.eye,
    torch.rand, torch.randn, torch.randint, torch.randperm, torch.tensor, torch.as_tensor, torch.scalar_tensor,
    torch.zeros_like, torch.ones_like, torch.empty_like, torch.full_like, torch.rand_like, torch.randn_like,
)  # fmt: skip
"""Functions that give a tensor that did not exist before."""

TAKING_SIZES: tuple[Any, ...] = (torch.zeros, torch.ones, torch.empty, torch.rand, torch.randn)
"""Those of them that take sizes one by one, and refuse a proxy there before anybody is asked."""

_RANDOM = ("rand", "normal", "bernoulli", "multinomial", "dropout", "uniform", "exponential", "poisson", "geometric")


def is_random(target: Any) -> bool:
    """Whether an operation draws random numbers, by its name."""
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    return any(word in name for word in _RANDOM)


class RecordedCreation(TorchFunctionMode):
    """Record also those creations whose arguments are plain numbers: what is made may be written to afterwards."""

    def __init__(self, tracer: Any) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in CREATING or self._tracer.running_example:
            return func(*args, **kwargs)
        return self._tracer.create_proxy("call_function", func, args, kwargs)


def settle(tracer: Any, graph: fx.Graph) -> None:
    """Keep what depends on nothing but the code as constants, if nobody writes to it: no operation is needed for it.

    Args:
        tracer: The tracer, for names that are still free in the network.
        graph: The recorded forward pass; changed.
    """
    aliases = Aliases(graph)
    for node in list(graph.nodes):
        users = [user for user in node.users if not user.meta.get(FREE)]
        if not node.meta.get(FREE) or not users or aliases.written(node) or node.op == "get_attr":
            continue
        value = node.meta[VALUE]
        if isinstance(value, Tensor):
            value = _constant(tracer, graph, node)
        for user in users:
            _exchange(user, node, value)
    for node in reversed(graph.nodes):
        if node.meta.get(FREE) and not node.users and not node.meta.get(WRITTEN):
            graph.erase_node(node)


def _exchange(user: fx.Node, old: fx.Node, new: Any) -> None:
    user.args, user.kwargs = fx.node.map_arg((user.args, user.kwargs), lambda source: new if source is old else source)


def _constant(tracer: Any, graph: fx.Graph, node: fx.Node) -> fx.Node:
    name = tracer.get_fresh_qualname("_tensor_constant")
    root: nn.Module = tracer.root
    setattr(root, name, node.meta[VALUE])
    with graph.inserting_before(node):
        constant = graph.get_attr(name)
    constant.meta = dict(node.meta)
    return constant

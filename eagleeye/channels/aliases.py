"""Which values of a recorded forward pass share memory, and which of them are written to in place."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from eagleeye.channels.proxies import VALUE

WRITTEN = "written"
"""Key in `Node.meta`: the memories that the node writes to, beside its result. Such a node has an effect if unread."""


def memory_of(tensor: Tensor) -> int:
    """What identifies the memory that a tensor and its views share, as long as it is kept."""
    return tensor.untyped_storage().data_ptr()


def version_of(tensor: Tensor) -> int:
    """A number that grows with every write to a tensor or to one of its views."""
    return 0 if tensor.is_inference() else tensor._version


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors of a value of any structure."""
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


class Aliases:
    """Who shares memory with whom, as it was on the example.

    Args:
        graph: From `record`.
    """

    def __init__(self, graph: fx.Graph) -> None:
        self._memories = {node: _memories(node) for node in graph.nodes}
        self._written: set[int] = set()
        for node in graph.nodes:
            self._written |= node.meta.get(WRITTEN, frozenset())

    def shared(self, one: fx.Node, other: fx.Node) -> bool:
        """Whether two values are views of the same memory."""
        return bool(self._memories[one] & self._memories[other])

    def written(self, node: fx.Node) -> bool:
        """Whether a value is written to in place, under whatever name."""
        return bool(self._memories[node] & self._written)


def _memories(node: fx.Node) -> frozenset[int]:
    return frozenset(memory_of(tensor) for tensor in tensors_in(node.meta.get(VALUE)) if tensor.numel())

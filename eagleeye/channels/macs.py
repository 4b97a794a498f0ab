"""Which calls of a recorded network multiply, and how often."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from eagleeye.channels.functional import CONVOLUTIONS
from eagleeye.channels.lift import CONSTANT, Lifted
from eagleeye.channels.tracer import VALUE
from eagleeye.forward.modes import evaluating
from eagleeye.forward.structures import tensors
from eagleeye.torch_layers import TRANSPOSED, ConvNd

_PRODUCTS: frozenset[Any] = frozenset({
    *CONVOLUTIONS, F.linear, F.bilinear, F.scaled_dot_product_attention, F.multi_head_attention_forward,
    operator.matmul, torch.matmul, torch.linalg.matmul, torch.linalg.multi_dot, torch.chain_matmul, torch.inner,
    torch.mm, torch.bmm, torch.addmm, torch.addbmm, torch.baddbmm, torch.einsum, torch.tensordot,
    "matmul", "mm", "bmm", "addmm", "addbmm", "baddbmm", "inner",
})  # fmt: skip
_COMPOSED = (
    nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.TransformerEncoder,
    nn.TransformerDecoder, nn.Transformer, nn.RNNBase, nn.RNNCellBase, nn.Bilinear,
)  # fmt: skip
"""Layers of torch that multiply inside, in their own ways."""


@dataclass(frozen=True)
class MacCall:
    """One call that multiplies: `positions` times the elements of a weight, or in all where `weight` is empty."""

    weight: str
    positions: int


def mac_calls(
    graph: fx.Graph, layers: Mapping[str, nn.Module], functions: Mapping[fx.Node, Lifted]
) -> Iterator[MacCall]:
    """The calls that multiply, whatever computes their weights, for one input.

    Args:
        graph: A recorded network, its functions lifted.
        layers: Its layers by name.
        functions: Functions that stay, each with the layer it amounts to.

    Yields:
        The calls in order of execution.
    """
    batch = _batch_size(graph)
    for node in graph.nodes:
        name = str(node.target)
        layer = layers[name] if node.op == "call_module" else None
        if (applied := _applied(node, layer, functions.get(node))) is not None:
            weight, positions = applied
            yield MacCall(weight, _per_input(node, positions, batch))
        elif _multiplies(node, layer):
            yield MacCall("", _per_input(node, _counted(node, layer), batch))


def _applied(node: fx.Node, layer: nn.Module | None, function: Lifted | None) -> tuple[str, int] | None:
    """The weight of a convolution or linear layer, and how often each of its elements is multiplied by something."""
    if isinstance(layer, (ConvNd, nn.Linear)):
        kind = type(layer)
        settings = vars(layer)
        weight = f"{node.target}.weight"
    elif function is not None and issubclass(function.kind, (ConvNd, nn.Linear)):
        kind = function.kind
        settings = function.settings
        weight = function.tensors["weight"]
    else:
        return None
    if issubclass(kind, nn.Linear):
        return weight, _values(node) // settings["out_features"]
    # A transposed convolution takes its weight to every position of its input.
    if issubclass(kind, TRANSPOSED):
        return weight, _values(node.all_input_nodes[0]) // settings["in_channels"]
    return weight, _values(node) // settings["out_channels"]


def _values(node: fx.Node) -> int:
    return int(node.meta[VALUE].numel())


def _multiplies(node: fx.Node, layer: nn.Module | None) -> bool:
    """Whether a call multiplies that is neither a convolution nor a linear layer."""
    if node.op in ("call_function", "call_method"):
        return node.target in _PRODUCTS
    return isinstance(layer, _COMPOSED)


def _counted(node: fx.Node, layer: nn.Module | None) -> int:
    """Multiplications of one call; its channels stay, so that it costs the same for all widths."""
    args: Any
    kwargs: Any
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda source: source.meta[VALUE])
    if node.op == "call_method":
        return multiplications(lambda: getattr(args[0], str(node.target))(*args[1:], **kwargs))
    target: Any = node.target if layer is None else layer
    with evaluating(layer) if layer is not None else nullcontext():
        return multiplications(lambda: target(*args, **kwargs))


def multiplications(work: Callable[[], object]) -> int:
    """Count multiply-accumulates of convolutions and of products of matrices, by torch's own counter.

    Args:
        work: Computes with tensors.

    Returns:
        Their number, for all inputs together.
    """
    from torch.utils.flop_counter import FlopCounterMode  # not every trace needs it, and it takes a while

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return int(counter.get_total_flops()) // 2


def _batch_size(graph: fx.Graph) -> int:
    values = [node.meta[VALUE] for node in graph.nodes if node.op == "placeholder"]
    return next((len(tensor) for tensor in tensors(values) if tensor.dim()), 1)


def _per_input(node: fx.Node, count: int, batch: int) -> int:
    """The share of one input in what a call does for all: none of its own where it depends on no input."""
    return count // batch if batch and count % batch == 0 and not node.meta[CONSTANT] else count

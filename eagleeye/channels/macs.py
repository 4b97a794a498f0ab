"""Which calls of a recorded network multiply, and how often."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from eagleeye.channels.functional import CONVOLUTIONS
from eagleeye.channels.lift import CONSTANT, Lifted
from eagleeye.channels.tracer import VALUE
from eagleeye.modes import evaluating

Conv = nn.modules.conv._ConvNd
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
        if isinstance(layer, Conv):
            outer = layer.in_channels if layer.transposed else layer.out_channels
            yield MacCall(f"{name}.weight", _per_input(node, _positions(node, layer.transposed, outer), batch))
        elif isinstance(layer, nn.Linear):
            yield MacCall(f"{name}.weight", _per_input(node, _positions(node, False, layer.out_features), batch))
        elif node in functions and issubclass(functions[node].kind, (Conv, nn.Linear)):
            transposed, outer = _shape_of(functions[node])
            weight = functions[node].tensors["weight"]
            yield MacCall(weight, _per_input(node, _positions(node, transposed, outer), batch))
        elif _multiplies(node, layer):
            yield MacCall("", _per_input(node, _counted(node, layer), batch))


def _shape_of(lifted: Lifted) -> tuple[bool, int]:
    """Whether a function convolves transposed, and with how many channels on the side whose positions count."""
    if issubclass(lifted.kind, nn.Linear):
        return False, int(lifted.settings["out_features"])
    transposed = issubclass(lifted.kind, nn.modules.conv._ConvTransposeNd)
    return transposed, int(lifted.settings["in_channels" if transposed else "out_channels"])


def _positions(node: fx.Node, transposed: bool, channels: int) -> int:
    """How often every element of the weight is multiplied by something."""
    value: Tensor = (node.all_input_nodes[0] if transposed else node).meta[VALUE]
    return value.numel() // channels


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
    values = (node.meta[VALUE] for node in graph.nodes if node.op == "placeholder")
    return next((len(value) for value in values if isinstance(value, Tensor) and value.dim()), 1)


def _per_input(node: fx.Node, count: int, batch: int) -> int:
    """The share of one input in what a call does for all: none of its own where it depends on no input."""
    return count // batch if batch and count % batch == 0 and not node.meta[CONSTANT] else count

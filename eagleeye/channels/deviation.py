"""Whether two runs of a network give the same, and where they part."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.overrides import TorchFunctionMode

from eagleeye.channels.aliases import tensors_in
from eagleeye.channels.places import line_of

LINE = "line"
"""Key in `Node.meta` of the user's line that the node comes from, as " at file:line"."""
PLACE = "place"
"""Key in `Node.meta` of the node's operation and layer, in words."""
_ROUNDING = 128
"""What two runs may differ by at once, in the smallest differences of their precision."""


def deviation(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest relative difference between tensors; infinite where their number, kinds or shapes differ."""
    if len(found) != len(expected):
        return float("inf")
    return max((_relative(a, b) for a, b in zip(found, expected, strict=True)), default=0.0)


def _relative(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    if torch.equal(found, expected):
        return 0.0
    if not found.is_floating_point():
        return float("inf")
    # What is no number has to be none in both.
    same = (found == expected) | (found.isnan() & expected.isnan())
    difference = torch.where(same, torch.zeros_like(found), (found - expected).abs()).double()
    if not bool(difference.isfinite().all()):
        return float("inf")
    scale = expected.abs()[expected.isfinite()].double()
    return float(difference.max() / (scale.max().clamp_min(1e-300) if len(scale) else 1.0))


def rounding(outputs: Sequence[Tensor]) -> float:
    """The relative difference between two runs that may be rounding, by the coarsest precision of their outputs."""
    steps = [torch.finfo(tensor.dtype).eps for tensor in outputs if tensor.is_floating_point()]
    return min(_ROUNDING * max(steps, default=0.0), 0.05)


def first_deviation(
    run: Callable[[], Any], recorded: fx.GraphModule, again: Callable[[Callable[..., Any]], Any], limit: float
) -> str:
    """The first operation of a recorded network whose result the network itself does not compute at the same line.

    Args:
        run: Runs the network itself on the inputs.
        recorded: The recorded network, in the same mode.
        again: Calls what it is given with these inputs.
        limit: The relative difference that is rounding.

    Returns:
        The operation with its layer and line, in words.
    """
    produced = _Produced()
    with produced:
        run()
    compared = _Compared(recorded, produced.tensors, limit)
    try:
        with torch.no_grad():
            again(lambda *args, **named: compared.run(*args, *named.values()))
    except Exception:  # the operation that raises is the one that was recorded wrongly
        compared.unlike += [compared.at] if compared.at else []
    found = next(iter([*compared.unlike, *compared.unknown]), None)
    return f"{found.meta[PLACE]}{found.meta[LINE]}" if found else "its output"


class _Produced(TorchFunctionMode):
    """What a network computes, by the lines of the user's code."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[str, list[Tensor]] = defaultdict(list)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = tensors_in(result)
        if tensors:
            self.tensors[line_of(sys._getframe())] += [tensor.detach().clone() for tensor in tensors]
        return result


class _Compared(fx.Interpreter):
    """A recorded network that looks up each of its results among those that the network itself computed."""

    def __init__(self, network: fx.GraphModule, produced: dict[str, list[Tensor]], limit: float) -> None:
        super().__init__(network)
        self._produced = produced
        self._limit = limit
        self.unlike: list[fx.Node] = []
        self.unknown: list[fx.Node] = []
        """Operations of lines at which the network computed nothing that could be seen."""
        self.at: fx.Node | None = None

    def run_node(self, n: fx.Node) -> Any:
        """Run one node, as `fx.Interpreter` does."""
        self.at = n
        value = super().run_node(n)
        if n.op in ("call_function", "call_method", "call_module") and PLACE in n.meta:
            known = self._produced.get(n.meta[LINE])
            alike = all(
                any(deviation([tensor], [other]) <= self._limit for other in known or ())
                for tensor in tensors_in(value)
            )
            if not alike:
                (self.unknown if known is None else self.unlike).append(n)
        return value

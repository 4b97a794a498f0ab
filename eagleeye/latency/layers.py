"""Time single layers at a grid of sizes."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from eagleeye.channels.polynomial import counts_of
from eagleeye.channels.space import Space
from eagleeye.forward.modes import evaluating
from eagleeye.latency.measure import milliseconds
from eagleeye.latency.table import Grid, LatencyTerm
from eagleeye.thin import set_sizes
from eagleeye.torch_layers import ConvNd

Layer = ConvNd | nn.Linear
POINTS = 4
"""Ends of blocks at which each axis is measured, evenly spaced, besides the smallest size."""
_BLOCKS = {64: 16, 1: 8}
"""Channels that processors compute together, by the least size of the axis they are assumed for. Time is a staircase:
it jumps behind the end of a block, so that every end is measured with the size that follows it."""
_CALLS_ON_GPU = 20
"""Calls between two readings of the clock on a GPU, where one call is mostly the wait for it."""


@dataclass(frozen=True)
class Seen:
    """A call of a layer as it happened in the full network."""

    name: str
    layer: Layer
    inputs: torch.Size
    outputs: torch.Size


@dataclass(frozen=True)
class LayerShape:
    """A layer to be measured with weights of several sizes."""

    layer: Layer
    inputs: torch.Size
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def thin(self, rows: int, columns: int) -> tuple[nn.Module, Tensor]:
        """The layer with the first rows and columns of its weight, and an input for it.

        Args:
            rows: One of `rows`.
            columns: One of `columns`.

        Returns:
            Layer and input, on the device of the full one.
        """
        weight = self.layer.weight
        bias = self.layer.bias
        memo: dict[int, Any] = {id(weight): nn.Parameter(weight.detach()[:rows, :columns].clone())}
        if bias is not None:
            memo[id(bias)] = None
        thin = copy.deepcopy(self.layer, memo)
        set_sizes(thin, self.layer)
        if isinstance(thin, nn.Linear):
            axis = -1
            inputs = thin.in_features
            outputs = thin.out_features
        else:
            axis = 1
            inputs = thin.in_channels
            outputs = thin.out_channels
        if bias is not None:
            thin.bias = nn.Parameter(bias.detach()[:outputs].clone())
        shape = [*self.inputs]
        shape[axis] = inputs
        return thin, torch.randn(shape, device=weight.device, dtype=weight.dtype)


class _Repeated(nn.Module):
    def __init__(self, layer: nn.Module, calls: int) -> None:
        super().__init__()
        self.layer = layer
        self.calls = calls

    def forward(self, batch: Tensor) -> None:
        for _ in range(self.calls):
            self.layer(batch)


def calls_in(model: nn.Module, example: Tensor) -> list[Seen]:
    """Follow a forward pass.

    Args:
        model: A network.
        example: A batch (n, C, H, W) on its device.

    Returns:
        The calls of its convolutions and linear layers, in order of execution.
    """
    seen: list[Seen] = []
    hooks: list[RemovableHandle] = []
    for name, layer in model.named_modules():
        if isinstance(layer, (ConvNd, nn.Linear)):

            def note(layer: Layer, inputs: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
                seen.append(Seen(name, layer, inputs[0].shape, output.shape))

            hooks.append(layer.register_forward_hook(note))
    try:
        with evaluating(model), torch.inference_mode():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def shapes_of(model: nn.Module, space: Space, example: Tensor) -> tuple[list[LayerShape], tuple[LatencyTerm, ...]]:
    """Find the layers of a network that multiply.

    Args:
        model: The full network.
        space: Its search space.
        example: A batch (n, C, H, W) on the network's device.

    Returns:
        The different shapes there are to measure, and every call of a layer with the place of its shape among them.
    """
    seen = calls_in(model, example)
    axes = [axis for axis in space.axes if axis.axis < 2]
    counts = dict(zip(((axis.tensor, axis.axis) for axis in axes), counts_of(axes, space.ids), strict=True))
    nothing = np.zeros(len(space.groups), dtype=np.int64)
    shapes: dict[str, tuple[int, LayerShape]] = {}
    calls = []
    for call in seen:
        weight = call.layer.weight
        taken = [counts.get((f"{call.name}.weight", axis), nothing) for axis in (0, 1)]
        rows, columns = (_sizes(n, count) for n, count in zip(weight.shape[:2], taken, strict=True))
        kind = f"{call.layer} {tuple(call.inputs)} {rows} {columns}"
        place, _ = shapes.setdefault(kind, (len(shapes), LayerShape(call.layer, call.inputs, rows, columns)))
        axis = 1 if getattr(call.layer, "transposed", False) else 0
        full = np.array(weight.shape[:2], dtype=np.float64)
        calls.append(
            LatencyTerm(place, full, np.stack(taken).astype(np.float64), axis, call.outputs.numel() / full[axis])
        )
    return [shape for _, shape in shapes.values()], tuple(calls)


def _sizes(full: int, counts: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Sizes of an axis to measure, ascending; those of a grouped layer only in steps that leave whole groups."""
    step = int(np.gcd.reduce(counts))
    if not step:
        return (full,)
    block = next(block for least, block in _BLOCKS.items() if full >= least)
    ends = {block * round(full * point / POINTS / block) for point in range(1, POINTS)}
    wanted = {1, full} | {size for end in ends for size in (end, end + 1) if 1 < size < full}
    return tuple(sorted({full - step * ((full - size) // step) for size in wanted}))


def time_grids(shapes: Sequence[LayerShape], repeats: int) -> tuple[Grid, ...]:
    """Time every layer at every size; all of them once per round, as caches are cold in a network too.

    Args:
        shapes: From `shapes_of`.
        repeats: Timed rounds; the fastest counts, as what disturbs a busy machine only adds.

    Returns:
        A grid for every shape.
    """
    times = [np.empty((repeats, len(shape.rows), len(shape.columns))) for shape in shapes]
    for repeat in range(-1, repeats):
        for shape, table in zip(shapes, times, strict=True):
            for (row, rows), (column, columns) in itertools.product(enumerate(shape.rows), enumerate(shape.columns)):
                elapsed = _time(*shape.thin(rows, columns))
                if repeat >= 0:
                    table[repeat, row, column] = elapsed
    return tuple(
        Grid(np.array(shape.rows, dtype=np.float64), np.array(shape.columns, dtype=np.float64), table.min(axis=0))
        for shape, table in zip(shapes, times, strict=True)
    )


def _time(layer: nn.Module, batch: Tensor) -> float:
    calls = _CALLS_ON_GPU if batch.is_cuda else 1
    with torch.inference_mode():
        return milliseconds(_Repeated(layer, calls), batch) / calls

"""Least squares from what a layer reads to what it is to give, in sums over parts of the images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eagleeye.torch_layers import CONVOLUTIONS, ConvNd

ROUNDING = 1e-12
"""Damping where all inputs are constant."""


class Sums:
    """Sums of products about a point near the mean, so that float32 loses nothing where means are large.

    Args:
        centred: Whether something takes over means; else weights are fitted about zero.
    """

    def __init__(self, *, centred: bool) -> None:
        self.centred = centred
        self.count = 0
        self._parts: list[Tensor] = []

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add positions.

        Args:
            x: What the layer reads at each, shape (positions, groups, inputs).
            y: What it is to give, shape (positions, groups, outputs).
        """
        if not self.count:
            keep = 1.0 if self.centred else 0.0
            self.origin_x, self.origin_y = keep * x.mean(0, keepdim=True), keep * y.mean(0, keepdim=True)
        x = (x - self.origin_x).transpose(0, 1)
        y = (y - self.origin_y).transpose(0, 1)
        parts = [x.sum(1).double(), y.sum(1).double(), (x.mT @ x).double(), (y.mT @ x).double()]
        self._parts = [old + new for old, new in zip(self._parts, parts, strict=True)] if self.count else parts
        self.count += x.shape[1]

    def solve(self, before: Tensor, ridge: float) -> Tensor:
        """Weights of least squares.

        Args:
            before: The weights that the ridge holds them to, float64 of shape (groups, outputs, inputs).
            ridge: Its strength, as a fraction of the inputs' mean variance.

        Returns:
            Shape (groups, outputs, inputs).
        """
        x, y, xx, yx = (part / self.count for part in self._parts)
        if self.centred:
            xx = xx - x[:, :, None] * x[:, None, :]
            yx = yx - y[:, :, None] * x[:, None, :]
        damping = (ridge * xx.diagonal(dim1=1, dim2=2).mean(1)).clamp(min=ROUNDING)
        damped = xx + torch.diag_embed(damping[:, None].expand(x.shape))
        change: Tensor = torch.linalg.solve(damped, (yx - before @ xx).mT).mT
        return before + change

    def left(self, weights: Tensor) -> Tensor:
        """What the outputs' means are without what weights make of the inputs, shape (groups, outputs)."""
        x = self.origin_x[0].double() + self._parts[0] / self.count
        y = self.origin_y[0].double() + self._parts[1] / self.count
        return y - (weights @ x[:, :, None])[:, :, 0]


def is_plain(layer: nn.Module) -> bool:
    """Whether each output of a layer is a sum over a patch of its input."""
    return isinstance(layer, (nn.Linear, *CONVOLUTIONS))


def patches(layer: nn.Module, x: Tensor, groups: int = 1) -> Tensor:
    """What a plain layer's outputs are made of.

    Args:
        layer: The layer; of its settings kernel, stride, dilation and padding count.
        x: Its input, with as many channels as there are.
        groups: Parts of the layer with inputs of their own.

    Returns:
        Shape (positions, groups, inputs), inputs in the order of a flattened weight, at least float32.
    """
    x = x if x.dtype == torch.float64 else x.float()
    if not isinstance(layer, ConvNd):
        return x.flatten(0, -2)[:, None]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
    for axis, (size, step, apart) in enumerate(zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)):
        # One more axis at the end for each of the kernel's.
        x = x.unfold(2 + axis, (size - 1) * apart + 1, step)[..., ::apart]
    spatial = len(layer.kernel_size)
    x = x.movedim(tuple(range(2, 2 + spatial)), tuple(range(1, 1 + spatial)))
    flat = x.flatten(1 + spatial).flatten(0, spatial)
    return flat.reshape(len(flat), groups, -1)


def by_position(y: Tensor, spatial: int) -> Tensor:
    """A layer's output in the order of `patches`.

    Args:
        y: The output.
        spatial: Axes behind that of the channels.

    Returns:
        Shape (positions, outputs), at least float32.
    """
    y = y if y.dtype == torch.float64 else y.float()
    return y.movedim(y.dim() - 1 - spatial, -1).flatten(0, -2)

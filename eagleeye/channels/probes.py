"""Inputs that a recorded network is compared with the network itself on: other values, other batches, other sizes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

Inputs = tuple[Tensor, ...]


def of_another_batch(inputs: Inputs) -> Inputs | None:
    """Other values in a batch of two, or of three where the example is one of two.

    Args:
        inputs: The example.

    Returns:
        Inputs of another first axis; None where they have no first axis in common.
    """
    counts = {len(tensor) if tensor.dim() else 0 for tensor in inputs}
    if len(counts) != 1 or 0 in counts:
        return None
    count = 3 if counts == {2} else 2
    return tuple(_of_shape(tensor, (count, *tensor.shape[1:])) for tensor in inputs)


def of_another_size(inputs: Inputs) -> Iterator[Inputs]:
    """Other values in maps of other heights and widths, smaller ones first, since they cost less.

    Args:
        inputs: The example; what has fewer than three axes keeps its shape.

    Yields:
        Inputs; the network may take none of them.
    """
    for shares in ((0.5, 0.75), (1.25, 1.5)):
        shapes = [_scaled(tensor, shares) for tensor in inputs]
        if any(shape != tensor.shape for shape, tensor in zip(shapes, inputs, strict=True)):
            yield tuple(_of_shape(tensor, shape) for tensor, shape in zip(inputs, shapes, strict=True))


def _scaled(tensor: Tensor, shares: tuple[float, float]) -> tuple[int, ...]:
    if tensor.dim() < 3 or not tensor.is_floating_point():
        return tuple(tensor.shape)
    sizes = (_near(size, shares[place % 2]) for place, size in enumerate(tensor.shape[2:]))
    return (*tensor.shape[:2], *sizes)


def _near(size: int, share: float) -> int:
    """A size near a share of another, a multiple of what a network of such maps may halve it to."""
    steps: list[tuple[int, int]] = [(128, 32), (64, 16), (32, 8), (16, 4), (6, 2)]
    step = next((step for least, step in steps if size >= least), None)
    return size if step is None else -int(-size * share // step) * step


def _of_shape(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Random values in the range of a tensor's, so that a network takes them wherever it takes the tensor."""
    low = float(tensor.min())
    high = float(tensor.max())
    if not tensor.is_floating_point():
        return torch.randint(int(low), int(high) + 1, shape, device=tensor.device).to(tensor.dtype)
    if low == high:
        return torch.randn(shape, device=tensor.device, dtype=torch.float32).to(tensor.dtype)
    return (torch.rand(shape, device=tensor.device, dtype=torch.float32) * (high - low) + low).to(tensor.dtype)

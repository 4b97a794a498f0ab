"""What exporters are given and checked with: examples of a free number of images, outputs of any structure."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from eagleeye.inputs import Call, Inputs, bind

BATCH = "batch"
"""What the free first axis is called in exported files."""


def of_batch(call: Call, count: int) -> Call:
    """The same call for another number of images, which are copies of the first one.

    Args:
        call: Tensors in it have the images along their first axis, if any.
        count: Number of images.
    """

    def repeat(tensor: Tensor) -> Tensor:
        return tensor[:1].expand(count, *tensor.shape[1:]).contiguous() if tensor.dim() else tensor

    return call.mapped(repeat)


def random_call(call: Call, count: int) -> Call:
    """The same call for another number of images, of random values in [-1, 1); whole numbers stay as they are.

    Args:
        call: The example.
        count: Number of images.
    """
    source = torch.Generator().manual_seed(0)

    def draw(tensor: Tensor) -> Tensor:
        values = torch.rand(tensor.shape, generator=source) * 2 - 1
        return values.to(tensor.dtype) if tensor.is_floating_point() else tensor

    return of_batch(call, count).mapped(draw)


def free_axes(call: Call) -> tuple[tuple[object, ...], dict[str, object]]:
    """For every tensor of a call its free axis, as `torch.export` takes it."""
    axes = call.mapped(lambda tensor: {0: torch.export.Dim(BATCH)} if tensor.dim() else None)
    return axes.args, axes.kwargs


def example_of(model: nn.Module, example_input: Inputs) -> Call:
    """The call of an example, on the CPU and without history."""
    return bind(model, example_input).mapped(lambda tensor: tensor.detach().cpu())


def largest_difference(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """The largest difference of an output, relative to the largest value of that output.

    Args:
        found: Outputs of the exported network.
        wanted: Those of the network itself.
    """
    pairs = zip(found, wanted, strict=True)
    return max((_relative(one.double(), other.double()) for one, other in pairs if other.numel()), default=0.0)


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))

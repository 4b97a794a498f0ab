"""The channel-dependent steps of a forward pass, as modules: a thin network differs in their settings alone.

Where a forward pass hard-codes a number of channels (padding, slicing, a view), tracing puts one of these in its
place, so that the same graph serves every width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn, tensor


class ChannelPad(nn.Module):
    """Pad as `torch.nn.functional.pad` does with a constant; `amounts` from the last axis backwards."""

    def __init__(self, amounts: list[int], value: float = 0.0) -> None:
        super().__init__()
        self.amounts = list(amounts)
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, C + before + after, ...)."""
        return F.pad(x, self.amounts, "constant", self.value)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"amounts={self.amounts}, value={self.value}"


class ChannelSlice(nn.Module):
    """Keep the positions `start` to `stop` of one axis."""

    def __init__(self, axis: int, start: int, stop: int) -> None:
        super().__init__()
        self.axis = axis
        self.start = start
        self.stop = stop

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, stop - start, ...) for axis 1."""
        return x.narrow(self.axis, self.start, self.stop - self.start)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"axis={self.axis}, start={self.start}, stop={self.stop}"


class ChannelSelect(nn.Module):
    """Pick positions of one axis in a given order: a channel shuffle, or an uneven split."""

    index: Tensor

    def __init__(self, axis: int, index: list[int]) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("index", tensor(index), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, len(index), ...) for axis 1."""
        return x.index_select(self.axis, self.index)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"axis={self.axis}, {len(self.index)} positions"


class Reshape(nn.Module):
    """Give every axis but the first (the batch) a fixed size."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.sizes = list(sizes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to (N, *sizes)."""
        return x.reshape(x.shape[0], *self.sizes)

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"sizes={self.sizes}"

"""Settings of the channel-dependent steps of a forward pass, for every width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from eagleeye.channels.ties import Ids
from eagleeye.stored.channel_layers import ChannelPad, ChannelSelect, ChannelSlice, Reshape

Kept = npt.NDArray[np.bool_]
"""Whether a channel stays, by channel id."""


@dataclass(frozen=True)
class PadStep:
    """Channels that are padded with a constant before and after others."""

    amounts: tuple[int, ...]
    place: int
    """Where `amounts` holds the number of channels before; the number after follows it."""
    before: Ids
    after: Ids
    value: float

    def positions(self) -> list[Ids]:
        """The channel ids whose number this step depends on."""
        return [np.concatenate([self.before, self.after])]

    def build(self, kept: Kept) -> nn.Module:
        """The step's module where only the `kept` channels are left."""
        amounts = list(self.amounts)
        amounts[self.place] = int(kept[self.before].sum())
        amounts[self.place + 1] = int(kept[self.after].sum())
        return ChannelPad(amounts, self.value)


@dataclass(frozen=True)
class SelectStep:
    """Positions picked from an axis: slices, uneven splits, channel shuffles."""

    axis: int
    source: Ids
    """Channel ids along the axis that is picked from."""
    index: Ids
    """Positions in it, in the order of the result."""
    copies: bool = False
    """Whether the result must have memory of its own, because somebody writes to it or to what it is picked from."""

    def positions(self) -> list[Ids]:
        """The channel ids whose number this step depends on."""
        return [self.source, self.source[self.index]]

    def build(self, kept: Kept) -> nn.Module:
        """The step's module where only the `kept` channels are left."""
        keep = kept[self.source]
        place = np.cumsum(keep) - 1
        index = place[self.index[keep[self.index]]]
        first = int(index[0]) if len(index) else 0
        if not (self.copies and len(index)) and np.array_equal(index, np.arange(first, first + len(index))):
            return ChannelSlice(self.axis, first, first + len(index))
        return ChannelSelect(self.axis, index.tolist())


@dataclass(frozen=True)
class ReshapeStep:
    """A reshape whose size along one axis follows the channels."""

    sizes: tuple[int, ...]
    """Sizes of all axes but the first, in the full network."""
    axis: int
    along: Ids
    """Channel ids along that axis of the result."""

    def positions(self) -> list[Ids]:
        """The channel ids whose number this step depends on."""
        return [self.along]

    def build(self, kept: Kept) -> nn.Module:
        """The step's module where only the `kept` channels are left."""
        sizes = list(self.sizes)
        sizes[self.axis - 1] = int(kept[self.along].sum())
        return Reshape(sizes)


Step = PadStep | SelectStep | ReshapeStep

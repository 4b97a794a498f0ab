"""The search space of a network: its prunable groups, and what every choice of widths costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from eagleeye.channels.groups import Group
from eagleeye.channels.lift import Lifted
from eagleeye.channels.macs import MacCall
from eagleeye.channels.polynomial import Polynomial, polynomial
from eagleeye.channels.steps import Kept, Step
from eagleeye.channels.summary import table
from eagleeye.channels.ties import Axis, Ids
from eagleeye.errors import StrategyError
from eagleeye.forward.inputs import Call

Rates = Sequence[float]


@dataclass(frozen=True)
class Cost:
    """What one network costs: `macs` multiply-accumulates for one input, `params` trainable parameters."""

    macs: int
    params: int


@dataclass(frozen=True)
class Costs:
    """What many networks cost; arrays of shape (B,)."""

    macs: npt.NDArray[np.int64]
    params: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Space:
    """A traced network: everything about it that does not depend on its weights."""

    groups: tuple[Group, ...]
    """In order of execution of each group's first convolution."""
    left_out: tuple[str, ...]
    """Why convolutions are in no group; a sentence each."""
    ids: tuple[Ids, ...]
    """Per group, the channel ids in the order of the first convolution's filters."""
    axes: tuple[Axis, ...]
    """The axes of tensors that carry channels."""
    shapes: dict[str, torch.Size]
    """Shapes of all parameters and buffers in use, by qualified name."""
    parameters: frozenset[str]
    """Which of them are trainable parameters."""
    mac_calls: tuple[MacCall, ...]
    graph: fx.Graph
    """The forward pass, valid for every width."""
    steps: dict[str, Step]
    """Channel-dependent steps by the module name they have in the graph."""
    lifted: dict[str, Lifted]
    """Layers of torch.nn that stand for functions in the network's code, by the name of the module they replace."""
    constants: dict[str, Tensor]
    """Tensors that the forward pass makes on its own, by the name the graph has for them."""
    id_count: int
    unstorable: tuple[str, ...]
    """Why a pruned network cannot be saved; a sentence for each operation, none if it can be."""
    example: Call
    """The inputs it was traced with."""
    core: str = ""
    """The module of the whole network that was traced, to which all names are relative; empty: the network itself."""

    def __str__(self) -> str:
        """The groups as a short table: what is pruned together, how many filters it has, in which layers."""
        return table(self.groups, self.full_cost.macs, self.full_cost.params, len(self.left_out))

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """The groups' numbers of channels in the full network."""
        return tuple(group.channels for group in self.groups)

    @cached_property
    def full_cost(self) -> Cost:
        """What the full network costs."""
        return self._cost_of_one(self.channels)

    def widths_of(self, rates: Rates) -> tuple[int, ...]:
        """Channels left in each group: of n channels floor(rate x n) go, but never the last one.

        Args:
            rates: One per group, in group order, each in [0, 1].

        Returns:
            One width per group.

        Raises:
            StrategyError: Wrong number of rates, or one out of range.
        """
        if len(rates) != len(self.groups):
            raise StrategyError(
                f"rates: {len(rates)} given, but this network has {len(self.groups)} groups;"
                " give one rate per group, in the order of space.groups"
            )
        for group, rate in zip(self.groups, rates, strict=True):
            if not 0 <= rate <= 1:
                raise StrategyError(f"rate of group '{group.name}': {rate} is outside [0, 1]; give the share to remove")
        return tuple(int(width) for width in self.widths(np.asarray([rates], dtype=np.float64))[0])

    def widths(self, rates: npt.NDArray[np.float64], multiple: int = 1) -> npt.NDArray[np.int64]:
        """The widths of many rate vectors.

        Args:
            rates: Shape (B, G).
            multiple: Widths are rounded to the nearest multiple of it, for hardware that computes in such blocks; at
                least one block stays, or the group where it is smaller, and never more than the group.

        Returns:
            Shape (B, G): n - floor(rate x n), at least 1. A product within 1e-9 of a whole number counts as it.
        """
        full = np.asarray(self.channels, dtype=np.int64)
        left = full - np.floor(rates * full + 1e-9).astype(np.int64)
        if multiple > 1:
            left = (left + multiple // 2) // multiple * multiple
        rounded: npt.NDArray[np.int64] = np.clip(left, np.minimum(multiple, full), full)
        return rounded

    def cost_of(self, widths: npt.NDArray[np.int64]) -> Costs:
        """Costs of many choices of widths, without building a network.

        A tensor's axis grows linearly with the widths, a tensor is the product of its axes, parameters are the sum
        of the tensors, and a layer's MACs its weight's elements times the positions it is applied to.

        Args:
            widths: Channels left per group, shape (B, G).

        Returns:
            MACs for one input, and trainable parameters; exact below 2^53.
        """
        macs, params = self._polynomial.totals(np.asarray(self.channels, dtype=np.int64) - np.asarray(widths))
        return Costs(macs, params)

    def _cost_of_one(self, widths: Sequence[int]) -> Cost:
        costs = self.cost_of(np.asarray([widths], dtype=np.int64).reshape(1, len(self.groups)))
        return Cost(int(costs.macs[0]), int(costs.params[0]))

    @cached_property
    def _polynomial(self) -> Polynomial:
        return polynomial(self.axes, self.shapes, self.ids, self.parameters, self.mac_calls)

    def layer(self, model: nn.Module, name: str) -> nn.Module:
        """The layer that the graph calls under a name: a module of the network, or one of torch.nn in its place.

        Args:
            model: The network.
            name: A target in the graph.

        Returns:
            The layer, with the tensors of `model` themselves.
        """
        return self.lifted[name].build(model) if name in self.lifted else model.get_submodule(name)

    def kept(self, chosen: Sequence[npt.NDArray[np.bool_]]) -> Kept:
        """Which channel ids stay.

        Args:
            chosen: Per group, which of its channels stay, in the order of the first convolution's filters.

        Returns:
            By channel id; everything outside the groups stays.
        """
        kept = np.ones(self.id_count, dtype=bool)
        for ids, stays in zip(self.ids, chosen, strict=True):
            kept[ids] = stays
        return kept

    def thin(self, name: str, tensor: Tensor, kept: Kept) -> Tensor:
        """A copy of one parameter or buffer, without the channels that go.

        Args:
            name: Its qualified name.
            tensor: Its value in the full network.
            kept: From `kept`.

        Returns:
            A new, contiguous tensor.
        """
        for axis in self._axes_of.get(name, ()):
            index = torch.from_numpy(np.flatnonzero(kept[axis.ids]))
            if len(index) < tensor.shape[axis.axis]:
                tensor = tensor.index_select(axis.axis, index.to(tensor.device))
        return tensor.detach().clone(memory_format=torch.contiguous_format)

    @cached_property
    def _axes_of(self) -> dict[str, list[Axis]]:
        by_name: dict[str, list[Axis]] = {}
        for axis in self.axes:
            by_name.setdefault(axis.tensor, []).append(axis)
        return by_name

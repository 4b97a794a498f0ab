"""Weights that do what removed input channels did, as far as those that stay allow: least squares in closed form.

Where a layer loses the inputs R and keeps K, its weights become W_K + W_R B with B = C_RK (C_KK + ridge)^-1, the same
at every position of the kernel; C are the second moments of its inputs in the trained network (He et al., Channel
Pruning, ICCV 2017, and Luo et al., ThiNet, ICCV 2017, whose reconstruction this is).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from eagleeye.channels.space import Space
from eagleeye.channels.steps import Kept
from eagleeye.channels.ties import Ids
from eagleeye.errors import ConfigError
from eagleeye.reconstruction.consumers import Block, Consumer
from eagleeye.reconstruction.moments import Moments

Ranks = npt.NDArray[np.float64]
"""By channel id, how long a channel stays: the larger, the longer; infinite for those that never go."""


class Refit:
    """The refitted tensors of any candidate; read by any number of threads at a time.

    Args:
        space: The network's search space.
        network: The full network in the space's form.
        consumers: The layers to refit.
        moments: For each of them, of each of its blocks.
        order: Per group, its channels, those that stay longest first.
        ridge: What is added to the diagonal of the second moments, as a fraction of its mean.
    """

    def __init__(
        self,
        space: Space,
        network: nn.Module,
        consumers: Sequence[Consumer],
        moments: Sequence[Sequence[Moments]],
        order: Sequence[npt.NDArray[np.int64]],
        ridge: float,
    ) -> None:
        ranks = np.full(space.id_count, np.inf)
        for ids, best in zip(space.ids, order, strict=True):
            ranks[ids[best]] = np.arange(len(best), 0, -1)
        axes = {(axis.tensor, axis.axis): axis.ids for axis in space.axes}
        self._layers = [
            _LayerRefit(consumer, network, parts, ranks, axes, ridge)
            for consumer, parts in zip(consumers, moments, strict=True)
        ]

    @property
    def names(self) -> list[str]:
        """The tensors it may change."""
        return [name for layer in self._layers for name in layer.names]

    def tensors(self, kept: Kept) -> dict[str, Tensor]:
        """The refitted tensors of a thin network, by their names there: weights, and biases that take over means.

        Args:
            kept: Whether a channel stays, by id.

        Returns:
            Those that differ from the full network's, without the channels that go.
        """
        found: dict[str, Tensor] = {}
        for layer in self._layers:
            found |= layer.tensors(kept)
        return found


class _LayerRefit:
    def __init__(
        self,
        consumer: Consumer,
        network: nn.Module,
        moments: Sequence[Moments],
        ranks: Ranks,
        axes: Mapping[tuple[str, int], Ids],
        ridge: float,
    ) -> None:
        self.consumer = consumer
        weight: Tensor = operator.attrgetter(consumer.weight)(network).detach()
        self.dtype, self.kernel = weight.dtype, weight.movedim(consumer.axis, -1).shape[1:-1]
        self.weight = inputs_last(weight, consumer.axis)
        self.bias: Tensor | None = operator.attrgetter(consumer.bias)(network) if consumer.has_bias else None
        self.columns = axes[consumer.tensor, consumer.axis]
        self.rows = axes.get((consumer.tensor, 1 - consumer.axis))
        self.blocks = [
            _BlockRefit(block, one, self.weight, ranks, ridge)
            for block, one in zip(consumer.blocks, moments, strict=True)
        ]

    @property
    def names(self) -> list[str]:
        return [self.consumer.weight, self.consumer.bias] if self.consumer.has_bias else [self.consumer.weight]

    def tensors(self, kept: Kept) -> dict[str, Tensor]:
        if kept[self.columns].all():
            return {}
        device = self.weight.device
        columns = torch.from_numpy(np.flatnonzero(kept[self.columns])).to(device)
        # Of a grouped convolution the rows of one part say which those of all are.
        stays = np.ones(len(self.weight), dtype=bool) if self.rows is None else kept[self.rows]
        rows = torch.from_numpy(np.flatnonzero(stays)).to(device)
        weight = self.weight[rows][..., columns]
        means = torch.zeros(len(rows), dtype=torch.float64, device=device)
        for block in self.blocks:
            features, values, lost = block.refitted(kept, rows)
            weight[..., torch.searchsorted(columns, features.flatten())] = values
            means += lost
        whole = weight.reshape(len(rows), *self.kernel, len(columns))
        found = {self.consumer.weight: whole.movedim(-1, self.consumer.axis).to(self.dtype).contiguous()}
        if self.bias is not None:
            found[self.consumer.bias] = (self.bias.detach().double()[rows] + means).to(self.dtype)
        return found


class _BlockRefit:
    """One block of a layer's inputs.

    With the channels in the order in which they are worth keeping, C + ridge = L L^T, and W_K + W_R B is
    (W L)_K L_KK^-1: one factor serves all widths of a group, and a candidate needs a triangular solve.
    """

    def __init__(self, block: Block, moments: Moments, weight: Tensor, ranks: Ranks, ridge: float) -> None:
        order = np.argsort(-ranks[block.ids], kind="stable")
        self.ids = block.ids[order]
        self.places = torch.from_numpy(block.places[order]).to(weight.device)
        self.groups = len(moments.mean)
        self.mean = moments.mean[:, order]
        self.second = moments.damped(ridge)[:, order][:, :, order]
        self.lower = factor(self.second, ridge)
        self.weight = by_channel(weight, self.places, self.groups)
        self.product = self.weight @ self.lower
        outputs = len(weight) // self.groups
        self.response = (self.weight @ self.mean[:, :, None]).reshape(self.groups, outputs, -1).sum(2)

    def refitted(self, kept: Kept, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The weights of the channels that stay, for some outputs.

        Returns:
            The features that stay, shape (channels, features per channel); their weights, shape (outputs, positions of
            the kernel, channels x features); and what each output loses in the mean, shape (outputs,).
        """
        stays = torch.from_numpy(kept[self.ids])
        count = int(stays.sum())
        outputs = len(rows) // self.groups
        if bool(stays[:count].all()):
            lower = self.lower[:, :count, :count]
            right = self._of_rows(self.product, rows)[..., :count]
        else:
            # Inputs of several groups: what stays is no beginning of any one order.
            whole = self.second[:, :, stays]
            lower = torch.linalg.cholesky(whole[:, stays])
            right = torch.linalg.solve_triangular(
                lower.mT, self._of_rows(self.weight, rows) @ whole, upper=True, left=False
            )
        values = torch.linalg.solve_triangular(lower, right, upper=False, left=False)
        response = (values @ self.mean[:, stays, None]).reshape(self.groups, outputs, -1).sum(2)
        lost = self._of_outputs(self.response, rows) - response
        places = self.places[stays]
        values = values.reshape(len(rows), -1, places.shape[1], count).movedim(2, 3).flatten(2)
        return places, values, lost.flatten()

    def _of_rows(self, table: Tensor, rows: Tensor) -> Tensor:
        """Those rows of a table (groups, outputs x weights per channel, channels) that belong to some outputs."""
        by_output = table.reshape(self.groups * self.response.shape[1], -1, table.shape[2])
        return by_output[rows].reshape(self.groups, -1, table.shape[2])

    def _of_outputs(self, table: Tensor, rows: Tensor) -> Tensor:
        return table.flatten()[rows].reshape(self.groups, -1)


def inputs_last(weight: Tensor, axis: int) -> Tensor:
    """A weight as float64 (outputs, positions of the kernel, inputs).

    Args:
        weight: Of a convolution or a linear layer.
        axis: Which of its axes holds the inputs.
    """
    moved = weight.double().movedim(axis, -1)
    return moved.reshape(len(moved), -1, moved.shape[-1])


def by_channel(weight: Tensor, places: Tensor, groups: int) -> Tensor:
    """What a layer's weights are for each channel.

    Args:
        weight: From `inputs_last`.
        places: The channels' features, shape (channels, features per channel).
        groups: Parts of the layer.

    Returns:
        Shape (groups, outputs per group x weights per channel, channels).
    """
    picked = weight[..., places].movedim(2, 3)
    return picked.reshape(groups, -1, len(places))


def factor(second: Tensor, ridge: float) -> Tensor:
    """The lower Cholesky factor of damped second moments.

    Args:
        second: From `Moments.damped`.
        ridge: What it was damped with.

    Raises:
        ConfigError: That is less than rounding.
    """
    lower, failed = torch.linalg.cholesky_ex(second)
    if bool(failed.any()):
        raise ConfigError(f"ridge: {ridge} is lost in the rounding of activations; give a larger one, e.g. 1e-3")
    return torch.as_tensor(lower)

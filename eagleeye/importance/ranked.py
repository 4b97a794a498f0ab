"""Criteria made of three parts: what a channel consists of in a layer, how that is scored, how layers are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from eagleeye.channels.space import Space
from eagleeye.channels.ties import Axis

Criterion = Callable[[nn.Module, Space], list[npt.NDArray[np.float64]]]
"""Per group an array of its channels' importances, in the order of the first convolution's filters."""

Rows = npt.NDArray[np.float64]
"""Shape (channels, values): what one layer holds for each channel of a group."""

RowsOf = Callable[[nn.Module, Space], list[list[Rows]]]
"""Per group and layer, one row of values for each channel."""

Importance = npt.NDArray[np.float64]
"""Shape (channels,): the higher, the more a channel matters."""

RowScore = Callable[[Rows], Importance]
"""One number for each row."""

Aggregate = Callable[[Sequence[Importance]], Importance]
"""From the scores in every layer that shares a group's channels, in order of execution, to one score each."""


def ranked(rows_of: RowsOf, score: RowScore, join: Aggregate, model: nn.Module, space: Space) -> list[Importance]:
    """Score the channels of every group.

    Args:
        rows_of: What a channel consists of.
        score: How much that is worth within its layer.
        join: One score of those in several layers.
        model: The network whose filters are ranked, left untouched.
        space: Its search space.

    Returns:
        Per group, the importance of each channel.
    """
    return [join([score(rows) for rows in layers]) for layers in rows_of(model, space)]


def filter_axes(space: Space) -> list[Axis]:
    """The axes of convolutions' weights that hold their filters, in order of execution."""
    return [axis for axis in space.axes if axis.role == "filter"]


def channel_rows(space: Space, axes: Iterable[Axis], value: Callable[[str], Tensor]) -> list[list[Rows]]:
    """Cut tensors into one row for each channel.

    Several filters of one layer that stand or fall with one channel (those of a convolution whose groups go as a
    whole) make one row.

    Args:
        space: A search space.
        axes: Which axes of which tensors to cut.
        value: Gives a tensor by its qualified name.

    Returns:
        Per group, for every given axis that carries its channels: the rows, in the order of the group's channels.
    """
    group = np.full(space.id_count, -1)
    channel = np.zeros(space.id_count, dtype=np.int64)
    for number, ids in enumerate(space.ids):
        group[ids] = number
        channel[ids] = np.arange(len(ids))
    found: list[list[Rows]] = [[] for _ in space.groups]
    for axis in axes:
        slices = value(axis.tensor).detach().double().movedim(axis.axis, 0).cpu().numpy()
        for number in np.unique(group[axis.ids][group[axis.ids] >= 0]):
            places = np.flatnonzero(group[axis.ids] == number)
            ordered = places[np.argsort(channel[axis.ids[places]], kind="stable")]
            found[number].append(slices[ordered].reshape(len(space.ids[number]), -1))
    return found


def total(layers: Sequence[Importance]) -> Importance:
    """The sum of the scores as they are: layers of large weights weigh more."""
    joined: Importance = np.sum(layers, axis=0, dtype=np.float64)
    return joined


def mean(layers: Sequence[Importance]) -> Importance:
    """The mean of the scores, each first divided by its layer's mean: all layers weigh the same."""
    joined: Importance = np.mean([_relative(scores) for scores in layers], axis=0, dtype=np.float64)
    return joined


def largest(layers: Sequence[Importance]) -> Importance:
    """The largest score, each first divided by its layer's mean: what matters to one layer stays."""
    joined: Importance = np.max([_relative(scores) for scores in layers], axis=0)
    return joined


def first(layers: Sequence[Importance]) -> Importance:
    """The score in the first layer alone, as it is."""
    return layers[0]


AGGREGATES: dict[str, Aggregate] = {"sum": total, "mean": mean, "max": largest, "first": first}


def _relative(scores: Importance) -> Importance:
    """Scores as multiples of their mean; a layer of zeros stays one."""
    centre = scores.mean()
    return scores / centre if centre > 0 else scores

"""What a channel of a group consists of: in every layer that carries it, one row of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from eagleeye.channels.space import Space
from eagleeye.channels.ties import Axis

Rows = npt.NDArray[np.float64]
"""Shape (channels, values): what one layer holds for each channel of a group."""


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

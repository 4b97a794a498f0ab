"""Criteria made of three parts: what a channel consists of in a layer, how that is scored, how layers are joined."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from torch import nn

from eagleeye.channels.space import Space
from eagleeye.importance.aggregate import Aggregate, Scores
from eagleeye.importance.rows import Rows

Criterion = Callable[[nn.Module, Space], list[npt.NDArray[np.float64]]]
"""Per group an array of its channels' importances, in the order of the first convolution's filters."""

RowsOf = Callable[[nn.Module, Space], list[list[Rows]]]
"""Per group and layer, one row of values for each channel."""

Score = Callable[[Rows], Scores]
"""One number for each row."""


def ranked(rows_of: RowsOf, score: Score, join: Aggregate, model: nn.Module, space: Space) -> list[Scores]:
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

"""One score for a channel that several layers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
"""Shape (channels,): the higher, the more a channel matters."""

Aggregate = Callable[[Sequence[Scores]], Scores]
"""From the scores in every layer that shares a group's channels, in order of execution, to one score each."""


def total(layers: Sequence[Scores]) -> Scores:
    """The sum of the scores as they are: layers of large weights weigh more."""
    joined: Scores = np.sum(layers, axis=0, dtype=np.float64)
    return joined


def mean(layers: Sequence[Scores]) -> Scores:
    """The mean of the scores, each first divided by its layer's mean: all layers weigh the same."""
    joined: Scores = np.mean([_relative(scores) for scores in layers], axis=0, dtype=np.float64)
    return joined


def largest(layers: Sequence[Scores]) -> Scores:
    """The largest score, each first divided by its layer's mean: what matters to one layer stays."""
    joined: Scores = np.max([_relative(scores) for scores in layers], axis=0)
    return joined


def first(layers: Sequence[Scores]) -> Scores:
    """The score in the first layer alone, as it is."""
    return layers[0]


AGGREGATES: dict[str, Aggregate] = {"sum": total, "mean": mean, "max": largest, "first": first}


def _relative(scores: Scores) -> Scores:
    """Scores as multiples of their mean; a layer of zeros stays one."""
    centre = scores.mean()
    return scores / centre if centre > 0 else scores

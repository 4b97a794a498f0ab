"""What a network costs as a polynomial in the lengths of its tensors' axes, for very many choices of widths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eagleeye.channels.macs import MacCall
from eagleeye.channels.ties import Axis, Ids

_ROWS = 256
"""Width vectors at a time: they stay in the cache, and a product this small is not worth a second thread to BLAS."""


@dataclass(frozen=True, eq=False)
class Polynomial:
    """MACs and parameters as weighted sums of products of axis lengths, every product taken once.

    A tensor's axis grows linearly with the widths, a tensor is the product of its axes, and networks have far fewer
    different axes than tensors. Shapes: D different lengths, K different products, G groups.
    """

    full: npt.NDArray[np.float64]
    """The different lengths in the full network, shape (D,)."""
    counts: npt.NDArray[np.float64]
    """Positions that one channel of each group takes on each of them, shape (D, G)."""
    factors: npt.NDArray[np.int64]
    """Which lengths each product multiplies, shape (F, K); D stands for the factor 1."""
    weights: npt.NDArray[np.float64]
    """How often each product counts in the MACs and in the parameters, shape (2, K)."""

    def totals(self, removed: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """MACs and parameters of networks without some channels.

        Args:
            removed: Channels taken from each group, shape (B, G).

        Returns:
            Shape (2, B): MACs, parameters. Exact below 2^53: all terms are whole numbers and none is negative, so
            float64 holds every partial sum, in whatever order they are added.
        """
        result = np.empty((2, len(removed)), dtype=np.int64)
        for start in range(0, len(removed), _ROWS):
            rows = slice(start, start + _ROWS)
            result[:, rows] = self.weights @ self._products(removed[rows].T.astype(np.float64))
        return result

    def _products(self, removed: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        lengths = np.ones((len(self.full) + 1, removed.shape[1]))
        np.subtract(self.full[:, None], self.counts @ removed, out=lengths[:-1])
        products: npt.NDArray[np.float64] = lengths[self.factors[0]]
        for factor in self.factors[1:]:
            products *= lengths[factor]
        return products


def polynomial(
    axes: Sequence[Axis],
    shapes: Mapping[str, Sequence[int]],
    ids: Sequence[Ids],
    parameters: frozenset[str],
    mac_calls: Sequence[MacCall],
) -> Polynomial:
    """Gather what networks cost into one polynomial.

    Args:
        axes: The axes of tensors that carry channels.
        shapes: Shapes of all tensors in the full network, by name.
        ids: Per group, its channel ids.
        parameters: The trainable tensors.
        mac_calls: The calls of layers that multiply.

    Returns:
        The polynomial.
    """
    counts = counts_of(axes, ids)
    lengths: dict[tuple[float, ...], int] = {}
    variable: dict[str, list[int]] = defaultdict(list)
    constant = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in shapes.items()}
    for axis, count in zip(axes, counts, strict=True):
        if count.any():
            length = shapes[axis.tensor][axis.axis]
            variable[axis.tensor].append(lengths.setdefault((length, *count), len(lengths)))
            constant[axis.tensor] //= length
    weights: dict[tuple[int, ...], list[int]] = defaultdict(lambda: [0, 0])
    constant[""] = 1  # of calls without a weight of their own, which cost the same for all widths
    for call in mac_calls:
        weights[tuple(sorted(variable[call.weight]))][0] += call.positions * constant[call.weight]
    for name in parameters:
        weights[tuple(sorted(variable[name]))][1] += constant[name]
    table = np.array(list(lengths), dtype=np.float64).reshape(len(lengths), len(ids) + 1)
    depth = max((len(product) for product in weights), default=1) or 1
    factors = [product + (len(lengths),) * (depth - len(product)) for product in weights]
    return Polynomial(
        table[:, 0],
        table[:, 1:],
        np.array(factors, dtype=np.int64).reshape(len(weights), depth).T,
        np.array(list(weights.values()), dtype=np.float64).reshape(len(weights), 2).T,
    )


def counts_of(axes: Sequence[Axis], ids: Sequence[Ids]) -> list[npt.NDArray[np.int64]]:
    """How many of an axis' positions one channel of each group takes.

    Args:
        axes: Axes of tensors.
        ids: Per group, its channel ids.

    Returns:
        Per axis an array of shape (G,): an axis of length n has n - counts @ removed positions left.
    """
    groups = len(ids)
    highest = max((int(array.max()) for array in [*ids, *(axis.ids for axis in axes)] if len(array)), default=0)
    group_of = np.full(highest + 1, groups)
    group_of[[array[0] for array in ids]] = np.arange(groups)
    return [np.bincount(group_of[axis.ids], minlength=groups + 1)[:groups] for axis in axes]

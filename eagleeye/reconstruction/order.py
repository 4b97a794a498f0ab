"""In which order a group's channels go: each time the one whose removal costs its consumers least.

Optimal brain surgeon (Hassibi and Stork, NIPS 1992) for whole input channels of a layer, with the Hessian of the
layer's output error, the second moments of its input (Frantar and Alistarh, NeurIPS 2022): removing channel j and
refitting the others costs |w_j|^2 / [C^-1]_jj, after which w and C^-1 change by rank one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Layer:
    """What one consumer knows of a group's channels, float64 of shape (channels, channels)."""

    inverse: Matrix
    """Inverse second moments of the channels, given those that always stay."""
    products: Matrix
    """Products of the channels' weights, summed over the outputs."""
    energy: float
    """Of the layer's output: its error counts relative to this."""


def eliminate(layers: Sequence[Layer]) -> tuple[npt.NDArray[np.int64], Matrix]:
    """Remove channel after channel, each time the one that adds least to the layers' relative output errors.

    Args:
        layers: What the consumers know of the channels.

    Returns:
        The channels in the order in which they go, shape (channels,), the last one being the one that never does; and
        what each removal adds to the error, shape (channels,), infinite for the last.
    """
    states = [_State(layer) for layer in layers]
    count = len(layers[0].inverse)
    order = np.empty(count, dtype=np.int64)
    added = np.empty(count)
    gone = np.zeros(count, dtype=bool)
    for step in range(count):
        costs = np.where(gone, np.inf, np.sum([state.costs() for state in states], axis=0))
        chosen = int(np.argmin(costs))
        order[step], added[step] = chosen, costs[chosen]
        gone[chosen] = True
        for state in states:
            state.remove(chosen)
    added[-1] = np.inf
    return order, added


class _State:
    """One layer during the elimination: of the matrices as they are now only the diagonals are kept.

    A column is computed when its channel goes, from the columns of those that went before (as in a pivoted Cholesky
    factorisation): a third of the arithmetic and a fraction of the memory traffic of updating whole matrices.
    """

    def __init__(self, layer: Layer) -> None:
        count = len(layer.inverse)
        self.layer = layer
        self.inverse = layer.inverse.diagonal().copy()
        self.products = layer.products.diagonal().copy()
        # Column-major: columns are written one by one and read many at a time.
        self.shares = np.empty((count, count), order="F")
        self.pivots = np.empty((count, count), order="F")
        self.columns = np.empty((count, count), order="F")
        self.own = np.empty(count)
        self.done = 0

    def costs(self) -> Matrix:
        """What removing each channel would add to the layer's relative error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            costs: Matrix = np.maximum(self.products, 0) / self.inverse / self.layer.energy
        return costs

    def remove(self, channel: int) -> None:
        """Remove a channel; the others take over what they can."""
        done = slice(0, self.done)
        shares, columns = self.shares[:, done], self.columns[:, done]
        inverse = self.layer.inverse[:, channel] - self.pivots[:, done] @ self.pivots[channel, done]
        products = self.layer.products[:, channel] - columns @ shares[channel]
        products -= shares @ (columns[channel] - shares[channel] * self.own[done])
        share = inverse / inverse[channel]
        self.inverse = self.inverse - inverse * share
        self.products = self.products - share * (2 * products - share * products[channel])
        self.pivots[:, self.done] = inverse / np.sqrt(inverse[channel])
        self.shares[:, self.done] = share
        self.columns[:, self.done] = products
        self.own[self.done] = products[channel]
        self.done += 1

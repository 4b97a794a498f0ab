"""Whole channels against a budget: give what is left of it to those groups that deserve it most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from eagleeye.strategies.shell import Shell

Widths = npt.NDArray[np.int64]
Merit = Callable[[Widths, Widths, npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""What changing one group is worth: from present widths (G,), those after each change (G, G) and its cost (G,)."""


def fill(shell: Shell, widths: Widths, merit: Merit) -> Widths:
    """Give channels back as long as the budget allows, each time to the group of the highest merit.

    Args:
        shell: The budget.
        widths: Channels left per group, shape (G,), within the budget.
        merit: What channels are worth.

    Returns:
        The widths, such that no group can have more.
    """
    full = np.asarray(shell.space.channels, dtype=np.int64)
    while True:
        wider = each_changed(widths, np.minimum(widths + shell.multiple, full))
        costs = shell.deviations(np.concatenate([widths[None], wider]))
        fits = (costs[:, 1:].max(axis=0) <= 0) & (wider != widths).any(axis=1)
        if not fits.any():
            return widths
        merits = merit(widths, wider, change_of(costs))
        widths = wider[int(np.argmax(np.where(fits, merits, -np.inf)))]


def each_changed(widths: Widths, changed: Widths) -> Widths:
    """The widths with one group changed, for each group.

    Args:
        widths: Shape (G,).
        changed: Shape (G,).

    Returns:
        Shape (G, G).
    """
    steps = np.tile(widths, (len(widths), 1))
    np.fill_diagonal(steps, changed)
    return steps


def change_of(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How much each change moves the cost that is furthest above its target, or least below it.

    Args:
        costs: `Shell.deviations` of the present widths and then of each change, shape (targets, 1 + G).

    Returns:
        Shape (G,), positive.
    """
    decides = int(np.argmax(costs[:, 0]))
    change: npt.NDArray[np.float64] = np.abs(costs[decides, 1:] - costs[decides, 0])
    return np.maximum(change, np.finfo(np.float64).tiny)

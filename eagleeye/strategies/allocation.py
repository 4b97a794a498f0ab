"""Widths by what they cost and what they lose: a strategy without the evaluation of a single candidate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eagleeye.errors import BudgetError, StrategyError
from eagleeye.strategies.filling import Merit, Widths, change_of, each_changed, fill
from eagleeye.strategies.shell import Shell
from eagleeye.strategies.strategy import Strategy

Errors = Sequence[npt.NDArray[np.float64]]
"""Per group, the error with 0, 1, … channels removed, shape (channels,)."""


def allocate(shell: Shell, errors: Errors, *, name: str = "allocated") -> Strategy:
    """Spend a budget where it saves most error.

    Channels go one by one, each time from the group that loses least error for what it saves of the budget; what is
    left of the budget in the end is filled up again. That is the greedy solution of a multiple-choice knapsack with the
    exact costs; for separable costs and convex errors it is the best one but for the last channels.

    Args:
        shell: The budget. Its `max_rate`, the range of random draws, does not bind.
        errors: Per group, the error with 0, 1, … channels removed, as `Reconstruction.errors` gives; those of different
            groups add up.
        name: The strategy's id.

    Returns:
        A strategy that costs no more than the budget.

    Raises:
        StrategyError: The errors do not fit the groups.
        BudgetError: The budget is out of reach.

    Example:
        >>> shell = eagleeye.Shell(space, eagleeye.Budget(macs=0.5), max_rate=0.7)
        >>> errors = [np.arange(channels) / channels for channels in space.channels]  # or those of `reconstruct`
        >>> strategy = eagleeye.allocate(shell, errors)
        >>> 0.49 < strategy.macs / space.full_cost.macs <= 0.5
        True
    """
    _check(shell, errors)
    full = np.asarray(shell.space.channels, dtype=np.int64)

    def saved(widths: Widths, changed: Widths, cost: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        before = full - widths
        after = full - changed.diagonal()
        differences = [error[b] - error[a] for error, b, a in zip(errors, before, after, strict=True)]
        return np.asarray(differences) / cost

    widths = fill(shell, _reduced(shell, full, saved), saved)
    return shell.strategy(name, (full - widths) / full)


def _reduced(shell: Shell, widths: Widths, merit: Merit) -> Widths:
    """Take channels until the budget is met, each time from the group of the lowest merit."""
    least = np.minimum(shell.multiple, widths)
    while True:
        narrower = each_changed(widths, np.maximum(widths - shell.multiple, least))
        costs = shell.deviations(np.concatenate([widths[None], narrower]))
        if costs[:, 0].max() <= 0:
            return widths
        can = (narrower != widths).any(axis=1)
        if not can.any():
            raise BudgetError(f"budget {shell}: it is out of reach even with the fewest channels; raise the budget")
        # What goes is a negative gain.
        losses = -merit(widths, narrower, change_of(costs))
        widths = narrower[int(np.argmin(np.where(can, losses, np.inf)))]


def _check(shell: Shell, errors: Errors) -> None:
    sizes = [len(error) for error in errors]
    if sizes != list(shell.space.channels):
        raise StrategyError(
            f"errors: they have {sizes[:6]} entries, but the groups have {list(shell.space.channels[:6])} channels;"
            " give one array for each group, with the error of removing 0, 1, … of its channels"
        )

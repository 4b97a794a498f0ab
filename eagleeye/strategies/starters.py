"""Strategies worth trying before any search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from eagleeye.errors import BudgetError
from eagleeye.strategies.allocation import Errors, allocate
from eagleeye.strategies.filling import Widths, fill
from eagleeye.strategies.shell import Shell
from eagleeye.strategies.strategy import Strategy

POWERS = (1.0, 1.25, 1.5, 2.0)
"""Of the errors: the larger, the more evenly they are spread. Errors of different layers do not quite add up."""


def starters(shell: Shell, errors: Errors) -> list[Strategy]:
    """The even network filled up to the budget, and widths allocated by error.

    Args:
        shell: The budget.
        errors: As `allocate` takes them.

    Returns:
        Strategies that differ in their widths, ids `even-filled`, `allocated-1`, `allocated-1.25`, ….

    Raises:
        StrategyError: The errors do not fit the groups.
        BudgetError: The budget is out of reach.

    Example:
        >>> shell = eagleeye.Shell(space, eagleeye.Budget(macs=0.5), max_rate=0.7)
        >>> errors = [(np.arange(channels) / channels) ** 2 for channels in space.channels]
        >>> [strategy.id for strategy in eagleeye.starters(shell, errors)]
        ['even-filled', 'allocated-1', 'allocated-1.25', 'allocated-1.5', 'allocated-2']
    """
    found = [even_filled(shell)]
    found += [allocate(shell, [error**power for error in errors], name=f"allocated-{power:g}") for power in POWERS]
    first: dict[tuple[int, ...], Strategy] = {}
    for strategy in found:
        first.setdefault(strategy.widths, strategy)
    return list(first.values())


def even_filled(shell: Shell) -> Strategy:
    """The most evenly pruned network that costs no more than the budget, and as much of it as whole channels allow.

    One rate for all groups can miss a budget by points where groups are small. Here what is left of it is given back,
    each time to the group that has lost the largest share.

    Args:
        shell: The budget; its `max_rate` does not bind.

    Returns:
        A strategy with the id `even-filled`.

    Raises:
        BudgetError: The budget is out of reach.
    """
    whole = replace(shell, max_rate=1.0)
    full = np.asarray(shell.space.channels, dtype=np.int64)
    rates = np.array(sorted({k / n for n in set(shell.space.channels) for k in range(n)}))
    widths = whole.widths(np.repeat(rates[:, None], len(full), axis=1))
    within = np.flatnonzero(whole.deviations(widths).max(axis=0) <= 0)
    if not len(within):
        raise BudgetError(f"budget {shell}: it is out of reach even with the fewest channels; raise the budget")

    def lost(widths: Widths, _wider: Widths, _cost: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 1 - widths / full

    filled = fill(whole, widths[within[0]], lost)
    return whole.strategy("even-filled", (full - filled) / full)

"""The evenly pruned network: the reference that a search has to beat."""

import numpy as np

from eagleeye.channels.space import Space
from eagleeye.strategies.budget import Budget
from eagleeye.strategies.shell import Latency, Shell
from eagleeye.strategies.strategy import Strategy


def even(space: Space, budget: Budget, *, multiple: int = 1, latency: Latency | None = None) -> Strategy:
    """The evenly pruned network: the one rate for all groups that comes closest to the budget.

    Args:
        space: The network's search space.
        budget: What the thin network may cost; with several targets, the largest excess decides.
        multiple: Widths are rounded to multiples of it.
        latency: Predicts milliseconds; needed for a budget of latency.

    Returns:
        A strategy with the id `even`. Widths are whole numbers, so it can miss the tolerance.

    Example:
        >>> strategy = eagleeye.even(space, eagleeye.Budget(macs=0.5))
        >>> strategy.rates[0], strategy.widths[-1], strategy.macs
        (0.3125, 44, 19261880)
    """
    shell = Shell(space, budget, max_rate=1.0, multiple=multiple, latency=latency)
    steps = sorted({k / n for n in set(space.channels) for k in range(n)})
    rates = np.repeat(np.array(steps)[:, None], len(space.groups), axis=1)
    distance = np.max(np.abs(shell.deviations(shell.widths(rates))), axis=0)
    return shell.strategy("even", rates[int(np.argmin(distance))])

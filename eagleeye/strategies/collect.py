"""Make strategies of drawn rates: distinct, numbered, within the budget."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from eagleeye.errors import BudgetError, ConfigError
from eagleeye.strategies.shell import Shell
from eagleeye.strategies.strategy import Strategy

Scored = Sequence[tuple[Strategy, float]]
"""Candidates tried so far, with their scores: the higher, the better."""
Drawn = tuple[npt.NDArray[np.float64], int]
"""Rate vectors within the budget, shape (n, G), and how many were drawn for them."""

MAX_DRAWS = 2_000_000
"""Vectors to draw in a row without another strategy before giving up, unless told otherwise."""


def collect(
    shell: Shell, blocks: Iterable[Drawn], known: Iterable[Strategy], count: int, max_draws: int
) -> list[Strategy]:
    """Take strategies of new widths from blocks of draws until there are enough.

    Args:
        shell: The rate vectors that meet the budget.
        blocks: Draws, without end.
        known: Strategies whose widths are taken already; ids go on after theirs.
        count: Strategies wanted.
        max_draws: Vectors to draw in a row without another strategy before giving up.

    Returns:
        `count` strategies with ids `s0000`, `s0001`, … or those that follow.

    Raises:
        ConfigError: `count` is out of range.
        BudgetError: The budget is too rare for `max_draws`.
    """
    if count < 1:
        raise ConfigError(f"count: {count} must be at least 1")
    known = list(known)
    taken = {strategy.widths for strategy in known}
    found: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}
    total = idle = 0
    for rates, drawn in blocks:
        before = len(found)
        for vector, widths in zip(rates, map(tuple, shell.widths(rates).tolist()), strict=True):
            if widths not in taken:
                found.setdefault(widths, vector)
        if len(found) >= count:
            break
        total = total + drawn
        idle = idle + drawn if len(found) == before else 0
        if idle >= max_draws:
            together = (
                "" if found or len(shell.targets) == 1 else " (each target is within reach, perhaps not all at once)"
            )
            raise BudgetError(
                f"budget {shell}: {len(found)} different strategies of {count} wanted after {total:,} draws, the last"
                f" {idle:,} of which brought none{together}; raise the tolerance or max_draws, or change max_rate"
            )
    vectors = itertools.islice(found.values(), count)
    return [shell.strategy(f"s{number:04d}", rates) for number, rates in enumerate(vectors, next_number(known))]


def next_number(known: Iterable[Strategy]) -> int:
    """The number after the highest in the ids of drawn strategies (`s0017`); others, such as `even`, have none."""
    numbers = (re.fullmatch(r"s(\d+)", strategy.id) for strategy in known)
    return max((int(match[1]) for match in numbers if match), default=-1) + 1

"""Uniform draws of rates that meet a budget (method, step 1)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from eagleeye.channels.space import Space
from eagleeye.strategies import conditioned
from eagleeye.strategies.budget import Budget
from eagleeye.strategies.collect import MAX_DRAWS, Drawn, Scored, collect
from eagleeye.strategies.shell import Latency, Shell
from eagleeye.strategies.strategy import Strategy

_BLOCK = 4096
"""Vectors drawn at a time."""
_PILOT = 32
"""Blocks after which the share of accepted vectors decides how to go on."""
_RARE = 1e-4
"""Below this share a strategy by rejection takes longer than one from a Markov chain."""


def sample(
    space: Space,
    budget: Budget,
    *,
    count: int,
    max_rate: float,
    seed: int,
    max_draws: int = MAX_DRAWS,
    multiple: int = 1,
    latency: Latency | None = None,
) -> list[Strategy]:
    """Draw strategies that meet a budget: one rate per group, uniform in [0, max_rate] given the budget.

    Vectors are drawn independently and rejected where they miss the budget. Where fewer than one in ten thousand of the
    first 131,072 meet it, the rest comes from independent Markov chains whose stationary distribution is the same:
    uniform on the vectors that meet the budget (`conditioned`). The only distortion is that they start elsewhere and
    run for a finite time: in 24,576 such draws for ResNet-20, under budgets that rejection meets too, no rate was
    distributed differently (Kolmogorov-Smirnov, 5 %, corrected for the number of rates). In both cases a vector whose
    widths were drawn before is left out: where widths repeat often, strategies are spread more evenly over them than
    draws are.

    Args:
        space: The network's search space.
        budget: What the thin network may cost.
        count: Strategies wanted; they differ in their widths.
        max_rate: Upper end of the rates, in (0, 1].
        seed: Same seed, same strategies, and a larger count only appends to them.
        max_draws: Vectors to draw in a row without another strategy before giving up.
        multiple: Widths are rounded to multiples of it; budgets are met by the rounded widths.
        latency: Predicts milliseconds from widths; needed for a budget of latency.

    Returns:
        `count` strategies with ids `s0000`, `s0001`, …

    Raises:
        ConfigError: A value out of range.
        BudgetError: The budget is out of reach, or too rare for `max_draws`.

    Example:
        >>> strategies = eagleeye.sample(space, eagleeye.Budget(macs=0.5), count=2, max_rate=0.7, seed=0)
        >>> [strategy.id for strategy in strategies]
        ['s0000', 's0001']
        >>> all(abs(strategy.macs / space.full_cost.macs - 0.5) <= 0.005 for strategy in strategies)
        True
    """
    shell = Shell(space, budget, max_rate, multiple, latency)
    return uniform(shell, count=count, seed=seed, max_draws=max_draws)


def uniform(shell: Shell, scored: Scored = (), *, count: int, seed: int, max_draws: int = MAX_DRAWS) -> list[Strategy]:
    """What `sample` draws, without the strategies tried so far: the next ones of the same sequence.

    Args:
        shell: The rate vectors that meet the budget.
        scored: Strategies tried so far; their scores do not matter.
        count: Strategies wanted.
        seed: Same seed, same sequence.
        max_draws: Vectors to draw in a row without another strategy before giving up.

    Returns:
        `count` strategies whose ids go on after those in `scored`.

    Raises:
        ConfigError: `count` is out of range.
        BudgetError: The budget is out of reach, or too rare for `max_draws`.
    """
    shell.check_reachable()
    return collect(shell, _draws(shell, seed), [strategy for strategy, _ in scored], count, max_draws)


def _draws(shell: Shell, seed: int) -> Iterator[Drawn]:
    """Rates that meet the budget, block by block, without end."""
    rng = np.random.default_rng(seed)
    accepted = 0
    for block in itertools.count(1):
        rates = rng.uniform(0.0, shell.max_rate, size=(_BLOCK, len(shell.space.groups)))
        rates = rates[shell.excess(rates) == 0]
        accepted += len(rates)
        yield rates, _BLOCK
        if block == _PILOT and accepted < _RARE * _PILOT * _BLOCK:
            break
    for block in itertools.count():
        # A spawned sequence: entropy [seed, 0] would be that of the plain draws.
        yield conditioned.draw(shell, np.random.SeedSequence(seed, spawn_key=(block,)))

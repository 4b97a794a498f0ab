"""Generators of strategies by name, a user's own among them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eagleeye.errors import BudgetError, ConfigError, EagleEyeError, StrategyError, none_of
from eagleeye.references import described, resolve
from eagleeye.strategies.collect import MAX_DRAWS, Scored, collect
from eagleeye.strategies.evolution import evolve
from eagleeye.strategies.shell import Shell
from eagleeye.strategies.strategy import Strategy
from eagleeye.strategies.uniform import uniform


class Sampler(Protocol):
    """Proposes the strategies to try next."""

    def __call__(
        self, shell: Shell, scored: Scored = ..., *, count: int, seed: int, max_draws: int = ...
    ) -> list[Strategy]:
        """Propose strategies.

        Args:
            shell: The rate vectors that meet the budget.
            scored: Strategies tried so far with their scores, the higher the better; empty at first.
            count: Strategies wanted.
            seed: Same seed and scores, same strategies.
            max_draws: Vectors to draw in a row without another strategy before giving up.

        Returns:
            `count` strategies within the budget, none with widths in `scored`; ids go on after those in `scored`.
        """


_OWN: dict[str, Sampler] = {"uniform": uniform, "evolution": evolve}


def sampler(name: str) -> Sampler:
    """Find a generator of strategies.

    Args:
        name: `uniform`, `evolution`, or `package.module:function` for your own. That is called as
            `function(shell, scored, count=count, seed=seed)`, where `shell.space` is the network's search space,
            `shell.max_rate` the largest rate, and `shell.excess(rates)` tells for rate vectors of shape (n, G) how far
            each is from the budget (0 within it). It returns rate vectors, an array or sequence of shape (n, G);
            those that miss the budget or repeat widths are dropped, and it is an error if fewer than `count` are left.

    Returns:
        The generator.

    Raises:
        ConfigError: The name is unknown, or there is no such function.

    Example:
        >>> shell = eagleeye.Shell(space, eagleeye.Budget(macs=0.5), max_rate=0.7)
        >>> [strategy.id for strategy in eagleeye.sampler("uniform")(shell, count=2, seed=0)]
        ['s0000', 's0001']
    """
    if ":" in name:
        return partial(_own, name, resolve(name, ConfigError))
    if name not in _OWN:
        raise ConfigError(f"sampler {none_of(name, _OWN, 'package.module:function')}")
    return _OWN[name]


def _own(
    name: str,
    function: Callable[..., Any],
    shell: Shell,
    scored: Scored = (),
    *,
    count: int,
    seed: int,
    max_draws: int = MAX_DRAWS,
) -> list[Strategy]:
    shell.check_reachable()
    try:
        proposed = function(shell, scored, count=count, seed=seed)
    except EagleEyeError:
        raise
    except Exception as cause:
        raise StrategyError(f"sampler {name} failed: {described(cause)}") from cause
    rates = _checked(name, proposed, shell)
    within = rates[shell.excess(rates) == 0] if len(rates) else rates
    try:
        # One block: whatever it does not bring, nothing does.
        return collect(shell, [(within, max_draws), (within[:0], max_draws)], [s for s, _ in scored], count, max_draws)
    except BudgetError as cause:
        raise BudgetError(
            f"sampler {name} proposed {len(rates)} vectors, of which {len(within)} meet the budget {shell}, too few"
            f" with new widths for the {count} wanted; let it propose more"
        ) from cause


def _checked(name: str, proposed: Any, shell: Shell) -> npt.NDArray[np.float64]:
    groups = len(shell.space.groups)
    try:
        rates = np.asarray(proposed, dtype=np.float64)
    except (TypeError, ValueError) as cause:
        raise StrategyError(f"sampler {name} returned no array of rates: {described(cause)}") from cause
    if rates.size == 0:
        return np.empty((0, groups))
    if rates.ndim != 2 or rates.shape[1] != groups:
        raise StrategyError(f"sampler {name} returned rates of shape {rates.shape}; needed is (any number, {groups})")
    outside = rates[~((rates >= 0) & (rates <= 1))]
    if len(outside):
        raise StrategyError(f"sampler {name} returned the rate {outside[0]}; rates lie in [0, 1]")
    return rates

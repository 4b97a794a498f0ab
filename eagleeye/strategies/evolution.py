"""The next generation of an evolutionary search: mutation and crossover of the best strategies so far."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from eagleeye.errors import StrategyError
from eagleeye.strategies.collect import MAX_DRAWS, Drawn, Scored, collect
from eagleeye.strategies.conditioned import Chains
from eagleeye.strategies.shell import RateVectors, Shell
from eagleeye.strategies.strategy import Strategy
from eagleeye.strategies.uniform import uniform

PARENTS = 10
"""The best-scored strategies, which have offspring."""
MUTATION = 0.1
"""Share of the rates that a mutation redraws; always at least one."""
_BLOCK = 256
"""Children bred at a time."""


def evolve(shell: Shell, scored: Scored = (), *, count: int, seed: int, max_draws: int = MAX_DRAWS) -> list[Strategy]:
    """Breed the next generation from the best strategies so far.

    To search in generations, score what this returns, add it to `scored` and ask again. One half of the children takes
    every rate from one of two parents, the other half is a parent some of whose rates are drawn anew (Guo et al.,
    "Single path one-shot neural architecture search", ECCV 2020, section 3.4, whose settings these are). A child that
    misses the budget is moved into it by redrawing pairs of its rates, each time no further from it than before.
    Before anything is scored, the first generation is drawn uniformly.

    Args:
        shell: The rate vectors that meet the budget.
        scored: Strategies tried so far with their scores, the higher the better.
        count: Strategies wanted.
        seed: Same seed and scores, same strategies, and a larger count only appends to them.
        max_draws: Children to breed in a row without another strategy before giving up.

    Returns:
        `count` strategies, none with the widths of one in `scored`; their ids go on after those in `scored`.

    Raises:
        ConfigError: `count` is out of range.
        StrategyError: A score is not a number, or a strategy is not one of this network.
        BudgetError: The budget is out of reach, or too rare for `max_draws`.

    Example:
        >>> shell = eagleeye.Shell(space, eagleeye.Budget(macs=0.5), max_rate=0.7)
        >>> first = eagleeye.evolve(shell, count=2, seed=0)
        >>> scored = list(zip(first, [0.3, 0.4]))  # by whatever tells good candidates
        >>> [strategy.id for strategy in eagleeye.evolve(shell, scored, count=2, seed=0)]
        ['s0002', 's0003']
    """
    _check(shell, scored)
    if not scored:
        return uniform(shell, count=count, seed=seed, max_draws=max_draws)
    shell.check_reachable()
    best = sorted(scored, key=lambda entry: (-entry[1], entry[0].id))[:PARENTS]
    # References, such as the evenly pruned network, may have lost more than a drawn strategy can.
    top = np.nextafter(shell.max_rate, 0)
    parents = np.minimum(np.array([strategy.rates for strategy, _ in best]), top)
    # Another stream for every generation.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(len(scored),)))
    return collect(shell, _children(shell, parents, rng), [strategy for strategy, _ in scored], count, max_draws)


def _children(shell: Shell, parents: RateVectors, rng: np.random.Generator) -> Iterator[Drawn]:
    groups = parents.shape[1]
    for _ in itertools.count():
        children = np.concatenate([_crossed(parents, rng), _mutated(parents, shell.max_rate, rng)])
        # Both kinds in turns, so that a small generation has some of each.
        family = Chains(shell, rng, children.reshape(2, -1, groups).swapaxes(0, 1).reshape(-1, groups))
        family.approach(moves=groups, sizes=(2,))
        yield family.rates, family.drawn


def _crossed(parents: RateVectors, rng: np.random.Generator) -> RateVectors:
    couples = parents[rng.integers(len(parents), size=(2, _BLOCK // 2))]
    from_first = rng.random(couples.shape[1:]) < 0.5
    crossed: RateVectors = np.where(from_first, couples[0], couples[1])
    return crossed


def _mutated(parents: RateVectors, max_rate: float, rng: np.random.Generator) -> RateVectors:
    chosen = parents[rng.integers(len(parents), size=_BLOCK // 2)]
    anew = rng.random(chosen.shape) < MUTATION
    anew[np.arange(len(chosen)), rng.integers(chosen.shape[1], size=len(chosen))] = True
    mutated: RateVectors = np.where(anew, rng.uniform(0.0, max_rate, size=chosen.shape), chosen)
    return mutated


def _check(shell: Shell, scored: Scored) -> None:
    groups = len(shell.space.groups)
    for strategy, score in scored:
        if math.isnan(score):
            raise StrategyError(f"strategy {strategy.id}: its score is not a number; leave it out or score it again")
        if len(strategy.rates) != groups:
            raise StrategyError(
                f"strategy {strategy.id}: it has {len(strategy.rates)} rates, but this network has {groups} groups;"
                " breed from strategies of the same network"
            )

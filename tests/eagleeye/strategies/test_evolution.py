"""Generations bred from known scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eagleeye.channels import Space
from eagleeye.errors import StrategyError
from eagleeye.strategies import Budget, Shell, Strategy, even, evolve, sample, uniform
from eagleeye.strategies.evolution import PARENTS

BUDGET = Budget(macs=0.5)


@pytest.fixture(scope="module")
def shell(space: Space) -> Shell:
    return Shell(space, BUDGET, max_rate=0.7)


def score(strategy: Strategy) -> float:
    """Best where early groups keep everything and late ones lose much."""
    wanted = np.linspace(0, 0.7, len(strategy.rates))
    return -float(np.sum((np.array(strategy.rates) - wanted) ** 2))


def scored(strategies: list[Strategy]) -> list[tuple[Strategy, float]]:
    return [(strategy, score(strategy)) for strategy in strategies]


def test_children_meet_the_budget_are_new_and_go_on_counting(shell: Shell) -> None:
    parents = scored(uniform(shell, count=30, seed=0))
    children = evolve(shell, parents, count=40, seed=0)
    assert [child.id for child in children] == [f"s{number:04d}" for number in range(30, 70)]
    widths = {strategy.widths for strategy, _ in parents} | {child.widths for child in children}
    assert len(widths) == 70
    for child in children:
        assert abs(child.macs / shell.space.full_cost.macs - 0.5) <= 0.005
        assert all(0 <= rate < 0.7 for rate in child.rates)
        assert child.widths == shell.space.widths_of(child.rates)


def test_children_take_most_rates_from_the_best_at_their_places(shell: Shell) -> None:
    parents = scored(uniform(shell, count=60, seed=0))
    best = sorted(parents, key=lambda entry: -entry[1])[:PARENTS]
    pool = [{strategy.rates[group] for strategy, _ in best} for group in range(len(shell.space.groups))]
    children = evolve(shell, parents, count=50, seed=0)
    inherited = [[rate in pool[group] for group, rate in enumerate(child.rates)] for child in children]
    assert 0.6 < np.mean(inherited) < 1
    sources = [
        {strategy.id for rate, group in zip(child.rates, range(99), strict=False) for strategy, _ in best
         if strategy.rates[group] == rate}
        for child in children
    ]  # fmt: skip
    assert max(map(len, sources)) == 2


def test_generations_get_better_than_as_many_uniform_draws(shell: Shell) -> None:
    tried = scored(uniform(shell, count=40, seed=0))
    for _ in range(6):
        tried += scored(evolve(shell, tried, count=40, seed=0))
    by_chance = [score(strategy) for strategy in uniform(shell, count=len(tried), seed=0)]
    assert max(value for _, value in tried) > 0.5 * max(by_chance)
    assert np.mean([value for _, value in tried[-40:]]) > np.quantile(by_chance, 0.95)


def test_same_seed_and_scores_same_children_and_more_only_append(shell: Shell) -> None:
    parents = scored(uniform(shell, count=12, seed=0))
    many = evolve(shell, parents, count=300, seed=1)
    assert evolve(shell, parents, count=20, seed=1) == many[:20]
    assert evolve(shell, parents, count=20, seed=2) != many[:20]


def test_the_first_generation_is_drawn_uniformly(shell: Shell, space: Space) -> None:
    assert evolve(shell, count=5, seed=3) == sample(space, BUDGET, count=5, max_rate=0.7, seed=3)


def test_a_rare_budget_has_children_too(space: Space) -> None:
    rare = Shell(space, Budget(macs=0.5, params=0.6, tolerance=0.0005), max_rate=0.7)
    parents = scored(uniform(rare, count=2, seed=0))
    for child in evolve(rare, parents, count=20, seed=0):
        assert abs(child.params / space.full_cost.params - 0.6) <= 0.0005


def test_references_with_higher_rates_may_be_parents(space: Space) -> None:
    narrow = Shell(space, Budget(macs=0.5, tolerance=0.05), max_rate=0.32)
    reference = replace(even(space, Budget(macs=0.4)), id="even")
    assert max(reference.rates) > 0.32
    children = evolve(narrow, [(reference, 1.0)], count=5, seed=0)
    assert [child.id for child in children] == [f"s{number:04d}" for number in range(5)]
    assert max(max(child.rates) for child in children) < 0.32


def test_scores_and_strategies_that_do_not_fit_are_refused(shell: Shell) -> None:
    one = uniform(shell, count=1, seed=0)[0]
    with pytest.raises(StrategyError, match="strategy s0000: its score is not a number"):
        evolve(shell, [(one, float("nan"))], count=1, seed=0)
    with pytest.raises(StrategyError, match="strategy s0000: it has 1 rates, but this network has 12 groups"):
        evolve(shell, [(replace(one, rates=(0.1,)), 1.0)], count=1, seed=0)

"""Draws against their definition, and budgets that cannot be met."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import eagleeye
from eagleeye import Budget
from eagleeye.channels import Space
from eagleeye.errors import BudgetError, ConfigError
from tests.eagleeye.networks import Concatenation


def test_strategies_meet_the_budget_are_distinct_and_within_range(space: Space) -> None:
    found = eagleeye.sample(space, Budget(macs=0.5), count=50, max_rate=0.7, seed=0)
    assert [strategy.id for strategy in found] == [f"s{number:04d}" for number in range(50)]
    assert len({strategy.widths for strategy in found}) == 50
    for strategy in found:
        assert abs(strategy.macs / space.full_cost.macs - 0.5) <= 0.005
        assert all(0 <= rate < 0.7 for rate in strategy.rates)
        expected = [n - math.floor(r * n) for r, n in zip(strategy.rates, space.channels, strict=True)]
        assert list(strategy.widths) == expected


def test_same_seed_same_strategies_and_more_only_append(space: Space) -> None:
    few = eagleeye.sample(space, Budget(macs=0.5), count=10, max_rate=0.7, seed=3)
    many = eagleeye.sample(space, Budget(macs=0.5), count=40, max_rate=0.7, seed=3)
    assert many[:10] == few
    assert eagleeye.sample(space, Budget(macs=0.5), count=10, max_rate=0.7, seed=4) != few


def test_rates_are_uniform_draws_conditioned_on_the_budget(space: Space) -> None:
    """An independent rejection, one vector at a time, has the same mean rates within sampling error."""
    found = eagleeye.sample(space, Budget(macs=0.5, tolerance=0.05), count=500, max_rate=0.7, seed=0)
    rng, reference = np.random.default_rng(99), []
    while len(reference) < 500:
        rates = rng.uniform(0, 0.7, len(space.groups))
        macs = space.cost_of(np.array([space.widths_of(rates.tolist())])).macs[0]
        if abs(macs / space.full_cost.macs - 0.5) <= 0.05:
            reference.append(rates)
    mine = np.array([strategy.rates for strategy in found])
    error = np.sqrt(2 * np.var(reference, axis=0) / 500)
    assert (np.abs(mine.mean(axis=0) - np.mean(reference, axis=0)) < 4.5 * error).all()


def test_budgets_can_be_absolute_and_several_at_once(space: Space) -> None:
    full = space.full_cost
    both = Budget(macs=full.macs * 0.5, params=0.5, tolerance=0.02)
    for strategy in eagleeye.sample(space, both, count=5, max_rate=0.7, seed=0):
        assert abs(strategy.macs / full.macs - 0.5) <= 0.02
        assert abs(strategy.params / full.params - 0.5) <= 0.02


def test_an_unreachable_budget_ends_at_once_with_the_reachable_range(space: Space) -> None:
    with pytest.raises(
        BudgetError, match=r"10\.0% of the network.*out of reach.*max_rate 0\.4.*\(\d\d\.\d% to 100\.0%\)"
    ):
        eagleeye.sample(space, Budget(macs=0.1), count=1, max_rate=0.4, seed=0)


def test_a_budget_that_draws_do_not_meet_ends_after_max_draws(space: Space) -> None:
    with pytest.raises(
        BudgetError, match=r"macs 99\.9% ± 0\.01%: 0 different strategies of 3 wanted after 8,192 draws"
    ):
        eagleeye.sample(space, Budget(macs=0.999, tolerance=0.0001), count=3, max_rate=0.9, seed=0, max_draws=8000)


def test_a_space_with_few_widths_is_exhausted_not_looped_over() -> None:
    small = eagleeye.trace(Concatenation(), torch.randn(1, 3, 12, 12))
    with pytest.raises(BudgetError, match="different strategies of 1000 wanted"):
        eagleeye.sample(small, Budget(macs=0.5, tolerance=0.02), count=1000, max_rate=0.7, seed=0, max_draws=50_000)


def test_max_rate_and_count_out_of_range_are_refused(space: Space) -> None:
    with pytest.raises(ConfigError, match="max_rate: 0"):
        eagleeye.sample(space, Budget(macs=0.5), count=1, max_rate=0, seed=0)
    with pytest.raises(ConfigError, match="count: 0"):
        eagleeye.sample(space, Budget(macs=0.5), count=0, max_rate=0.5, seed=0)


def test_widths_and_costs_are_the_rounded_ones(space: Space) -> None:
    for strategy in eagleeye.sample(
        space, Budget(macs=0.5, tolerance=0.05), count=20, max_rate=0.8, seed=0, multiple=8
    ):
        assert all(width % 8 == 0 for width in strategy.widths)
        assert strategy.widths != space.widths_of(strategy.rates)
        assert strategy.macs == space.cost_of(np.array([strategy.widths])).macs[0]
        assert abs(strategy.macs / space.full_cost.macs - 0.5) <= 0.05
    even = eagleeye.even(space, Budget(macs=0.5), multiple=8)
    assert all(width % 8 == 0 for width in even.widths)
    with pytest.raises(ConfigError, match="multiple: 0"):
        eagleeye.sample(space, Budget(macs=0.5), count=1, max_rate=0.5, seed=0, multiple=0)

"""Markov chains within a budget against plain rejection, and budgets that rejection does not find."""

from __future__ import annotations

import importlib
import itertools

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import ks_2samp

import eagleeye
from eagleeye import Budget
from eagleeye.channels import Space
from eagleeye.errors import BudgetError
from eagleeye.strategies import conditioned
from eagleeye.strategies.shell import Shell

RARE = Budget(macs=0.95, tolerance=0.005)


def rejected(shell: Shell, draws: int) -> npt.NDArray[np.float64]:
    rng, groups = np.random.default_rng(99), len(shell.space.groups)
    blocks = [rng.uniform(0, shell.max_rate, size=(100_000, groups)) for _ in range(draws // 100_000)]
    return np.concatenate([rates[shell.excess(rates) == 0] for rates in blocks])


def acceptance(shell: Shell, draws: int = 100_000) -> float:
    """Share of uniform vectors within a shell of low rates, by importance sampling from a beta distribution."""
    u = np.random.default_rng(98).beta(1, 6, size=(draws, len(shell.space.groups)))
    weights = 1 / np.prod(6 * (1 - u) ** 5, axis=1)
    return float(np.mean(weights * (shell.excess(shell.max_rate * u) == 0)))


@pytest.mark.parametrize(
    ("budget", "draws"),
    [(Budget(macs=0.36, tolerance=0.002), 400_000), (Budget(macs=0.45, params=0.6, tolerance=0.02), 1_500_000)],
)
def test_rates_are_distributed_as_by_rejection(space: Space, budget: Budget, draws: int) -> None:
    """Kolmogorov-Smirnov on every rate, every sum and difference of neighbours, and the costs."""
    shell = Shell(space, budget, max_rate=0.7)
    by_rejection = rejected(shell, draws)
    assert 2000 < len(by_rejection) < 0.02 * draws
    blocks = [conditioned.draw(shell, np.random.SeedSequence(1, spawn_key=(block,)))[0] for block in range(3)]
    by_chains = np.concatenate(blocks)
    assert len(by_chains) > 0.95 * 3 * conditioned.CHAINS
    assert (shell.excess(by_chains) == 0).all()

    def views(rates: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
        columns = list(rates.T)
        pairs = [operand for a, b in itertools.pairwise(columns) for operand in (a + b, a - b)]
        return [*columns, *pairs, *shell.deviations(shell.widths(rates))]

    values = [ks_2samp(mine, theirs).pvalue for mine, theirs in zip(views(by_chains), views(by_rejection), strict=True)]
    assert min(values) > 0.001 / len(values)


def test_a_budget_met_once_in_a_hundred_million_draws_is_found(space: Space) -> None:
    shell = Shell(space, RARE, max_rate=0.7)
    assert 0 < acceptance(shell) < 1e-8
    found = eagleeye.sample(space, RARE, count=200, max_rate=0.7, seed=0)
    assert [strategy.id for strategy in found] == [f"s{number:04d}" for number in range(200)]
    assert len({strategy.widths for strategy in found}) == 200
    for strategy in found:
        assert abs(strategy.macs / space.full_cost.macs - 0.95) <= 0.005
        assert all(0 <= rate < 0.7 for rate in strategy.rates)
        assert strategy.widths == space.widths_of(strategy.rates)


def test_more_only_append_across_blocks_and_seeds_differ(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditioned, "CHAINS", 16)
    monkeypatch.setattr(conditioned, "MOVES_PER_GROUP", 4)
    many = eagleeye.sample(space, RARE, count=40, max_rate=0.7, seed=3)
    assert eagleeye.sample(space, RARE, count=10, max_rate=0.7, seed=3) == many[:10]
    assert eagleeye.sample(space, RARE, count=10, max_rate=0.7, seed=4) != many[:10]


def test_chains_start_apart_from_the_plain_draws(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed, and the list of it and zeros, would start the same generator."""
    uniform = importlib.import_module("eagleeye.strategies.uniform")  # the package has a function of that name
    monkeypatch.setattr(uniform, "_PILOT", 1)
    monkeypatch.setattr(uniform, "_RARE", 2.0)
    monkeypatch.setattr(conditioned, "MOVES_PER_GROUP", 0)
    everything = Shell(space, Budget(macs=0.5, tolerance=0.9), max_rate=0.7)
    (plain, _), (first, _), (second, _) = itertools.islice(uniform._draws(everything, 5), 3)
    assert len(first) == len(second) == conditioned.CHAINS
    assert not np.isin(first, plain).any()
    assert not np.isin(second, np.concatenate([plain, first])).any()


def test_a_budget_between_the_costs_that_exist_ends(space: Space) -> None:
    """Within reach, but no width gives half a multiply-accumulate."""
    with pytest.raises(BudgetError, match="0 different strategies of 1 wanted"):
        budget = Budget(macs=space.full_cost.macs / 2 + 0.5, tolerance=0.0)
        eagleeye.sample(space, budget, count=1, max_rate=0.7, seed=0, max_draws=300_000)


def test_targets_that_exclude_each_other_end_with_that_guess(space: Space) -> None:
    with pytest.raises(BudgetError, match="each target is within reach, perhaps not all at once"):
        eagleeye.sample(space, Budget(macs=0.9, params=0.3), count=1, max_rate=0.7, seed=0, max_draws=300_000)

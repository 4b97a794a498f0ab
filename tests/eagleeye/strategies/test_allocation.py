"""Allocated widths against every choice there is, and what must hold for all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import eagleeye
from eagleeye.errors import BudgetError, StrategyError
from eagleeye.strategies import Shell, allocate, even_filled, starters
from tests.eagleeye import networks


def space_of(*filters: int) -> eagleeye.Space:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise((3, *filters)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters[-1], 5))
    return eagleeye.trace(network.eval(), torch.randn(1, 3, 8, 8))


SPACE = space_of(6, 5, 7)


def random_errors(seed: int, space: eagleeye.Space = SPACE) -> list[np.ndarray]:
    """Convex curves that begin with nothing removed, nothing lost."""
    rng = np.random.default_rng(seed)
    return [np.concatenate([[0.0], np.cumsum(np.sort(rng.exponential(size=n - 1)))]) for n in space.channels]


def total(errors: list[np.ndarray], widths: tuple[int, ...]) -> float:
    return sum(error[n - w] for error, n, w in zip(errors, SPACE.channels, widths, strict=True))


@given(seed=st.integers(0, 10**6), macs=st.floats(0.2, 0.9))
@settings(deadline=None, max_examples=40)
def test_what_is_allocated_meets_the_budget_and_cannot_be_widened(seed: int, macs: float) -> None:
    shell = Shell(SPACE, eagleeye.Budget(macs=macs), max_rate=0.1)
    errors = random_errors(seed)
    for strategy in (allocate(shell, errors), even_filled(shell), *starters(shell, errors)):
        allowed = macs * SPACE.full_cost.macs
        assert strategy.macs <= allowed
        assert SPACE.widths_of(strategy.rates) == strategy.widths
        for group, (width, n) in enumerate(zip(strategy.widths, SPACE.channels, strict=True)):
            if width < n:
                wider = np.array([strategy.widths])
                wider[0, group] += 1
                assert SPACE.cost_of(wider).macs[0] > allowed


def test_it_is_close_to_the_best_of_all_choices() -> None:
    shell = Shell(SPACE, eagleeye.Budget(macs=0.5), max_rate=1.0)
    choices = np.array(list(itertools.product(*(range(1, n + 1) for n in SPACE.channels))))
    choices = choices[SPACE.cost_of(choices).macs <= 0.5 * SPACE.full_cost.macs]
    for seed in range(20):
        errors = random_errors(seed)
        best = min(total(errors, tuple(widths)) for widths in choices)
        middle = float(np.median([total(errors, tuple(widths)) for widths in choices]))
        found = total(errors, allocate(shell, errors).widths)
        assert best <= found <= best + 0.25 * (middle - best)


def test_the_even_network_is_filled_group_by_group() -> None:
    space = eagleeye.trace(networks.lively(networks.Plain()), torch.randn(1, 3, 12, 12))
    shell = Shell(space, eagleeye.Budget(macs=0.5, tolerance=0.03), max_rate=0.7)
    filled = even_filled(shell)
    alike = [space.widths_of([rate] * len(space.groups)) for rate in np.linspace(0, 1, 1000)]
    costs = space.cost_of(np.array(alike)).macs
    assert filled.macs >= costs[costs <= 0.5 * space.full_cost.macs].max()
    shares = [width / n for width, n in zip(filled.widths, space.channels, strict=True)]
    assert max(shares) - min(shares) < 2 / min(space.channels)


def test_widths_come_in_multiples() -> None:
    space = space_of(16, 24, 32)
    shell = Shell(space, eagleeye.Budget(macs=0.5), max_rate=1.0, multiple=8)
    for strategy in starters(shell, random_errors(1, space)):
        assert all(width % 8 == 0 for width in strategy.widths)


def test_several_targets_are_all_met() -> None:
    shell = Shell(SPACE, eagleeye.Budget(macs=0.6, params=0.4), max_rate=1.0)
    for strategy in starters(shell, random_errors(2)):
        assert strategy.macs <= 0.6 * SPACE.full_cost.macs
        assert strategy.params <= 0.4 * SPACE.full_cost.params


def test_starters_differ() -> None:
    shell = Shell(SPACE, eagleeye.Budget(macs=0.5), max_rate=1.0)
    found = starters(shell, random_errors(3))
    assert len({strategy.widths for strategy in found}) == len({strategy.id for strategy in found}) == len(found)
    assert found[0].id == "even-filled"


def test_errors_of_another_network_and_budgets_out_of_reach_are_refused() -> None:
    shell = Shell(SPACE, eagleeye.Budget(macs=0.5), max_rate=1.0)
    with pytest.raises(StrategyError, match="one array for each group"):
        allocate(shell, random_errors(0)[:2])
    tiny = Shell(SPACE, eagleeye.Budget(macs=0.0001), max_rate=1.0)
    for attempt in (lambda: allocate(tiny, random_errors(0)), lambda: even_filled(tiny)):
        with pytest.raises(BudgetError, match="out of reach even with the fewest channels"):
            attempt()

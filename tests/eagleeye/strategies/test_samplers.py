"""Generators of strategies by name, and functions of a user's own that do as they please."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from eagleeye.channels import Space
from eagleeye.errors import BudgetError, ConfigError, StrategyError
from eagleeye.strategies import Budget, Shell, evolve, sample, sampler, uniform

BUDGET = Budget(macs=0.5, tolerance=0.01)


@pytest.fixture(scope="module")
def shell(space: Space) -> Shell:
    return Shell(space, BUDGET, max_rate=0.7)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A module with a function `propose` whose result or exception the test sets."""
    state = SimpleNamespace(result=None, calls=[])

    def propose(shell: Shell, scored: Any, *, count: int, seed: int) -> Any:
        state.calls.append((shell, scored, count, seed))
        if isinstance(state.result, Exception):
            raise state.result
        return state.result

    module = ModuleType("my_sampler")
    module.propose = propose
    monkeypatch.setitem(sys.modules, "my_sampler", module)
    return state


def test_names_stand_for_the_generators() -> None:
    assert (sampler("uniform"), sampler("evolution")) == (uniform, evolve)


def test_uniform_goes_on_where_the_scored_ones_end(shell: Shell, space: Space) -> None:
    all_at_once = sample(space, BUDGET, count=30, max_rate=0.7, seed=4)
    scored = [(strategy, 0.5) for strategy in all_at_once[:12]]
    assert sampler("uniform")(shell, scored, count=18, seed=4) == all_at_once[12:]


def test_an_own_function_proposes_rates_and_the_rest_is_done_for_it(shell: Shell, own: SimpleNamespace) -> None:
    known, *fresh = uniform(shell, count=4, seed=0)
    own.result = [[0.0] * 12, known.rates, fresh[0].rates, fresh[0].rates, fresh[1].rates, fresh[2].rates]
    scored = [(known, 0.9)]
    found = sampler("my_sampler:propose")(shell, scored, count=2, seed=7)
    assert own.calls == [(shell, scored, 2, 7)]
    assert [strategy.id for strategy in found] == ["s0001", "s0002"]
    assert [strategy.widths for strategy in found] == [fresh[0].widths, fresh[1].widths]


def test_too_few_of_its_own_end_with_the_numbers(shell: Shell, own: SimpleNamespace) -> None:
    good = uniform(shell, count=2, seed=0)
    own.result = np.array([[0.0] * 12, good[0].rates, good[1].rates])
    message = r"my_sampler:propose proposed 3 vectors, of which 2 meet the budget macs 50.0% ± 1.00%.* the 3 wanted"
    with pytest.raises(BudgetError, match=message):
        sampler("my_sampler:propose")(shell, count=3, seed=0)
    own.result = []
    with pytest.raises(BudgetError, match="proposed 0 vectors"):
        sampler("my_sampler:propose")(shell, count=1, seed=0)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (ValueError("no idea"), "my_sampler:propose failed: ValueError: no idea"),
        (None, r"my_sampler:propose returned rates of shape \(\); needed is \(any number, 12\)"),
        ([[0.5, 0.5]], r"returned rates of shape \(1, 2\)"),
        ([["a"] * 12], "returned no array of rates: ValueError"),
        ([[0.5] * 11 + [1.5]], "returned the rate 1.5"),
        ([[0.5] * 11 + [float("nan")]], "returned the rate nan"),
    ],
)
def test_its_mistakes_are_one_line(shell: Shell, own: SimpleNamespace, result: object, message: str) -> None:
    own.result = result
    with pytest.raises(StrategyError, match=message):
        sampler("my_sampler:propose")(shell, count=1, seed=0)


def test_an_error_of_this_library_keeps_its_words(shell: Shell, own: SimpleNamespace) -> None:
    own.result = ConfigError("temperature: -1 must be positive")
    with pytest.raises(ConfigError, match=r"^temperature: -1 must be positive$"):
        sampler("my_sampler:propose")(shell, count=1, seed=0)


def test_unknown_names_and_missing_functions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'evolutoin' is none of uniform, evolution.*did you mean evolution\?"):
        sampler("evolutoin")
    with pytest.raises(ConfigError, match="there is no module 'no_such_module'"):
        sampler("no_such_module:propose")

"""The candidates of a compression: a range of rates that has room for the budget, and draws from it."""

from __future__ import annotations

import numpy as np
from torch import nn

from eagleeye.engine import Engine
from eagleeye.errors import BudgetError
from eagleeye.forward.modes import evaluating
from eagleeye.latency.profile import profile
from eagleeye.scoring.race import Generations
from eagleeye.strategies import Budget, Shell, Strategy, evolve, starters, uniform
from eagleeye.strategies.allocation import Errors

MAX_RATES = (0.95, 1.0)
"""Ends of the range of rates that are tried: bred candidates leave little of some groups."""
GENERATIONS = 10
"""All but the first, which is drawn, are bred from those before."""
MAX_DRAWS = 500_000
"""Vectors to draw in a row without another strategy: small networks have few."""
ROOM = 0.6
"""Of a target, the thinnest network of the range may cost at most: else hardly any draws meet it."""


def open_shell(model: nn.Module, engine: Engine, budget: Budget, max_rate: float | None, multiple: int) -> Shell:
    """The rate vectors that meet a budget; latencies are measured where it limits them.

    Args:
        model: The trained network.
        engine: What scores candidates of it.
        budget: What a candidate may cost.
        max_rate: Upper end of the rates; None: the smallest that leaves room.
        multiple: Widths are multiples of it.

    Raises:
        ConfigError: A value is out of range.
    """
    space = engine.whole.space
    latency = None
    if budget.latency is not None:
        with evaluating(model):
            latency = profile(model, space, engine.calibration.part(0, 1)).predict
    if max_rate is not None:
        return Shell(space, budget, max_rate, multiple, latency)
    shells = [Shell(space, budget, rate, multiple, latency) for rate in MAX_RATES]
    return next((shell for shell in shells if _has_room(shell)), shells[-1])


def _has_room(shell: Shell) -> bool:
    thinnest = shell.widths(np.full((1, len(shell.space.groups)), np.nextafter(shell.max_rate, 0)))
    shares = [target.value / target.full for target in shell.targets]
    costs = shell.deviations(thinnest)[:, 0] + shares
    return bool((costs <= ROOM * np.asarray(shares)).all())


def _errors(engine: Engine) -> Errors:
    assert engine.method.refit is not None  # by best_method
    return engine.method.refit.errors


def draw_candidates(
    shell: Shell, engine: Engine, candidates: int, seed: int, remarks: list[str] | None
) -> list[Strategy]:
    """Those allocated by error, and drawn ones; of small networks there may be fewer than wanted.

    Args:
        shell: The budget.
        engine: What scores them.
        candidates: To draw.
        seed: Same seed, same draws.
        remarks: Told where there are too few to draw; None: that is an error.

    Returns:
        Candidates of different widths.

    Raises:
        BudgetError: The budget is out of reach, or meets too few.
    """
    first = starters(shell, _errors(engine))
    try:
        return _distinct([*first, *uniform(shell, count=candidates, seed=seed, max_draws=MAX_DRAWS)])
    except BudgetError as error:
        if remarks is None:
            raise
        remarks.append(f"no candidates are drawn, the {len(first)} allocated ones compete alone: {error}")
        return first


def generations(
    shell: Shell, drawn: list[Strategy], count: int, seed: int
) -> tuple[list[Strategy], Generations | None]:
    """Split candidates into a first generation and the sizes of those that are bred.

    Args:
        shell: The budget.
        drawn: From `draw_candidates`, the allocated ones first.
        count: Candidates that were to be drawn.
        seed: Same seed and scores, same candidates.

    Returns:
        The first generation, and the others; None where there are too few candidates to breed from.
    """
    size = count // GENERATIONS
    if size < 2 or len(drawn) < count:
        return drawn, None
    bred = (GENERATIONS - 1) * size
    return drawn[: len(drawn) - bred], Generations(shell, [size] * (GENERATIONS - 1), evolve, seed, MAX_DRAWS)


def _distinct(strategies: list[Strategy]) -> list[Strategy]:
    """Of strategies with the same widths, the first one."""
    first: dict[tuple[int, ...], Strategy] = {}
    for strategy in strategies:
        first.setdefault(strategy.widths, strategy)
    return list(first.values())

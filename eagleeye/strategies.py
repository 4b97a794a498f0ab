"""Strategy generation: seeded draws of layer-wise rates that meet a budget (method, step 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eagleeye.channels.space import Costs, Space
from eagleeye.errors import BudgetError, ConfigError

_BLOCK = 4096
"""Vectors drawn at a time."""


@dataclass(frozen=True)
class Budget:
    """What the thin network may cost, as a fraction of the full one (up to 1) or an absolute count (above 1)."""

    macs: float | None = None
    params: float | None = None
    tolerance: float = 0.005
    """Allowed distance from the target on either side, as a fraction of the full network's cost."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: None given, or one out of range.
        """
        if self.macs is None and self.params is None:
            raise ConfigError("budget: neither macs nor params is given; give one of them, e.g. Budget(macs=0.5)")
        for name, value in (("macs", self.macs), ("params", self.params)):
            if value is not None and not (0 < value < math.inf):
                raise ConfigError(f"budget {name}: {value} must be positive: a fraction up to 1, or a count above 1")
        if not 0 <= self.tolerance < 1:
            raise ConfigError(f"budget tolerance: {self.tolerance} must lie in [0, 1), e.g. 0.005 for half a point")


@dataclass(frozen=True)
class Strategy:
    """One candidate: its rates in group order, the widths they leave, and what the thin network costs."""

    id: str
    rates: tuple[float, ...]
    widths: tuple[int, ...]
    macs: int
    params: int


def sample(
    space: Space, budget: Budget, *, count: int, max_rate: float, seed: int, max_draws: int = 2_000_000
) -> list[Strategy]:
    """Draw strategies that meet a budget: one rate per group, uniform in [0, max_rate], by rejection.

    Args:
        space: The network's search space.
        budget: What the thin network may cost.
        count: Strategies wanted; they differ in their widths.
        max_rate: Upper end of the rates, in (0, 1].
        seed: Same seed, same strategies, and a larger count only appends to them.
        max_draws: Vectors to draw before giving up.

    Returns:
        `count` strategies with ids `s0000`, `s0001`, …

    Raises:
        ConfigError: A value out of range.
        BudgetError: The budget is out of reach, or too rare for `max_draws`.
    """
    if not 0 < max_rate <= 1:
        raise ConfigError(f"max_rate: {max_rate} must lie in (0, 1]: the largest share of a group that may go")
    if count < 1:
        raise ConfigError(f"count: {count} must be at least 1")
    _check_reachable(space, budget, max_rate)
    rng = np.random.default_rng(seed)
    found: dict[tuple[int, ...], Strategy] = {}
    drawn = accepted = 0
    while len(found) < count and drawn < max_draws:
        rates = rng.uniform(0.0, max_rate, size=(_BLOCK, len(space.groups)))
        widths = space.widths(rates)
        costs = space.cost_of(widths)
        meets = np.flatnonzero(_meets(space, budget, costs))
        drawn, accepted = drawn + _BLOCK, accepted + len(meets)
        for row in meets.tolist():
            key = tuple(widths[row].tolist())
            if key not in found and len(found) < count:
                found[key] = _strategy(f"s{len(found):04d}", rates[row], key, costs, row)
    if len(found) < count:
        raise BudgetError(_too_rare(space, budget, count, len(found), accepted, drawn))
    return list(found.values())


def even(space: Space, budget: Budget) -> Strategy:
    """The evenly pruned network: the one rate for all groups that comes closest to the budget.

    Args:
        space: The network's search space.
        budget: What the thin network may cost; with several targets, the largest excess decides.

    Returns:
        A strategy with the id `even`. Widths are whole numbers, so it can miss the tolerance.
    """
    steps = {k / n for n in set(space.channels) for k in range(n)}
    rates = np.repeat(np.array(sorted(steps))[:, None], len(space.groups), axis=1)
    widths = space.widths(rates)
    costs = space.cost_of(widths)
    distance = np.max(np.abs(_deviations(space, budget, costs)), axis=0)
    row = int(np.argmin(distance))
    return _strategy("even", rates[row], tuple(widths[row].tolist()), costs, row)


def _strategy(name: str, rates: npt.NDArray[np.float64], widths: tuple[int, ...], costs: Costs, row: int) -> Strategy:
    return Strategy(name, tuple(rates.tolist()), widths, int(costs.macs[row]), int(costs.params[row]))


def _targets(space: Space, budget: Budget) -> list[tuple[str, float, int]]:
    """Name, target and full cost of every constrained quantity."""
    full = space.full_cost
    wanted = (("macs", budget.macs, full.macs), ("params", budget.params, full.params))
    return [(name, value * whole if value <= 1 else value, whole) for name, value, whole in wanted if value is not None]


def _deviations(space: Space, budget: Budget, costs: Costs) -> npt.NDArray[np.float64]:
    """Distance from every target as a fraction of the full cost, shape (targets, B)."""
    rows = [(getattr(costs, name) - target) / whole for name, target, whole in _targets(space, budget)]
    return np.stack(rows)


def _meets(space: Space, budget: Budget, costs: Costs) -> npt.NDArray[np.bool_]:
    within: npt.NDArray[np.bool_] = np.all(np.abs(_deviations(space, budget, costs)) <= budget.tolerance, axis=0)
    return within


def _check_reachable(space: Space, budget: Budget, max_rate: float) -> None:
    groups = len(space.groups)
    # Rates are drawn below max_rate: the next smaller number is the most that can go.
    ends = space.cost_of(space.widths(np.array([[np.nextafter(max_rate, 0)] * groups, [0.0] * groups])))
    for name, target, whole in _targets(space, budget):
        low, high = (int(value) for value in getattr(ends, name))
        if not low - budget.tolerance * whole <= target <= high + budget.tolerance * whole:
            raise BudgetError(
                f"budget {name}: {target:,.0f} ({target / whole:.1%} of the network) is out of reach: with max_rate"
                f" {max_rate} it can have {low:,} to {high:,} {name} ({low / whole:.1%} to {high / whole:.1%});"
                " change the budget or max_rate"
            )


def _too_rare(space: Space, budget: Budget, count: int, found: int, accepted: int, drawn: int) -> str:
    targets = " and ".join(f"{name} {target / whole:.1%}" for name, target, whole in _targets(space, budget))
    return (
        f"budget {targets} ± {budget.tolerance:.1%}: {found} different strategies of {count} wanted after {drawn:,}"
        f" draws, of which {accepted / drawn:.2g} met it; raise the tolerance or max_draws, or move max_rate so that"
        " uniform rates come near the budget"
    )

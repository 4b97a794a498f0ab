"""The rate vectors that meet a budget: a thin shell in the cube of all rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from eagleeye.channels.space import Space
from eagleeye.errors import BudgetError, ConfigError
from eagleeye.strategies.budget import Budget
from eagleeye.strategies.strategy import Strategy

RateVectors = npt.NDArray[np.float64]
"""Rates of many strategies, shape (B, G)."""
Latency = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]
"""Milliseconds of many thin networks, shape (B,), from their widths, shape (B, G). Any other cost that does not grow
when channels go can take its place."""


@dataclass(frozen=True)
class Target:
    """One constrained cost: the value wanted, and that of the full network."""

    name: str
    value: float
    full: float


@dataclass(frozen=True, eq=False)
class Shell:
    """The rate vectors r in [0, max_rate]^G whose thin networks cost what the budget says, within its tolerance."""

    space: Space
    budget: Budget
    max_rate: float
    """Upper end of the rates, in (0, 1]."""
    multiple: int = 1
    """Widths are rounded to multiples of it."""
    latency: Latency | None = None
    """Predicts milliseconds; needed for a budget of latency."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: One out of range, or a budget of latency without a predictor.
        """
        if not 0 < self.max_rate <= 1:
            raise ConfigError(f"max_rate: {self.max_rate} must lie in (0, 1]: the largest share of a group that may go")
        if self.multiple < 1:
            raise ConfigError(f"multiple: {self.multiple} must be at least 1; 1 leaves widths as they are")
        if self.budget.latency is not None and self.latency is None:
            raise ConfigError(
                "budget latency: there is nothing to predict it with; measure a table with"
                " eagleeye.latency.profile.profile and pass its `predict` as latency"
            )

    def widths(self, rates: RateVectors) -> npt.NDArray[np.int64]:
        """The widths that rates leave, both of shape (B, G)."""
        return self.space.widths(rates, self.multiple)

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """Every constrained cost."""
        full = self._costs(np.array([self.space.channels], dtype=np.int64))
        return tuple(
            Target(name, value * float(full[name][0]) if value <= 1 else value, float(full[name][0]))
            for name, value in self.budget.targets.items()
        )

    def deviations(self, widths: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Distances from every target as fractions of the full cost.

        Args:
            widths: Shape (B, G).

        Returns:
            Shape (targets, B); negative where the network costs less.
        """
        costs = self._costs(widths)
        return np.stack([(costs[target.name] - target.value) / target.full for target in self.targets])

    def excess(self, rates: RateVectors) -> npt.NDArray[np.float64]:
        """How far outside the shell rate vectors lie.

        Args:
            rates: Shape (B, G).

        Returns:
            Shape (B,): the largest distance from a target beyond the tolerance; 0 within the shell.
        """
        distance = np.abs(self.deviations(self.widths(rates))).max(axis=0)
        return np.where(distance <= self.budget.tolerance, 0.0, distance - self.budget.tolerance)

    def check_reachable(self) -> None:
        """Check every target against the most and the least that can go.

        Raises:
            BudgetError: A target is out of reach; the message has the range within it.
        """
        groups = len(self.space.groups)
        # Rates are drawn below max_rate: the next smaller number is the most that can go.
        ends = self._costs(self.widths(np.array([[np.nextafter(self.max_rate, 0)] * groups, [0.0] * groups])))
        for target in self.targets:
            low, high = (float(value) for value in ends[target.name])
            slack = self.budget.tolerance * target.full
            if not low - slack <= target.value <= high + slack:
                raise BudgetError(
                    f"budget {target.name}: {amount(target.value)} ({target.value / target.full:.1%} of the network)"
                    f" is out of reach: with max_rate {self.max_rate} it can have {amount(low)} to {amount(high)}"
                    f" {target.name} ({low / target.full:.1%} to {high / target.full:.1%});"
                    " change the budget or max_rate"
                )

    def strategy(self, name: str, rates: npt.NDArray[np.float64]) -> Strategy:
        """The strategy with the given id and rates, shape (G,)."""
        widths = self.widths(rates[None])
        costs = self.space.cost_of(widths)
        latency = float(self._costs(widths)["latency"][0]) if self.budget.latency is not None else None
        key = tuple(widths[0].tolist())
        return Strategy(name, tuple(rates.tolist()), key, int(costs.macs[0]), int(costs.params[0]), latency)

    def __str__(self) -> str:
        """The targets as fractions of the full network, and the tolerance."""
        targets = " and ".join(f"{target.name} {target.value / target.full:.1%}" for target in self.targets)
        return f"{targets} ± {self.budget.tolerance:.2%}"

    def _costs(self, widths: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float64] | npt.NDArray[np.int64]]:
        costs = self.space.cost_of(widths)
        found: dict[str, npt.NDArray[np.float64] | npt.NDArray[np.int64]] = {"macs": costs.macs, "params": costs.params}
        if self.budget.latency is not None and self.latency is not None:
            found["latency"] = self.latency(widths)
        return found


def amount(value: float) -> str:
    """A cost in digits: counts whole, milliseconds with three decimals where they are few."""
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:,.3f}"

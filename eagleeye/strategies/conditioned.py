"""Draws for budgets so rare that rejection would wait for ever: Markov chains within the budget's shell.

A chain's state is a rate vector in the shell. A move redraws a random subset of the rates uniformly; a point outside
the shell is not wasted but shrinks the box that is drawn from towards the present state, and the next try falls into
that. This is slice sampling of a uniform density with shrinking hyperrectangles (Neal, "Slice sampling", Annals of
Statistics 2003, section 5.1). Every move is reversible with respect to the uniform distribution on the shell, so that
is what the chains converge to, and what rejection draws from. No step size needs tuning: near a corner of the cube the
boxes shrink further.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eagleeye.strategies.shell import RateVectors, Shell

CHAINS = 256
"""Independent chains in a block; each one gives one draw."""
MOVES_PER_GROUP = 20
"""Moves within the shell before a chain's state counts as a draw, times the number of groups."""
_SUBSETS = (2, 4, 8, 16)
"""How many rates one move redraws, in turns: few get far in a thin shell, many move the expensive groups."""
_TRIES = 16
"""Boxes tried in one move; stopping there, without a move, keeps it reversible."""


class Chains:
    """Independent chains of rate vectors that move towards a budget's shell, and then within it."""

    def __init__(self, shell: Shell, rng: np.random.Generator, rates: RateVectors) -> None:
        """Start the chains.

        Args:
            shell: The rate vectors wanted.
            rng: Decides on every move.
            rates: Where the chains start, shape (chains, G), each in [0, max_rate].
        """
        self.shell = shell
        self.rng = rng
        self.rates = rates
        self.excess = shell.excess(rates)
        self.drawn = len(rates)
        """Vectors costed so far."""

    def approach(self, moves: int, sizes: Sequence[int] = _SUBSETS) -> None:
        """Move chains until they are in the shell, and drop those that are not after so many moves.

        Args:
            moves: Moves at most.
            sizes: How many rates a move redraws, in turns.
        """
        for size in itertools.islice(itertools.cycle(sizes), moves):
            outside = np.flatnonzero(self.excess)
            if not len(outside):
                break
            self.move(outside, size)
        arrived = self.excess == 0
        self.rates = self.rates[arrived]
        self.excess = self.excess[arrived]

    def walk(self, moves: int) -> None:
        """Make so many moves with every chain; those in the shell stay in it."""
        for size in itertools.islice(itertools.cycle(_SUBSETS), moves if len(self.rates) else 0):
            self.move(np.arange(len(self.rates)), size)

    def move(self, chains: npt.NDArray[np.int64], size: int) -> None:
        """Redraw `size` random rates of each of the given chains; none moves away from the shell."""
        groups = self.rates.shape[1]
        size = min(size, groups)
        chosen = self.rng.random((len(chains), groups)).argpartition(size - 1, axis=1)[:, :size]
        present = np.take_along_axis(self.rates[chains], chosen, axis=1)
        low = np.zeros_like(present)
        high = np.full_like(present, self.shell.max_rate)
        for _ in range(_TRIES):
            drawn = self.rng.uniform(low, high)
            proposed = self.rates[chains]
            np.put_along_axis(proposed, chosen, drawn, axis=1)
            excess = self.shell.excess(proposed)
            self.drawn += len(chains)
            accepted = excess <= self.excess[chains]
            self.rates[chains[accepted]] = proposed[accepted]
            self.excess[chains[accepted]] = excess[accepted]
            missed = ~accepted
            chains = chains[missed]
            chosen = chosen[missed]
            present = present[missed]
            drawn = drawn[missed]
            if not len(chains):
                return
            below = drawn < present
            low = np.where(below, drawn, low[missed])
            high = np.where(below, high[missed], drawn)


def draw(shell: Shell, seed: np.random.SeedSequence) -> tuple[RateVectors, int]:
    """Draw a block of rate vectors from the budget's shell.

    Every chain starts at a uniform draw from the whole cube, moves towards the shell, and once there makes
    `MOVES_PER_GROUP` moves for every group to forget where it came from. Chains are independent of each other; one that
    does not arrive in as many moves is dropped.

    Args:
        shell: The rate vectors wanted.
        seed: Same seed, same draws.

    Returns:
        Rates, shape (n, G), n up to `CHAINS`; and how many vectors were drawn and costed for them.
    """
    rng = np.random.default_rng(seed)
    groups = len(shell.space.groups)
    chains = Chains(shell, rng, rng.uniform(0.0, shell.max_rate, size=(CHAINS, groups)))
    chains.approach(MOVES_PER_GROUP * groups)
    chains.walk(MOVES_PER_GROUP * groups)
    return chains.rates, chains.drawn

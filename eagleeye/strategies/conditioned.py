"""Draws for budgets so rare that rejection would wait for ever: Markov chains within the budget's shell.

A chain's state is a rate vector in the shell. A move redraws a random subset of the rates uniformly; a point outside
the shell is not wasted but shrinks the box that is drawn from towards the present state, and the next try falls into
that. This is slice sampling of a uniform density with shrinking hyperrectangles (Neal, "Slice sampling", Annals of
Statistics 2003, section 5.1). Every move is reversible with respect to the uniform distribution on the shell, so that
is what the chains converge to, and what rejection draws from. No step size needs tuning: near a corner of the cube the
boxes shrink further.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eagleeye.strategies.shell import Shell

Rates = npt.NDArray[np.float64]

CHAINS = 256
"""Independent chains in a block; each one gives one draw."""
MOVES_PER_GROUP = 20
"""Moves within the shell before a chain's state counts as a draw, times the number of groups."""
_SUBSETS = (2, 4, 8, 16)
"""How many rates one move redraws, in turns: few get far in a thin shell, many move the expensive groups."""
_TRIES = 16
"""Boxes tried in one move; stopping there, without a move, keeps it reversible."""


@dataclass
class _Chains:
    shell: Shell
    rng: np.random.Generator
    rates: Rates
    excess: npt.NDArray[np.float64]
    drawn: int

    def move(self, size: int) -> None:
        """Redraw `size` random rates of every chain, not further from the shell than before."""
        chains, groups = self.rates.shape
        size = min(size, groups)
        chosen = self.rng.random((chains, groups)).argpartition(size - 1, axis=1)[:, :size]
        present = np.take_along_axis(self.rates, chosen, axis=1)
        low, high = np.zeros_like(present), np.full_like(present, self.shell.max_rate)
        moving = np.arange(chains)
        for _ in range(_TRIES):
            drawn = self.rng.uniform(low[moving], high[moving])
            proposed = self.rates[moving]
            np.put_along_axis(proposed, chosen[moving], drawn, axis=1)
            excess = self.shell.excess(proposed)
            self.drawn += len(moving)
            accepted = excess <= self.excess[moving]
            self.rates[moving[accepted]] = proposed[accepted]
            self.excess[moving[accepted]] = excess[accepted]
            moving, drawn = moving[~accepted], drawn[~accepted]
            if not len(moving):
                return
            below = drawn < present[moving]
            low[moving] = np.where(below, drawn, low[moving])
            high[moving] = np.where(below, high[moving], drawn)


def draw(shell: Shell, seed: np.random.SeedSequence) -> tuple[Rates, int]:
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
    rates = rng.uniform(0.0, shell.max_rate, size=(CHAINS, groups))
    chains = _Chains(shell, rng, rates, shell.excess(rates), CHAINS)
    moves = MOVES_PER_GROUP * groups
    for move in range(moves):
        if not chains.excess.any():
            break
        chains.move(_SUBSETS[move % len(_SUBSETS)])
    arrived = chains.excess == 0
    chains.rates, chains.excess = chains.rates[arrived], chains.excess[arrived]
    for move in range(moves if arrived.any() else 0):
        chains.move(_SUBSETS[move % len(_SUBSETS)])
    return chains.rates, chains.drawn

"""How far a search is, on a terminal and in a notebook, and to whoever wants to know."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tqdm.auto import tqdm

from eagleeye.scoring.entry import Scored
from eagleeye.scoring.race import Heat


@dataclass(frozen=True)
class Candidate:
    """A candidate that has just been scored.

    Attributes:
        id: Its id in the ranking.
        widths: Channels left per group.
        macs: Multiply-accumulates for one input.
        params: Trainable parameters.
        scores: By name: accuracy and loss (where labels are known), agreement, divergence.
        images: Sub-validation images that it was scored on.
        round: The round of the race, e.g. ``1/2``.
        done: Candidates of this round that have been scored.
        total: Candidates of this round.
    """

    id: str
    widths: tuple[int, ...]
    macs: int
    params: int
    scores: Mapping[str, float]
    images: int
    round: str
    done: int
    total: int


class Bars:
    """One bar after another, with the time that remains, on standard error; closed with the block."""

    def __init__(self, shown: bool | None) -> None:
        """Show nothing yet.

        Args:
            shown: Whether to; None: on a terminal and in a notebook.
        """
        self.shown = shown if shown is not None else sys.stderr.isatty() or "ipykernel" in sys.modules
        self._bar: Any = None
        self._title = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the last bar as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def at(self, title: str, done: int, total: int, unit: str, begun: int = 0) -> None:
        """Say how far it is.

        Args:
            title: Of what; another one is another bar.
            done: So many.
            total: Of so many.
            unit: Of these.
            begun: So many had been done before.
        """
        if title != self._title or self._bar is None:
            self.close()
            self._title = title
            # What cannot be counted has no speed.
            shape = "{desc} {elapsed}" if total == 1 else None
            settings = {"unit": f" {unit}", "disable": not self.shown, "bar_format": shape}
            self._bar = tqdm(desc=title, total=total, initial=begun, **settings)
        self._bar.update(done - self._bar.n)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Say that something is going on that cannot be counted."""
        self.at(title, 0, 1, "step")
        yield
        self.at(title, 1, 1, "step")


class Watch:
    """Told of evaluations by a search: moves a bar, and passes on who was scored."""

    def __init__(self, bars: Bars, scores: Collection[str], tell: Callable[[Candidate], None] | None) -> None:
        """Begin with nothing.

        Args:
            bars: Where to show it.
            scores: Names of those that mean anything.
            tell: Told of every candidate.
        """
        self._bars = bars
        self._scores = scores
        self._tell = tell
        self._heat: Heat | None = None
        self._done = 0

    def __call__(self, heat: Heat, scored: Scored) -> None:
        """See `eagleeye.search.Told`."""
        if heat is not self._heat:
            self._heat = heat
            self._done = len(heat.known)
        self._done += 1
        total = len(heat.strategies)
        self._bars.at(f"scoring {heat.title}", self._done, total, "candidates", len(heat.known))
        if self._tell is None:
            return
        strategy = next(each for each in heat.strategies if each.id == scored.id)
        values = {name: value for name, value in scored.scores.values.items() if name in self._scores}
        images = heat.rung.sub_validation
        costs = strategy.widths, strategy.macs, strategy.params
        self._tell(Candidate(strategy.id, *costs, values, images, heat.title, self._done, total))

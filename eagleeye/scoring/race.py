"""One race for all: generations are bred, rungs are run and survivors go on, whoever scores and whatever remembers.

`eagleeye.search` gives it threads and a dictionary. A pipeline gives it whatever spreads its work, and a record that
outlives the process: what is on record is not scored again, so that a race that was killed goes on where it was.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eagleeye.errors import EvaluationError
from eagleeye.scoring.entry import Entry, Scored
from eagleeye.scoring.racing import Rung, Scores, Standing, places, survivors
from eagleeye.strategies import Sampler, Shell, Strategy, evolve
from eagleeye.strategies.collect import MAX_DRAWS
from eagleeye.task.scores import Order


class Record(Protocol):
    """Remembers scores, and what it takes to go on from them."""

    def known(self, rung: Rung, strategies: Sequence[Strategy]) -> dict[str, Scores]:
        """The scores of a rung, by id, of those candidates that it has been scored with."""

    def statistics(self, strategy: Strategy, rung: Rung) -> tuple[int, bytes] | None:
        """Calibration images of a rung before this one, and the BN statistics it ended with; None: there are none."""

    def keep(self, entry: Entry, scores: Scores, statistics: bytes | None) -> None:
        """Remember what an entry's evaluation found; without statistics where there is nothing to go on to.

        Called from several threads.
        """

    def drop(self, strategies: Iterable[Strategy]) -> None:
        """Forget the BN statistics of candidates that are out of the race: for a large network they are large."""


@dataclass(frozen=True)
class Heat:
    """Candidates that run a rung together.

    Attributes:
        title: Its number among the rungs, or that of the generation, and of how many.
        rung: With how many images they are scored.
        strategies: All of them.
        known: Scores that are on record already, by id.
        entries: The others. Each is looked up when its turn comes: statistics are large.
    """

    title: str
    rung: Rung
    strategies: Sequence[Strategy]
    known: Mapping[str, Scores]
    entries: Sequence[Entry]


Keep = Callable[[Entry, Scored], None]
Work = Callable[[Heat, Keep], None]
"""Scores the entries of a heat, in whatever order, and has each kept as soon as it is scored, from any thread."""


@dataclass(frozen=True)
class Generations:
    """Generations after the first, each proposed from what all before it have shown in the first rung."""

    shell: Shell
    """The strategies that meet the budget."""
    sizes: Sequence[int]
    """Candidates of each."""
    propose: Sampler = evolve
    """Proposes them."""
    seed: int = 0
    """Same seed and scores, same candidates."""
    max_draws: int = MAX_DRAWS
    """Vectors to draw in a row without another strategy before giving up."""


@dataclass(frozen=True)
class Result:
    """What became of a candidate.

    Attributes:
        strategy: The candidate.
        rung: Its last one.
        scores: What it showed there.
        competes: Whether it can be ranked. A reference that is out of the race is scored on all images all the same, to
            be compared with the winner: it has beaten nobody on the way there.
    """

    strategy: Strategy
    rung: Rung
    scores: Scores
    competes: bool


def race(
    strategies: Sequence[Strategy],
    rungs: Sequence[Rung],
    work: Work,
    record: Record,
    *,
    by: Order,
    references: Sequence[Strategy] = (),
    outside: Sequence[Strategy] = (),
    generations: Generations | None = None,
) -> list[Result]:
    """Find out who is best: few images for every candidate, all of them for those that may still win.

    Args:
        strategies: The candidates, or the first generation of them.
        rungs: From `eagleeye.scoring.racing.plan` for all candidates of all generations; the last one has all images.
        work: Scores candidates.
        record: Remembers what was found.
        by: What decides.
        references: Candidates that compete, and run the last rung however early they are out.
        outside: Candidates that run the last rung alone, and do not compete.
        generations: More candidates to breed, from the first rung's scores.

    Returns:
        Every candidate's last rung: of those given, of those bred, of the references, and of those outside.

    Raises:
        BudgetError: There are not enough candidates to breed within the budget.
        EvaluationError: A candidate cannot be scored, or not be put on record.
    """
    later = generations.sizes if generations else ()
    course = _Course(rungs, work, record, by, places(len(strategies) + sum(later) + len(references)))
    drawn = [*strategies, *(_bred(course, strategies, references, generations) if generations else ())]
    running = [*drawn, *references]
    if not running:
        raise EvaluationError("race: there are no candidates; give some, or generations to breed")
    results: dict[str, Result] = {}
    for number, rung in enumerate(rungs, start=1):
        racing = {strategy.id for strategy in running}
        # However early they were out, references are to be compared with the winner, on all images.
        last = [*references, *outside] if number == len(rungs) else []
        field = running + [strategy for strategy in last if strategy.id not in racing]
        found = course.run(f"{number}/{len(rungs)}", rung, field)
        results |= {each.id: Result(each, rung, found[each.id], each.id in racing) for each in field}
        chosen = set(survivors({strategy.id: found[strategy.id].standing(by) for strategy in running}))
        record.drop([strategy for strategy in field if strategy.id not in chosen])
        running = [strategy for strategy in running if strategy.id in chosen]
    return [results[strategy.id] for strategy in (*drawn, *references, *outside)]


def _bred(
    course: _Course, first: Sequence[Strategy], references: Sequence[Strategy], generations: Generations
) -> list[Strategy]:
    """Candidates of all generations but the first; each is proposed after the ones before have run the first rung."""
    shell = generations.shell
    more = {"seed": generations.seed, "max_draws": generations.max_draws}
    bred: list[Strategy] = []
    for number, size in enumerate(generations.sizes, start=1):
        field = [*first, *bred, *references]
        found = course.run(f"generation {number}/{len(generations.sizes) + 1}", course.rungs[0], field)
        scored = [(strategy, found[strategy.id].standing(course.by).merits[0]) for strategy in field]
        bred += generations.propose(shell, scored, count=size, **more)
    return bred


@dataclass(frozen=True)
class _Course:
    """What the heats of a race have in common."""

    rungs: Sequence[Rung]
    work: Work
    record: Record
    by: Order
    places: int
    """How many candidates can go on from the first rung at most."""

    def run(self, title: str, rung: Rung, strategies: Sequence[Strategy]) -> dict[str, Scores]:
        known = self.record.known(rung, strategies)
        missing = [strategy for strategy in strategies if strategy.id not in known]
        contenders = _Contenders(self.places if rung != self.rungs[-1] else 0)
        for name, scores in known.items():
            contenders.admit(name, scores.standing(self.by))

        def keep(entry: Entry, found: Scored) -> None:
            hopeful = contenders.admit(found.id, found.scores.standing(self.by))
            self.record.keep(entry, found.scores, found.statistics if hopeful else None)

        self.work(Heat(title, rung, strategies, known, _Entries(self.record, rung, missing)), keep)
        return self.record.known(rung, strategies)


class _Contenders:
    """The best of a rung so far: who is not among them will not go on, so that its statistics need not be kept."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._best = list[tuple[float, float, str]]()
        self._lock = threading.Lock()

    def admit(self, name: str, standing: Standing) -> bool:
        first, second = standing.merits
        with self._lock:
            bisect.insort(self._best, (-first, -second, name))
            del self._best[self._places :]
            return (-first, -second, name) in self._best


class _Entries(Sequence[Entry]):
    """Candidates of a rung; what they go on from is read when a candidate's turn comes."""

    def __init__(self, record: Record, rung: Rung, strategies: Sequence[Strategy]) -> None:
        self._record = record
        self._rung = rung
        self._strategies = strategies

    def __len__(self) -> int:
        return len(self._strategies)

    def __getitem__(self, place: Any) -> Any:
        strategy = self._strategies[place]
        return Entry(strategy, self._rung, self._record.statistics(strategy, self._rung))

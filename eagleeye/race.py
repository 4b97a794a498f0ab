"""One race for all: generations are bred, rungs are run and survivors go on, whoever scores and whatever remembers.

`eagleeye.search` gives it threads and a dictionary. A pipeline gives it whatever spreads its work, and a record that
outlives the process: what is on record is not scored again, so that a race that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eagleeye.entry import Entry, Scored
from eagleeye.errors import EvaluationError
from eagleeye.racing import Rung, Scores, survivors
from eagleeye.strategies import Sampler, Shell, Strategy, evolve
from eagleeye.strategies.collect import MAX_DRAWS


class Record(Protocol):
    """Remembers scores, and what it takes to go on from them."""

    def known(self, rung: Rung, strategies: Sequence[Strategy]) -> dict[str, Scores]:
        """The scores of a rung, by id, of those candidates that it has been scored with."""

    def statistics(self, strategy: Strategy, rung: Rung) -> tuple[int, bytes] | None:
        """Calibration images of a rung before this one, and the BN statistics it ended with; None: there are none."""

    def keep(self, entry: Entry, scores: Scores, statistics: bytes | None) -> None:
        """Remember what an entry's evaluation found; without statistics where there is no rung to come.

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
    by: str,
    references: Sequence[Strategy] = (),
    outside: Sequence[Strategy] = (),
    generations: Generations | None = None,
) -> list[Result]:
    """Find out who is best: few images for every candidate, all of them for those that may still win.

    Args:
        strategies: The candidates, or the first generation of them.
        rungs: From `eagleeye.racing.plan` for all candidates of all generations; the last one has all images.
        work: Scores candidates.
        record: Remembers what was found.
        by: The score that decides, one of `eagleeye.scores.SCORERS`.
        references: Candidates that compete, and run the last rung however early they are out.
        outside: Candidates that run the last rung alone, and do not compete.
        generations: More candidates to breed, from the first rung's scores.

    Returns:
        Every candidate's last rung: of those given, of those bred, of the references, and of those outside.

    Raises:
        BudgetError: There are not enough candidates to breed within the budget.
        EvaluationError: A candidate cannot be scored, or not be put on record.
    """
    drawn = _breed(strategies, rungs, work, record, by, references, generations)
    running = [*drawn, *references]
    if not running:
        raise EvaluationError("race: there are no candidates; give some, or generations to breed")
    results: dict[str, Result] = {}
    for number, rung in enumerate(rungs, start=1):
        racing = {strategy.id for strategy in running}
        # However early they were out, references are to be compared with the winner, on all images.
        last = [*references, *outside] if number == len(rungs) else []
        field = running + [strategy for strategy in last if strategy.id not in racing]
        found = _heat(f"{number}/{len(rungs)}", rung, rungs[-1], field, work, record)
        results |= {each.id: Result(each, rung, found[each.id], each.id in racing) for each in field}
        chosen = set(survivors({strategy.id: found[strategy.id].standing(by) for strategy in running}))
        record.drop([strategy for strategy in field if strategy.id not in chosen])
        running = [strategy for strategy in running if strategy.id in chosen]
    return [results[strategy.id] for strategy in (*drawn, *references, *outside)]


def _breed(
    first: Sequence[Strategy],
    rungs: Sequence[Rung],
    work: Work,
    record: Record,
    by: str,
    references: Sequence[Strategy],
    generations: Generations | None,
) -> list[Strategy]:
    """The candidates of all generations; each is proposed after the ones before have run the first rung."""
    drawn = list(first)
    if generations is None:
        return drawn
    shell, more = generations.shell, {"seed": generations.seed, "max_draws": generations.max_draws}
    for number, size in enumerate(generations.sizes, start=1):
        field = [*drawn, *references]
        title = f"generation {number}/{len(generations.sizes) + 1}"
        found = _heat(title, rungs[0], rungs[-1], field, work, record)
        scored = [(strategy, found[strategy.id].standing(by).merits[0]) for strategy in field]
        drawn += generations.propose(shell, scored, count=size, **more)
    return drawn


def _heat(
    title: str, rung: Rung, last: Rung, strategies: Sequence[Strategy], work: Work, record: Record
) -> dict[str, Scores]:
    known = record.known(rung, strategies)
    missing = [strategy for strategy in strategies if strategy.id not in known]

    def keep(entry: Entry, found: Scored) -> None:
        record.keep(entry, found.scores, None if rung == last else found.statistics)

    work(Heat(title, rung, strategies, known, _Entries(record, rung, missing)), keep)
    return record.known(rung, strategies)


class _Entries(Sequence[Entry]):
    """Candidates of a rung; what they go on from is read when a candidate's turn comes."""

    def __init__(self, record: Record, rung: Rung, strategies: Sequence[Strategy]) -> None:
        self._record, self._rung, self._strategies = record, rung, strategies

    def __len__(self) -> int:
        return len(self._strategies)

    def __getitem__(self, place: Any) -> Any:
        strategy = self._strategies[place]
        return Entry(strategy, self._rung, self._record.statistics(strategy, self._rung))

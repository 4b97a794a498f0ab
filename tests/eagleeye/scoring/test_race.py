"""The race over whatever scores and remembers: who runs what, what is kept, and how it goes on after a stop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagleeye.errors import EvaluationError
from eagleeye.scoring.entry import Entry, Scored
from eagleeye.scoring.race import Generations, Heat, Keep, Result, race
from eagleeye.scoring.racing import Rung, Scores, plan
from eagleeye.strategies import Strategy
from eagleeye.task import CLASSIFICATION
from eagleeye.task.confidence import Hits

FIRST, LAST = Rung(8, 40), Rung(32, 200)
BOTH = (FIRST, LAST)


def candidate(number: int, name: str = "s{:04d}") -> Strategy:
    return Strategy(name.format(number), (0.5,), (number,), 1, 1)


def shown(strategy: Strategy, rung: Rung) -> Scores:
    """What a candidate is right on follows from its width; the loss decides between equals."""
    right = np.random.default_rng(strategy.widths[0]).random(LAST.sub_validation) < 0.3 + strategy.widths[0] % 7 / 20
    right = right[: rung.sub_validation]
    return Scores({"accuracy": float(right.mean()), "loss": 1.0}, {"accuracy": Hits(right).pack()})


@dataclass
class Remembered:
    """A record in memory that outlives a stop."""

    scores: dict[tuple[str, Rung], Scores] = field(default_factory=dict)
    states: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def known(self, rung: Rung, strategies: Sequence[Strategy]) -> dict[str, Scores]:
        return {each.id: self.scores[each.id, rung] for each in strategies if (each.id, rung) in self.scores}

    def statistics(self, strategy: Strategy, rung: Rung) -> tuple[int, bytes] | None:
        return self.states.get(strategy.id)

    def keep(self, entry: Entry, scores: Scores, statistics: bytes | None) -> None:
        assert (entry.strategy.id, entry.rung) not in self.scores, "scored twice"
        self.scores[entry.strategy.id, entry.rung] = scores
        if statistics is not None:
            self.states[entry.strategy.id] = entry.rung.calibration, statistics

    def drop(self, strategies: Iterable[Strategy]) -> None:
        for strategy in strategies:
            self.states.pop(strategy.id, None)


@dataclass
class Crew:
    """Scores entries one after another, from the last one on, and stops after some as a killed process does."""

    stop_after: int = -1
    heats: list[Heat] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def __call__(self, heat: Heat, keep: Keep) -> None:
        self.heats.append(heat)
        for entry in reversed(heat.entries):
            if len(self.entries) == self.stop_after:
                raise KeyboardInterrupt
            self.entries.append(entry)
            found = shown(entry.strategy, entry.rung)
            keep(entry, Scored(entry.strategy.id, found, entry.strategy.id.encode()))


def propose(shell: object, scored: Sequence[tuple[Strategy, float]], *, count: int, seed: int, max_draws: int) -> list:
    """Widths that follow from the best so far."""
    best = max(scored, key=lambda pair: pair[1])[0].widths[0] if scored else 0
    return [candidate(len(scored) + place, f"b{best}-{{:04d}}") for place in range(count)]


def run(crew: Crew, record: Remembered, count: int, bred: Sequence[int], **more: Sequence[Strategy]) -> list[Result]:
    generations = Generations(None, bred, propose) if bred else None
    rungs = plan(count + sum(bred), FIRST, LAST, batch_size=8)
    return race(
        [candidate(n) for n in range(count)],
        rungs,
        crew,
        record,
        by=CLASSIFICATION.order(),
        generations=generations,
        **more,
    )


@given(count=st.integers(1, 30), bred=st.lists(st.integers(1, 6), max_size=3), stops=st.lists(st.integers(0, 40)))
def test_however_often_it_is_stopped_it_ends_the_same_and_scores_nothing_twice(
    count: int, bred: list[int], stops: list[int]
) -> None:
    wanted = run(Crew(), Remembered(), count, bred)
    record = Remembered()
    for stop in stops:
        with suppress(KeyboardInterrupt):
            run(Crew(stop), record, count, bred)
    assert run(Crew(), record, count, bred) == wanted
    assert all(result.scores == shown(result.strategy, result.rung) for result in wanted)
    assert len({result.strategy.id for result in wanted}) == len(wanted) == count + sum(bred)


def test_who_may_still_win_goes_on_from_where_it_stopped_and_nothing_is_left_behind() -> None:
    crew, record = Crew(), Remembered()
    results = run(crew, record, 24, [])
    first, last = crew.heats
    assert (first.title, first.rung, len(first.strategies)) == ("1/2", FIRST, 24)
    assert (last.title, last.rung) == ("2/2", LAST)
    accuracy = {n: shown(candidate(n), FIRST).values["accuracy"] for n in range(24)}
    best = sorted(accuracy, key=lambda n: (-accuracy[n], n))[:4]
    assert 2 <= len(last.strategies) <= 4
    assert {each.widths[0] for each in last.strategies} <= set(best)
    assert best[0] in {each.widths[0] for each in last.strategies}
    begun = {entry.strategy.id: entry.begun for entry in crew.entries if entry.rung == LAST}
    assert begun == {name: (FIRST.calibration, name.encode()) for name in begun}
    assert set(record.states) <= set(begun)
    assert {each.strategy.id for each in results if each.rung == LAST} == set(begun)
    assert all(result.competes for result in results)


@given(order=st.permutations(range(40)), bred=st.sampled_from([[], [20, 20]]))
def test_statistics_are_kept_of_those_alone_that_can_go_on(order: list[int], bred: list[int]) -> None:
    kept: list[str] = []

    class Watched(Remembered):
        def keep(self, entry: Entry, scores: Scores, statistics: bytes | None) -> None:
            kept.extend([entry.strategy.id] if statistics is not None else [])
            super().keep(entry, scores, statistics)

    crew, drawn = Crew(), [candidate(n) for n in order]
    generations = Generations(None, bred, propose) if bred else None
    results = race(drawn, BOTH, crew, Watched(), by=CLASSIFICATION.order(), generations=generations)
    accuracy = {each.strategy.id: shown(each.strategy, FIRST).values["accuracy"] for each in results}
    scored = [entry.strategy.id for entry in crew.entries if entry.rung == FIRST]
    # Whoever is among the best so far when it is scored, and nobody else.
    places = len(results) // 8
    wanted = [
        name
        for place, name in enumerate(scored)
        if name in sorted(scored[: place + 1], key=lambda each: (-accuracy[each], each))[:places]
    ]
    assert kept == wanted
    assert len(kept) < len(scored)
    assert all(entry.begun for entry in crew.entries if entry.rung == LAST)


def test_references_run_the_last_rung_and_those_outside_it_alone() -> None:
    worst = min(range(7), key=lambda n: shown(candidate(n), FIRST).values["accuracy"])
    reference, other = candidate(worst, "even{}"), candidate(worst + 7, "other{}")
    crew = Crew()
    results = run(crew, Remembered(), 24, [], references=[reference], outside=[other])
    found = {result.strategy.id: result for result in results}
    assert list(found)[-2:] == [reference.id, other.id]
    assert found[reference.id].rung == found[other.id].rung == LAST
    assert not found[reference.id].competes
    assert not found[other.id].competes
    assert [entry.rung for entry in crew.entries if entry.strategy == other] == [LAST]
    assert [entry.rung for entry in crew.entries if entry.strategy == reference] == [FIRST, LAST]


def test_generations_are_bred_from_all_that_compete_the_better_the_higher() -> None:
    seen: list[dict[str, float]] = []

    def watched(shell: object, scored: Sequence[tuple[Strategy, float]], **more: int) -> list[Strategy]:
        assert (shell, more) == ("shell", {"count": 3, "seed": 5, "max_draws": 7})
        seen.append({strategy.id: merit for strategy, merit in scored})
        return [candidate(10 * len(seen) + place) for place in range(3)]

    generations = Generations("shell", [3, 3], watched, 5, 7)
    drawn, even, other = [candidate(n) for n in range(4)], candidate(50, "even{}"), candidate(51, "other{}")
    found = race(
        drawn, BOTH, crew := Crew(), Remembered(), by=CLASSIFICATION.order(),
        references=[even], outside=[other], generations=generations,
    )  # fmt: skip
    assert [heat.title for heat in crew.heats] == ["generation 1/3", "generation 2/3", "1/2", "2/2"]
    assert [list(each) for each in seen] == [
        ["s0000", "s0001", "s0002", "s0003", even.id],
        ["s0000", "s0001", "s0002", "s0003", "s0010", "s0011", "s0012", even.id],
    ]
    merits = {each.id: shown(each, FIRST).values["accuracy"] for each in (*drawn, even)}
    assert seen[0] == merits
    names = [*(f"s{n:04d}" for n in (0, 1, 2, 3, 10, 11, 12, 20, 21, 22)), even.id, other.id]
    assert [result.strategy.id for result in found] == names


def test_without_a_first_rung_nothing_is_kept_to_go_on_from() -> None:
    record = Remembered()
    strategies = [candidate(n) for n in range(9)]
    results = race(strategies, [LAST], Crew(), record, by=CLASSIFICATION.order())
    assert {result.rung for result in results} == {LAST}
    assert record.states == {}


def test_a_race_of_nobody_is_refused() -> None:
    with pytest.raises(EvaluationError, match="there are no candidates"):
        race([], BOTH, Crew(), Remembered(), by=CLASSIFICATION.order())

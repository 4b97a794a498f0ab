"""A whole search in one call: every candidate scored by a race, ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import torch

from eagleeye.engine import Engine, keep_freed_memory
from eagleeye.errors import ConfigError
from eagleeye.scoring.entry import Entry, Scored, score_entry
from eagleeye.scoring.race import Generations, Heat, Keep, Result, Work, race
from eagleeye.scoring.racing import Rung, Scores, plan
from eagleeye.scoring.rank import judge, rank
from eagleeye.strategies import Strategy

FIRST = Rung(calibration=256, sub_validation=1024)
"""Images of the first rung of a race."""
Told = Callable[[Heat, Scored], None]
"""Told of an evaluation, and of those that it runs with."""


class Memory:
    """What searches with one engine have found: the next one goes on from it, also where one was interrupted."""

    def __init__(self, engine: Engine) -> None:
        """Remember nothing yet.

        Args:
            engine: What scores; the network and images of another one give other scores.
        """
        self.engine = engine
        self._scores: dict[tuple[tuple[int, ...], Rung], Scores] = {}
        self._statistics: dict[tuple[int, ...], tuple[int, bytes]] = {}

    def __len__(self) -> int:
        """How many evaluations are remembered."""
        return len(self._scores)

    def known(self, rung: Rung, strategies: Sequence[Strategy]) -> dict[str, Scores]:
        """See `eagleeye.scoring.race.Record.known`; widths alone decide."""
        found = {strategy.id: self._scores.get((strategy.widths, rung)) for strategy in strategies}
        return {name: scores for name, scores in found.items() if scores is not None}

    def statistics(self, strategy: Strategy, rung: Rung) -> tuple[int, bytes] | None:
        """See `eagleeye.scoring.race.Record.statistics`."""
        found = self._statistics.get(strategy.widths)
        return None if found is None or found[0] > rung.calibration else found

    def keep(self, entry: Entry, scores: Scores, statistics: bytes | None) -> None:
        """See `eagleeye.scoring.race.Record.keep`."""
        widths = entry.strategy.widths
        rung = entry.rung
        if statistics is not None:
            self._statistics[widths] = rung.calibration, statistics
        self._scores[widths, rung] = scores

    def drop(self, strategies: Iterable[Strategy]) -> None:
        """See `eagleeye.scoring.race.Record.drop`."""
        for strategy in strategies:
            self._statistics.pop(strategy.widths, None)


def search(
    engine: Engine,
    strategies: Sequence[Strategy] = (),
    *,
    score: str | None = None,
    first: Rung | None = FIRST,
    generations: Generations | None = None,
    memory: Memory | None = None,
    on_candidate: Told | None = None,
) -> pd.DataFrame:
    """Score candidates and rank them.

    On a CPU, the process keeps the memory it frees from then on (`eagleeye.engine.keep_freed_memory`).

    Args:
        engine: Scores them.
        strategies: The candidates.
        score: What decides the race and the ranking, one of the engine's task's scores; None: the first of them that
            needs nothing that is not known. Of classification: accuracy, loss (cross-entropy), agreement with the
            unpruned network's classes, or divergence (Kullback-Leibler) from its probabilities. All are in the table.
        first: Images of the first rung of the race; None scores every candidate on all images.
        generations: More candidates to breed from the scores of those given, if any are, and of one another.
        memory: Candidates that it knows are not scored again, and what is scored now it remembers: give the same one
            to a search after an interruption, to a larger one, or to one by another score.
        on_candidate: Told of every evaluation when it is on record, on the caller's thread; what it raises ends the
            search.

    Returns:
        One row per candidate, the winner first: rank, ranked_by, id, rates, widths, macs, params, the scores
        (those that need labels where these are known), calibration_images, images (sub-validation images),
        score_low, score_high, beats_next, as in `eagleeye.scoring.rank.judge`. `engine.network(ranking["widths"][0])`
        is the winner, and `eagleeye.Strategy.of(ranking.iloc[0])` its strategy.

    Raises:
        BudgetError: There are not enough candidates to breed within the budget.
        ConfigError: There is no score of that name, it needs labels that are not known, or the memory is of another
            engine.
        EvaluationError: A candidate cannot be scored, or there is none.
    """
    known = engine.sub_validation.labels_known
    by = engine.task.order(score, labelled=known)
    if engine.parent.device.type == "cpu":
        keep_freed_memory()
    memory = Memory(engine) if memory is None else memory
    if memory.engine is not engine:
        raise ConfigError("memory: it is of another engine, whose scores are no use here; make one with Memory(engine)")
    everybody = len(strategies) + sum(generations.sizes if generations else ())
    planned = rungs(engine, everybody, first)
    work = _on_threads(engine, on_candidate or (lambda heat, scored: None))
    found = race(strategies, planned, work, memory, by=by, generations=generations)
    table = pd.DataFrame([_row(result, by.name) for result in found])
    meaningless = set(engine.task.scorers) - set(engine.task.usable(known))
    return judge(rank(table, by), by).drop(columns=list(meaningless))


def rungs(engine: Engine, candidates: int, first: Rung | None) -> tuple[Rung, ...]:
    """The rungs of a race with all of an engine's images in the last one.

    Args:
        engine: Whose images.
        candidates: How many start.
        first: Images of the first rung; None: everything at once.
    """
    last = Rung(len(engine.calibration.labels), len(engine.sub_validation.labels))
    return plan(candidates, first or last, last, batch_size=engine.calibration.batch_size)


def _on_threads(engine: Engine, tell: Told) -> Work:
    def prepare() -> None:
        # Small convolutions gain little from a second core, a second candidate gains all of it.
        if engine.parent.device.type == "cpu":
            torch.set_num_threads(1)

    def work(heat: Heat, keep: Keep) -> None:
        def run(entry: Entry) -> Scored:
            scored = score_entry(engine, entry)
            keep(entry, scored)
            return scored

        with ThreadPoolExecutor(engine.lanes, initializer=prepare) as pool:
            try:
                for scored in pool.map(run, heat.entries):
                    tell(heat, scored)
            except BaseException:
                # Those that nobody has begun with are not worth waiting for.
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    return work


def _row(result: Result, score: str) -> dict[str, object]:
    strategy = result.strategy
    scores = result.scores
    return {
        "id": strategy.id,
        "rates": strategy.rates,
        "widths": strategy.widths,
        "macs": strategy.macs,
        "params": strategy.params,
        **scores.values,
        "calibration_images": result.rung.calibration,
        "images": result.rung.sub_validation,
        "evidence": scores.images[score],
    }

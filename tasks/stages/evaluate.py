"""evaluate: a score for every candidate, by adaptive BN on the calibration images (paper, section 3)."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pandas as pd
import torch

from eagleeye.scoring.entry import Entry
from eagleeye.scoring.race import Generations, Heat, Keep, Result, race
from eagleeye.scoring.racing import Rung, Scores, in_order
from eagleeye.strategies import Strategy, sampler
from eagleeye.task import Order
from tasks.artifacts import (
    CANDIDATES,
    SCOREBOOK,
    SCORES,
    STRATEGIES,
    read_table,
    write_table,
)
from tasks.inputs.candidates import is_reference, strategies_of, table_of
from tasks.inputs.evaluator import Evaluator, open_evaluator, scoring_key
from tasks.inputs.preflight import check_best_score, check_network
from tasks.inputs.space import generation_sizes, open_shell
from tasks.params import Params
from tasks.record.beside import recording
from tasks.record.progress import Progress
from tasks.run.context import Context
from tasks.run.pulse import doing
from tasks.run.shared import Shared, share
from tasks.state.scorebook import Scorebook
from tasks.task_rules import ranked_by, task_for
from tasks.work.scoring import FILES, score


def run(params: Params, context: Context) -> None:
    """Race the candidates, rung by rung, and write the table of scores.

    Raises:
        EvaluationError: The unpruned network does not reproduce its accuracy, or a candidate cannot be scored.
    """
    key = scoring_key(params)
    first = read_table(STRATEGIES)
    doing("tracing the network and measuring what layers read")
    evaluator = open_evaluator(params, key)
    with _threads_restored(), Scorebook(SCOREBOOK, task_for(params)) as book:
        evaluator.take_a_core()
        doing("scoring the unpruned network")
        check_network(evaluator, context)
        doing("scoring candidates")
        with recording("evaluate", params, context) as progress:
            work = _Work(share(params, key, *FILES), first, context, evaluator, progress)
            results = _race(params, work, _OnRecord(book, key))
            write_table(CANDIDATES, work.table([result.strategy for result in results]))
            write_table(SCORES, pd.DataFrame([_row(result, params) for result in results]), task_for(params))
    check_best_score(evaluator, _winner(results, evaluator, ranked_by(params)).scores, context)


def _race(params: Params, work: "_Work", record: "_OnRecord") -> list[Result]:
    evaluator = work.evaluator
    table = work.first
    references = strategies_of(table[is_reference(table)])
    drawn, later = strategies_of(table[~is_reference(table)]), generation_sizes(params)[1:]
    # By the published protocol references do not compete.
    competing, outside = ([], references) if params.evaluate.mode == "paper" else (references, [])
    return race(
        drawn,
        evaluator.rungs(len(drawn) + sum(later) + len(competing)),
        work,
        record,
        by=ranked_by(params),
        references=competing,
        outside=outside,
        generations=_generations(params, evaluator, later) if later else None,
    )


def _generations(params: Params, evaluator: Evaluator, sizes: Sequence[int]) -> Generations:
    wanted = params.strategies
    shell = open_shell(params, evaluator.network, evaluator.space)
    return Generations(shell, sizes, sampler(wanted.sampler), wanted.seed, wanted.max_draws)


@dataclass(frozen=True)
class _Work:
    """Scores what is missing of a heat wherever the context does, and tells how it goes.

    Attributes:
        shared: The settings, the key of `tasks.inputs.evaluator.scoring_key` and the files that a score is made from.
        first: The strategies, as they are on disk.
        context: The runner's side.
        evaluator: What scores candidates here.
        progress: What MLflow is shown while the race runs.
        run: Candidates of this run by rung: generations run the first rung together with those before them.
    """

    shared: Shared
    first: pd.DataFrame
    context: Context
    evaluator: Evaluator
    progress: Progress
    run: set[tuple[Rung, str]] = field(default_factory=set)

    def __call__(self, heat: Heat, keep: Keep) -> None:
        table = self.table(heat.strategies)
        rung = heat.rung
        known = heat.known
        total = len(heat.strategies)
        if earlier := len({(rung, name) for name in known} - self.run):
            self.context.say(f"evaluate: {earlier} of {total} candidates are on record already")
        self.run.update((rung, strategy.id) for strategy in heat.strategies)
        images = rung.sub_validation
        # Candidates that MLflow has not seen: scored in another search, or just before this one was killed.
        self.progress.scored(table, {name: (images, scores) for name, scores in known.items()})
        size = self.shared.params.evaluate.candidates_per_task
        lanes = self.evaluator.engine.lanes
        title = f"evaluate {heat.title} ({rung.calibration} + {images} images)"
        with self.context.progress(title, total, "candidates", len(known)) as advance:
            for row in self.context.map(score, heat.entries, self.shared, keep=keep, batch=size, workers=lanes):
                self.progress.scored(table, {row.id: (images, row.scores)})
                advance()

    def table(self, strategies: Iterable[Strategy]) -> pd.DataFrame:
        """The strategies on disk, and those of these that have been bred; references last, as they are there."""
        there = set(self.first["id"])
        bred = [strategy for strategy in strategies if strategy.id not in there]
        if not bred:
            return self.first
        references = is_reference(self.first)
        rows = table_of(bred, self.shared.params.strategies.sampler, self.evaluator.space)
        return pd.concat([self.first[~references], rows, self.first[references]])


class _OnRecord:
    """The record of scores, as a race of one search uses it."""

    def __init__(self, book: Scorebook, key: str) -> None:
        self._book = book
        self._key = key

    def known(self, rung: Rung, strategies: Sequence[Strategy]) -> dict[str, Scores]:
        return on_record(self._book, self._key, rung, strategies)

    def statistics(self, strategy: Strategy, rung: Rung) -> tuple[int, bytes] | None:
        return self._book.statistics(self._key, _place(strategy), rung)

    def keep(self, entry: Entry, scores: Scores, statistics: bytes | None) -> None:
        self._book.record(self._key, _place(entry.strategy), entry.rung, scores, statistics)

    def drop(self, strategies: Iterable[Strategy]) -> None:
        self._book.drop_statistics(self._key, [_place(strategy) for strategy in strategies])


def _row(result: Result, params: Params) -> dict[str, object]:
    images = {"calibration_images": result.rung.calibration, "images": result.rung.sub_validation}
    values = dict.fromkeys(task_for(params).columns) | dict(result.scores.values)
    last = {"competes": result.competes, "evidence": result.scores.images[ranked_by(params).name]}
    return {"id": result.strategy.id, **values, **images, **last}


def _winner(results: Iterable[Result], evaluator: Evaluator, by: Order) -> Result:
    last = {row.strategy.id: row for row in results if row.competes and row.rung == evaluator.everything}
    return last[in_order({name: row.scores.standing(by) for name, row in last.items()})[0]]


@contextmanager
def _threads_restored() -> Iterator[None]:
    # Scoring takes one thread per candidate; later stages in the same process, as in a flow, are not to notice.
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _place(strategy: Strategy) -> str:
    # Widths alone decide: a search with more candidates, another seed or budget finds the scores of its predecessor.
    return "-".join(map(str, strategy.widths))


def on_record(book: Scorebook, key: str, rung: Rung, strategies: Sequence[Strategy]) -> dict[str, Scores]:
    """The scores of a rung that are known already.

    Args:
        book: Where they are kept.
        key: From `tasks.inputs.evaluator.scoring_key`.
        rung: With how many images.
        strategies: The candidates.

    Returns:
        By the candidate's id.
    """
    found = book.known(key, rung)
    return {entry.id: found[_place(entry)] for entry in strategies if _place(entry) in found}

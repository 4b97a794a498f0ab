"""evaluate: a score for every candidate, by adaptive BN on the calibration images (paper, section 3)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pandas as pd
import torch

from eagleeye.confidence import unpack
from eagleeye.errors import EvaluationError
from eagleeye.evaluate import Score
from eagleeye.racing import Rung, Standing, survivors
from eagleeye.strategies import Strategy, sampler
from tasks.artifacts import (
    CALIBRATION,
    CANDIDATES,
    REFERENCE,
    SCOREBOOK,
    SCORES,
    STRATEGIES,
    SUB_VALIDATION,
    read_table,
    write_table,
)
from tasks.bench import Bench, open_bench, scoring_key
from tasks.candidates import strategies_of, table_of
from tasks.context import Context
from tasks.params import Params
from tasks.preflight import check_best_score, check_network
from tasks.scorebook import Scorebook, Scores
from tasks.search import candidates, record_search
from tasks.shell import generation_sizes, open_shell


@dataclass(frozen=True)
class Assignment:
    """A batch of candidates, as it travels to whoever scores it.

    Attributes:
        params: The settings.
        key: From `tasks.bench.scoring_key`.
        rung: With how many images the candidates are scored.
        strategies: The candidates.
    """

    params: Params
    key: str
    rung: Rung
    strategies: tuple[Strategy, ...]


@dataclass(frozen=True)
class Search:
    """What the rungs of a race have in common.

    Attributes:
        params: The settings.
        key: From `tasks.bench.scoring_key`.
        book: The record of scores.
        table: The strategies, as they are on disk.
        context: The runner's side.
        workers: Candidates scored at a time.
    """

    params: Params
    key: str
    book: Scorebook
    table: pd.DataFrame
    context: Context
    workers: int


def run(params: Params, context: Context) -> None:
    """Race the candidates, rung by rung, and write the table of scores.

    Raises:
        EvaluationError: The unpruned network does not reproduce its accuracy, or a candidate cannot be scored.
    """
    key, first = scoring_key(params), read_table(STRATEGIES)
    bench = open_bench(params, key)
    with _threads_restored(), Scorebook(SCOREBOOK) as book:
        bench.take_a_core()
        check_network(bench, context)
        search = _breed(bench, Search(params, key, book, first, context, bench.engine.lanes))
        scores = _race(bench, search)
    rows = [{"id": name, **vars(scores[name][1]), **_images(scores[name][0])} for name in search.table["id"]]
    write_table(CANDIDATES, search.table)
    write_table(SCORES, pd.DataFrame(rows))
    check_best_score(bench, {name: found for name, (_, found) in scores.items()}, context)


def score_assignment(assignment: Assignment) -> Iterator[tuple[str, Scores]]:
    """Score a batch of candidates and put each on record at once; those on record are not scored again.

    Args:
        assignment: The batch.

    Yields:
        Candidate id and scores, in the order of the batch.
    """
    bench, key, rung = open_bench(assignment.params, assignment.key), assignment.key, assignment.rung
    with Scorebook(SCOREBOOK) as book:
        known = _known(book, key, rung, assignment.strategies)
        for strategy in assignment.strategies:
            scores = known.get(strategy.id)
            if scores is None:
                begun = book.statistics(key, _place(strategy), rung)
                scores, statistics = _score(bench, strategy, rung, begun)
                book.record(key, _place(strategy), rung, scores, None if rung == bench.everything else statistics)
            yield strategy.id, scores


def _breed(bench: Bench, search: Search) -> Search:
    """The search with all generations: each is proposed after the ones before have run the first rung."""
    wanted = search.params.strategies
    sizes = generation_sizes(search.params)
    if len(sizes) == 1:
        return search
    shell, propose = open_shell(search.params, bench.network, bench.space), sampler(wanted.sampler)
    rung = bench.rungs(wanted.count)[0]
    for number, size in enumerate(sizes[1:], start=1):
        scored = strategies_of(search.table, references=False)
        found = _score_rung(search, rung, scored, f"generation {number}/{len(sizes)}")
        ranked = [(strategy, found[strategy.id].accuracy) for strategy in scored]
        bred = propose(shell, ranked, count=size, seed=wanted.seed, max_draws=wanted.max_draws)
        table = pd.concat([search.table, table_of(bred, wanted.sampler, bench.space)])
        search = replace(
            search, table=table.sort_values("origin", key=lambda origin: origin == REFERENCE, kind="stable")
        )
    return search


def _race(bench: Bench, search: Search) -> dict[str, tuple[Rung, Scores]]:
    """Every candidate's last rung and what it showed there."""
    running, references = (strategies_of(search.table, references=wanted) for wanted in (False, True))
    scores: dict[str, tuple[Rung, Scores]] = {}
    rungs = bench.rungs(len(running))
    for number, rung in enumerate(rungs, start=1):
        # References do not race: they are to be compared with the winner, on all images.
        entries = running + (references if number == len(rungs) else [])
        found = _score_rung(search, rung, entries, f"{number}/{len(rungs)}")
        scores |= {entry.id: (rung, found[entry.id]) for entry in entries}
        chosen = set(survivors({entry.id: _standing(found[entry.id]) for entry in running}))
        search.book.drop_statistics(search.key, [_place(entry) for entry in entries if entry.id not in chosen])
        running = [entry for entry in running if entry.id in chosen]
    return scores


def _score_rung(search: Search, rung: Rung, strategies: Sequence[Strategy], number: str) -> dict[str, Scores]:
    params, key, context = search.params, search.key, search.context
    known = _known(search.book, key, rung, strategies)
    if known:
        context.say(f"evaluate: {len(known)} of {len(strategies)} candidates are on record already")
    missing = [strategy for strategy in strategies if strategy.id not in known]
    with record_search(params) as record:
        record.log_settings(params.model_dump(mode="json"))
        record.log_dataset("calibration", CALIBRATION, context="calibration")
        record.log_dataset("sub-validation", SUB_VALIDATION, context="sub-validation")
        # Candidates that MLflow has not seen: scored in another search, or just before this one was killed.
        record.log_candidates(candidates(search.table, known, rung))
        title = f"evaluate {number} ({rung.calibration} + {rung.sub_validation} images)"
        with context.progress(title, len(strategies), "candidates", len(known)) as advance:
            for row in context.map(score_assignment, _assignments(params, key, rung, missing), search.workers):
                record.log_candidates(candidates(search.table, dict([row]), rung))
                advance()
    return _known(search.book, key, rung, strategies)


def _images(rung: Rung) -> dict[str, int]:
    return {"calibration_images": rung.calibration, "images": rung.sub_validation}


def _standing(scores: Scores) -> Standing:
    return Standing(Score(scores.accuracy, scores.loss), unpack(scores.correct))


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


def _known(book: Scorebook, key: str, rung: Rung, strategies: Sequence[Strategy]) -> dict[str, Scores]:
    found = book.known(key, rung)
    return {entry.id: found[_place(entry)] for entry in strategies if _place(entry) in found}


def _score(bench: Bench, strategy: Strategy, rung: Rung, begun: tuple[int, bytes] | None) -> tuple[Scores, bytes]:
    try:
        return bench.score(strategy, rung, begun)
    except EvaluationError as error:
        raise EvaluationError(f"candidate {strategy.id}: {error}") from error


def _assignments(params: Params, key: str, rung: Rung, missing: Sequence[Strategy]) -> list[Assignment]:
    size = params.evaluate.candidates_per_task
    parts = [tuple(missing[start : start + size]) for start in range(0, len(missing), size)]
    return [Assignment(params, key, rung, part) for part in parts]

"""evaluate: a score for every candidate, by adaptive BN on the calibration images (paper, section 3)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from eagleeye.errors import EvaluationError
from eagleeye.strategies import Strategy
from tasks.artifacts import (
    CALIBRATION,
    SCOREBOOK,
    SCORES,
    STRATEGIES,
    SUB_VALIDATION,
    read_table,
    write_table,
)
from tasks.bench import Bench, open_bench, scoring_key, worker_count
from tasks.context import Context
from tasks.params import Params
from tasks.preflight import check_best_score, check_network
from tasks.scorebook import Scorebook, Scores
from tasks.search import candidates, record_search


@dataclass(frozen=True)
class Assignment:
    """A batch of candidates, as it travels to whoever scores it.

    Attributes:
        params: The settings.
        key: From `tasks.bench.scoring_key`.
        strategies: The candidates.
    """

    params: Params
    key: str
    strategies: tuple[Strategy, ...]


def run(params: Params, context: Context) -> None:
    """Score every candidate that is not yet on record, and write the table of scores.

    Raises:
        EvaluationError: The unpruned network does not reproduce its accuracy, or a candidate cannot be scored.
    """
    key, table = scoring_key(params), read_table(STRATEGIES)
    strategies = [_strategy(row) for row in table.to_dict("records")]
    bench = open_bench(params, key)
    check_network(bench, context)
    with Scorebook(SCOREBOOK) as book:
        known = _known(book, key, strategies)
        if known:
            context.say(f"evaluate: {len(known)} of {len(strategies)} candidates are on record already")
        missing = [strategy for strategy in strategies if strategy.id not in known]
        with _threads_restored():
            _score_missing(params, _assignments(params, key, missing), table, known, context)
        scores = _known(book, key, strategies)
    write_table(SCORES, pd.DataFrame([{"id": entry.id, **vars(scores[entry.id])} for entry in strategies]))
    check_best_score(bench, scores, context)


def score_assignment(assignment: Assignment) -> Iterator[tuple[str, Scores]]:
    """Score a batch of candidates and put each on record at once; those on record are not scored again.

    Args:
        assignment: The batch.

    Yields:
        Candidate id and scores, in the order of the batch.
    """
    bench, key = open_bench(assignment.params, assignment.key), assignment.key
    with Scorebook(SCOREBOOK) as book:
        known = _known(book, key, assignment.strategies)
        for strategy in assignment.strategies:
            scores = known.get(strategy.id)
            if scores is None:
                scores = _score(bench, strategy)
                book.record(key, _place(strategy), scores)
            yield strategy.id, scores


@contextmanager
def _threads_restored() -> Iterator[None]:
    # Scoring takes one thread per candidate; later stages in the same process, as in a flow, are not to notice.
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _strategy(row: dict[str, Any]) -> Strategy:
    rates, widths = tuple(map(float, row["rates"])), tuple(map(int, row["widths"]))
    return Strategy(row["id"], rates, widths, int(row["macs"]), int(row["params"]))


def _place(strategy: Strategy) -> str:
    # Widths alone decide: a search with more candidates, another seed or budget finds the scores of its predecessor.
    return "-".join(map(str, strategy.widths))


def _known(book: Scorebook, key: str, strategies: Sequence[Strategy]) -> dict[str, Scores]:
    found = book.known(key)
    return {entry.id: found[_place(entry)] for entry in strategies if _place(entry) in found}


def _score(bench: Bench, strategy: Strategy) -> Scores:
    try:
        return bench.score(strategy)
    except EvaluationError as error:
        raise EvaluationError(f"candidate {strategy.id}: {error}") from error


def _assignments(params: Params, key: str, missing: Sequence[Strategy]) -> list[Assignment]:
    size = params.evaluate.candidates_per_task
    parts = [tuple(missing[start : start + size]) for start in range(0, len(missing), size)]
    return [Assignment(params, key, part) for part in parts]


def _score_missing(
    params: Params,
    assignments: Sequence[Assignment],
    table: pd.DataFrame,
    known: Mapping[str, Scores],
    context: Context,
) -> None:
    with record_search(params) as record:
        record.log_settings(params.model_dump(mode="json"))
        record.log_dataset("calibration", CALIBRATION, context="calibration")
        record.log_dataset("sub-validation", SUB_VALIDATION, context="sub-validation")
        # Candidates that MLflow has not seen: scored in another search, or just before this one was killed.
        record.log_candidates(candidates(table, known))
        with context.progress("evaluate", len(table), "candidates", len(known)) as advance:
            for row in context.map(score_assignment, assignments, worker_count(params)):
                record.log_candidates(candidates(table, dict([row])))
                advance()

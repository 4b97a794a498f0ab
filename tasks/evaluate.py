"""evaluate: a score for every candidate, by adaptive BN on the calibration images (paper, section 3)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from eagleeye.errors import EvaluationError
from tasks.artifacts import (
    CALIBRATION,
    SCOREBOOK,
    SCORES,
    STRATEGIES,
    SUB_VALIDATION,
    read_table,
    write_table,
)
from tasks.bench import Bench, open_bench
from tasks.context import Context
from tasks.params import Params
from tasks.preflight import check_best_score, check_network
from tasks.scorebook import Scorebook, Scores
from tasks.search import candidates, key_of, record_search


@dataclass(frozen=True)
class Assignment:
    """A batch of candidates, as it travels to whoever scores it."""

    params: Params
    search_key: str
    ids: tuple[str, ...]


def run(params: Params, context: Context) -> None:
    """Score every candidate that is not yet on record, and write the table of scores.

    Raises:
        EvaluationError: The unpruned network does not reproduce its accuracy, or a candidate cannot be scored.
    """
    key = key_of(params)
    bench = open_bench(params, key)
    check_network(bench, context)
    strategies = read_table(STRATEGIES)
    ids = list(strategies["id"])
    with Scorebook(SCOREBOOK) as book:
        known = book.known(key)
        if known:
            context.say(f"evaluate: {len(known)} of {len(ids)} candidates are on record already")
        _score_missing(params, key, strategies, known, context)
        scores = book.known(key)
    write_table(SCORES, _table(ids, scores))
    check_best_score(bench, scores, context)


def score_assignment(assignment: Assignment) -> Iterator[tuple[str, Scores]]:
    """Score a batch of candidates and put each on record at once; those on record are not scored again.

    Args:
        assignment: The batch.

    Yields:
        Candidate id and scores, in the order of the ids.
    """
    bench = open_bench(assignment.params, assignment.search_key)
    rates = read_table(STRATEGIES).set_index("id")["rates"]
    with Scorebook(SCOREBOOK) as book:
        known = book.known(assignment.search_key)
        for identifier in assignment.ids:
            scores = known.get(identifier)
            if scores is None:
                scores = _score(bench, identifier, rates[identifier])
                book.record(assignment.search_key, identifier, scores)
            yield identifier, scores


def _score(bench: Bench, identifier: str, rates: Sequence[float]) -> Scores:
    try:
        return bench.score(rates)
    except EvaluationError as error:
        raise EvaluationError(f"candidate {identifier}: {error}") from error


def _score_missing(
    params: Params, key: str, strategies: pd.DataFrame, known: Mapping[str, Scores], context: Context
) -> None:
    assignments = _assignments(params, key, [name for name in strategies["id"] if name not in known])
    with record_search(params) as record:
        record.log_settings(params.model_dump(mode="json"))
        record.log_dataset("calibration", CALIBRATION, context="calibration")
        record.log_dataset("sub-validation", SUB_VALIDATION, context="sub-validation")
        # A search killed between scoring and recording left scores that MLflow has not seen.
        record.log_candidates(candidates(strategies, known))
        with context.progress("evaluate", len(strategies), "candidates", len(known)) as advance:
            for row in context.map(score_assignment, assignments):
                record.log_candidates(candidates(strategies, dict([row])))
                advance()


def _assignments(params: Params, key: str, ids: Sequence[str]) -> list[Assignment]:
    size = params.evaluate.candidates_per_task
    return [Assignment(params, key, tuple(ids[start : start + size])) for start in range(0, len(ids), size)]


def _table(ids: Sequence[str], scores: Mapping[str, Scores]) -> pd.DataFrame:
    return pd.DataFrame([{"id": identifier, **vars(scores[identifier])} for identifier in ids])

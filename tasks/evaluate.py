"""evaluate: a score for every candidate, by adaptive BN on the calibration images (paper, section 3)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from eagleeye.racing import Rung, in_order, survivors
from eagleeye.scores import COLUMNS, VANILLA
from eagleeye.strategies import Strategy, sampler
from tasks.artifacts import (
    CALIBRATION,
    CANDIDATES,
    SCOREBOOK,
    SCORES,
    STRATEGIES,
    SUB_VALIDATION,
    read_table,
    rows_of,
    write_table,
)
from tasks.bench import Bench, open_bench, scoring_key
from tasks.candidates import competing, is_reference, strategies_of, table_of
from tasks.context import Context
from tasks.params import Params
from tasks.parcel import Parcel, parcel
from tasks.preflight import check_best_score, check_network
from tasks.scorebook import Scorebook, Scores
from tasks.scoring import FILES, Entry, Scored, score
from tasks.search import Recorder, record_search
from tasks.shell import generation_sizes, open_shell


@dataclass(frozen=True)
class Search:
    """What the rungs of a race have in common.

    Attributes:
        shared: The settings, the key of `tasks.bench.scoring_key` and the files that a score is made from.
        book: The record of scores.
        table: The strategies, as they are on disk.
        context: The runner's side.
        bench: What scores candidates here.
        record: The search's record in MLflow.
    """

    shared: Parcel
    book: Scorebook
    table: pd.DataFrame
    context: Context
    bench: Bench
    record: Recorder


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
        with record_search(params, context) as recorder:
            _record_inputs(params, recorder)
            search = _breed(Search(parcel(params, key, *FILES), book, first, context, bench, recorder))
            results = _race(search)
    write_table(CANDIDATES, search.table)
    write_table(SCORES, pd.DataFrame([_row(name, results[name], params.rank.by) for name in search.table["id"]]))
    check_best_score(bench, results[_winner(search, results)].scores, context)


def record(params: Params, recorder: Recorder) -> None:
    """Record what the stage's artefacts say; while the stage runs, each candidate is recorded as it is scored."""
    _record_inputs(params, recorder)
    rows = rows_of(read_table(SCORES))
    recorder.log_candidates(read_table(CANDIDATES), {row["id"]: (row["images"], _on_file(row)) for row in rows})


def _record_inputs(params: Params, recorder: Recorder) -> None:
    recorder.log_settings(params)
    recorder.log_dataset("calibration", CALIBRATION, use="calibration")
    recorder.log_dataset("sub-validation", SUB_VALIDATION, use="sub-validation")


def _breed(search: Search) -> Search:
    """The search with all generations: each is proposed after the ones before have run the first rung."""
    params, bench = search.shared.params, search.bench
    wanted, sizes = params.strategies, generation_sizes(params)
    if len(sizes) == 1:
        return search
    shell, propose = open_shell(params, bench.network, bench.space), sampler(wanted.sampler)
    rung = bench.rungs(wanted.count)[0]
    for number, size in enumerate(sizes[1:], start=1):
        scored = strategies_of(competing(params, search.table))
        found = _score_rung(search, rung, scored, f"generation {number}/{len(sizes)}")
        ranked = [(strategy, found[strategy.id].standing(params.rank.by).merits[0]) for strategy in scored]
        bred = propose(shell, ranked, count=size, seed=wanted.seed, max_draws=wanted.max_draws)
        table = pd.concat([search.table, table_of(bred, wanted.sampler, bench.space)])
        # References last, as in the table that the stage before has written.
        references = is_reference(table)
        search = replace(search, table=pd.concat([table[~references], table[references]]))
    return search


@dataclass(frozen=True)
class Result:
    """What became of a candidate.

    Attributes:
        rung: Its last one.
        scores: What it showed there.
        competes: Whether it can be ranked. A reference that is out of the race is scored on all images all the same, to
            be compared with the winner: it has beaten nobody on the way there.
    """

    rung: Rung
    scores: Scores
    competes: bool


def _race(search: Search) -> dict[str, Result]:
    """Every candidate's last rung and what it showed there."""
    running = strategies_of(competing(search.shared.params, search.table))
    references = strategies_of(search.table[is_reference(search.table)])
    results: dict[str, Result] = {}
    rungs = search.bench.rungs(len(running))
    for number, rung in enumerate(rungs, start=1):
        racing = {entry.id for entry in running}
        # However early they were out, references are to be compared with the winner, on all images.
        others = [entry for entry in references if entry.id not in racing] if number == len(rungs) else []
        found = _score_rung(search, rung, running + others, f"{number}/{len(rungs)}")
        results |= {name: Result(rung, scores, name in racing) for name, scores in found.items()}
        by = search.shared.params.rank.by
        chosen = set(survivors({entry.id: found[entry.id].standing(by) for entry in running}))
        gone = [entry for entry in running + others if entry.id not in chosen]
        search.book.drop_statistics(search.shared.key, [_place(entry) for entry in gone])
        running = [entry for entry in running if entry.id in chosen]
    return results


def _score_rung(search: Search, rung: Rung, strategies: Sequence[Strategy], number: str) -> dict[str, Scores]:
    key, context = search.shared.key, search.context
    known = on_record(search.book, key, rung, strategies)
    if known:
        context.say(f"evaluate: {len(known)} of {len(strategies)} candidates are on record already")
    missing = [strategy for strategy in strategies if strategy.id not in known]
    images = rung.sub_validation
    # Candidates that MLflow has not seen: scored in another search, or just before this one was killed.
    search.record.log_candidates(search.table, {name: (images, scores) for name, scores in known.items()})
    title = f"evaluate {number} ({rung.calibration} + {rung.sub_validation} images)"
    with context.progress(title, len(strategies), "candidates", len(known)) as advance:
        for row in _score(search, rung, missing):
            search.record.log_candidates(search.table, {row.id: (images, row.scores)})
            advance()
    return on_record(search.book, key, rung, strategies)


def _score(search: Search, rung: Rung, missing: Sequence[Strategy]) -> Iterator[Scored]:
    bench, book, shared = search.bench, search.book, search.shared

    def keep(entry: Entry, row: Scored) -> None:
        statistics = None if rung == bench.everything else row.statistics
        book.record(shared.key, _place(entry.strategy), rung, row.scores, statistics)

    entries, size = _Entries(book, shared.key, rung, missing), shared.params.evaluate.candidates_per_task
    return search.context.map(score, entries, shared, keep=keep, batch=size, workers=bench.engine.lanes)


class _Entries(Sequence[Entry]):
    """Candidates of a rung; the statistics, large for a large network, are read when a candidate's turn comes."""

    def __init__(self, book: Scorebook, key: str, rung: Rung, strategies: Sequence[Strategy]) -> None:
        self._book, self._key, self._rung, self._strategies = book, key, rung, strategies

    def __len__(self) -> int:
        return len(self._strategies)

    def __getitem__(self, place: Any) -> Any:
        strategy = self._strategies[place]
        return Entry(strategy, self._rung, self._book.statistics(self._key, _place(strategy), self._rung))


def _row(name: str, result: Result, by: str) -> dict[str, object]:
    images = {"calibration_images": result.rung.calibration, "images": result.rung.sub_validation}
    values = dict.fromkeys(COLUMNS) | dict(result.scores.values)
    return {"id": name, **values, **images, "competes": result.competes, "evidence": result.scores.images[by]}


def _winner(search: Search, results: Mapping[str, Result]) -> str:
    by, everything = search.shared.params.rank.by, search.bench.everything
    last = {name: row for name, row in results.items() if row.competes and row.rung == everything}
    return in_order({name: row.scores.standing(by) for name, row in last.items()})[0]


@contextmanager
def _threads_restored() -> Iterator[None]:
    # Scoring takes one thread per candidate; later stages in the same process, as in a flow, are not to notice.
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _on_file(row: Mapping[str, Any]) -> Scores:
    without = [name for name in COLUMNS if name.startswith(VANILLA)]
    unscored = set(without) if all(pd.isna(row[name]) for name in without) else set()
    # Image by image they are of no interest to the record.
    return Scores({name: row[name] for name in COLUMNS if name not in unscored}, {})


def _place(strategy: Strategy) -> str:
    # Widths alone decide: a search with more candidates, another seed or budget finds the scores of its predecessor.
    return "-".join(map(str, strategy.widths))


def on_record(book: Scorebook, key: str, rung: Rung, strategies: Sequence[Strategy]) -> dict[str, Scores]:
    """The scores of a rung that are known already.

    Args:
        book: Where they are kept.
        key: From `tasks.bench.scoring_key`.
        rung: With how many images.
        strategies: The candidates.

    Returns:
        By the candidate's id.
    """
    found = book.known(key, rung)
    return {entry.id: found[_place(entry)] for entry in strategies if _place(entry) in found}

"""correlation: does the score tell the accuracy after fine-tuning? The paper's evidence for this network and data.

The study chooses nothing, so that it may look at the test set.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from eagleeye.report.study import PAGE
from eagleeye.strategies import Strategy
from eagleeye.study.correlation import Bootstrap, oriented, summarise
from tasks.artifacts import (
    COEFFICIENTS,
    CORRELATION,
    DISTANCES,
    FIT_HISTORY,
    FITS,
    RANKING,
    STUDIED,
    STUDIES,
    WEIGHTS,
    read_table,
    schema_of,
    write_table,
)
from tasks.inputs.candidates import is_reference, strategies_of
from tasks.inputs.evaluator import scoring_key
from tasks.params import Params
from tasks.record.beside import recording
from tasks.record.progress import Progress
from tasks.record.view import fit_of
from tasks.run.context import Context
from tasks.run.shared import Shared, share
from tasks.run.study_summary import coefficient_table, headline, write_summary
from tasks.state.content_key import content_key
from tasks.state.result_cache import ResultCache
from tasks.task_rules import chosen_by, task_for
from tasks.work.fitting import FILES, STAGE, Fit, fine_tune, score_fully, study_key
from tasks.work.training import forget, forget_all_but

KINDS = ("vanilla", "adaptive")


def run(params: Params, context: Context) -> None:
    """Score and fine-tune candidates from all over the ranking, compare both, and write tables, figures and a page.

    Raises:
        EvaluationError: A candidate cannot be scored, or its training diverged.
        ArtifactError: A result cannot be written.
    """
    table = chosen(read_table(RANKING), params.correlation.candidates)
    strategies = strategies_of(table)
    shared = share(params, scoring_key(params), *FILES)
    cache = ResultCache(STUDIES / STAGE)
    base = study_key(params, shared.key)
    scored = _score_all(strategies, shared, cache, context)
    with recording("study@correlation", params, context) as progress:
        fits = _fine_tune_all(_fits(params, strategies, base), shared, cache, scored, progress, context)
        by = chosen_by(params)
        task = task_for(params)
        studied = _studied(table, scored, fits, f"test_{by.name}")
        write_table(STUDIED, studied, task)
        write_table(FITS, pd.DataFrame(fits), task)
        history = [{**_who(fit), **row} for fit in fits for row in fit["history"]]
        write_table(FIT_HISTORY, pd.DataFrame(history), task)
        distances = [{**_who(fit), **_distances(row)} for fit in fits for row in fit["statistics"]]
        write_table(DISTANCES, pd.DataFrame(distances, columns=schema_of(DISTANCES).names))
        write_table(WEIGHTS, pd.DataFrame([{**_who(fit), **row} for fit in fits for row in fit["weights"]]))
        write_table(COEFFICIENTS, _coefficients(studied, fits, params))
        write_summary(params)
    context.table("correlation", *coefficient_table(params))
    context.say(f"correlation: {headline(params)}")
    context.say(f"next: {CORRELATION}/{PAGE} for the pictures, `dvc metrics show`")


def chosen(ranking: pd.DataFrame, count: int) -> pd.DataFrame:
    """The candidates to study: spread evenly over the ranking, the first and the last included, and the references.

    Args:
        ranking: All candidates, best first, and the references.
        count: So many candidates; all of them where there are fewer.

    Returns:
        Rows of the ranking.
    """
    references = is_reference(ranking)
    ranked = ranking[~references].sort_values("rank")
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
    return pd.concat([ranked.iloc[places], ranking[references]])


def _score_all(
    strategies: Sequence[Strategy], shared: Shared, cache: ResultCache, context: Context
) -> dict[str, dict[str, float]]:
    keys = {entry.id: content_key({"scoring": shared.key, "widths": entry.widths}) for entry in strategies}
    found = {entry.id: row for entry in strategies if (row := cache.get(keys[entry.id]))}
    missing = [entry for entry in strategies if entry.id not in found]

    def keep(entry: Strategy, row: dict[str, float]) -> None:
        found[entry.id] = row
        cache.put(keys[entry.id], row)

    with context.progress("correlation: scoring", len(strategies), "candidates", len(found)) as advance:
        for _ in context.map(score_fully, missing, shared, keep=keep):
            advance()
    return found


def _fits(params: Params, strategies: Sequence[Strategy], base: str) -> list[Fit]:
    first = params.correlation.training.seed
    count = params.correlation.seeds
    return [
        Fit(entry, seed, content_key({"study": base, "widths": entry.widths, "seed": seed}))
        for seed in range(first, first + count)
        for entry in strategies
    ]


def _fine_tune_all(
    fits: Sequence[Fit],
    shared: Shared,
    cache: ResultCache,
    scored: Mapping[str, Mapping[str, float]],
    progress: Progress,
    context: Context,
) -> list[dict[str, Any]]:
    """What every fine-tuning found, each recorded when it is done."""
    found = {fit.key: row for fit in fits if (row := cache.get(fit.key))}
    missing = [fit for fit in fits if fit.key not in found]
    forget_all_but(STAGE, [fit.key for fit in missing])
    if found:
        context.say(f"correlation: {len(found)} of {len(fits)} fine-tunings are on record already")

    def keep(fit: Fit, row: dict[str, Any]) -> None:
        found[fit.key] = row
        cache.put(fit.key, row)
        forget(STAGE, fit.key)

    with context.progress("correlation: fine-tuning", len(fits), "fine-tunings", len(found)) as advance:
        for row in context.map(fine_tune, missing, shared, keep=keep):
            progress.told(fit_of(shared.params, row, pd.DataFrame(row["history"]), scored[row["id"]]))
            advance()
    return [{**found[fit.key], "id": fit.strategy.id} for fit in fits]


def _studied(
    table: pd.DataFrame, scored: dict[str, dict[str, float]], fits: list[dict[str, Any]], tested_by: str
) -> pd.DataFrame:
    scores = pd.DataFrame.from_dict(scored, orient="index").rename_axis("id").reset_index()
    tested = pd.DataFrame(fits).groupby("id")[tested_by].agg(["mean", "min", "max"])
    tested.columns = pd.Index([tested_by, "test_low", "test_high"])
    return table[["id", "origin", "rank", "params"]].merge(scores, on="id").merge(tested.reset_index(), on="id")


def _coefficients(studied: pd.DataFrame, fits: list[dict[str, Any]], params: Params) -> pd.DataFrame:
    settings = params.correlation
    by = chosen_by(params).first
    # The evenly pruned network is shown for comparison; it is no sample of the search.
    drawn = studied[~is_reference(studied)]
    tested = pd.DataFrame(fits).pivot_table(index="id", columns="seed", values=f"test_{by.name}").loc[drawn["id"]]
    bootstrap = Bootstrap(settings.resamples, settings.level, settings.seed)
    return summarise(oriented(drawn, task_for(params)), by.sign * tested.to_numpy(), bootstrap)


def _who(fit: dict[str, Any]) -> dict[str, Any]:
    return {"id": fit["id"], "seed": fit["seed"]}


def _distances(row: dict[str, Any]) -> dict[str, Any]:
    named = {f"{kind}_{moment}": row[kind][n] for kind in KINDS for n, moment in enumerate(("mean", "variance"))}
    return {"layer": row["layer"], **named}

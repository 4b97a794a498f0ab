"""A whole search in one call: every candidate scored by a race, ranked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import torch

from eagleeye.engine import Engine, Outcome
from eagleeye.racing import Rung, Standing, in_order, places, plan, survivors
from eagleeye.rank import judge, rank
from eagleeye.scores import SCORERS, check_score, merits
from eagleeye.strategies import Strategy

FIRST = Rung(calibration=256, sub_validation=1024)
"""Images of the first rung of a race."""


def search(
    engine: Engine, strategies: Sequence[Strategy], *, score: str = "accuracy", first: Rung | None = FIRST
) -> pd.DataFrame:
    """Score candidates and rank them.

    Args:
        engine: Scores them.
        strategies: The candidates.
        score: What decides the race and the ranking: accuracy, loss (cross-entropy), agreement with the unpruned
            network's classes, or divergence (Kullback-Leibler) from its probabilities. All are in the table.
        first: Images of the first rung of the race; None scores every candidate on all images.

    Returns:
        One row per candidate, the winner first: rank, ranked_by, id, macs, params, accuracy, loss, agreement,
        divergence, calibration_images, images (sub-validation images), score_low, score_high, beats_next, as in
        `eagleeye.rank.judge`.

    Raises:
        ConfigError: There is no score of that name.
        EvaluationError: A candidate cannot be scored.
    """
    check_score(score)
    rows: dict[str, dict[str, object]] = {}
    running = {strategy.id: strategy for strategy in strategies}
    states: dict[str, tuple[int, torch.Tensor]] = {}
    for rung in rungs(engine, len(strategies), first):
        standings, fresh = {}, dict[str, tuple[int, torch.Tensor]]()
        for strategy, outcome in _score_all(engine, list(running.values()), rung, states):
            evidence = SCORERS[score].of(outcome.predictions.columns[score])
            standings[strategy.id] = Standing(merits(outcome.scores, score), evidence)
            rows[strategy.id] = _row(strategy, rung, outcome) | {"evidence": evidence.pack()}
            fresh[strategy.id] = (rung.calibration, outcome.statistics)
            if len(fresh) >= 2 * places(len(running)):
                # Statistics are large: of thousands of candidates only those are kept that can still go on.
                fresh = {name: fresh[name] for name in in_order(standings)[: places(len(running))]}
        states, running = fresh, {name: running[name] for name in survivors(standings)}
    return judge(rank(pd.DataFrame(rows.values()), score=score))


def rungs(engine: Engine, candidates: int, first: Rung | None) -> tuple[Rung, ...]:
    """The rungs of a race with all of an engine's images in the last one.

    Args:
        engine: Whose images.
        candidates: How many start.
        first: Images of the first rung; None: everything at once.
    """
    last = Rung(len(engine.calibration.labels), len(engine.sub_validation.labels))
    return plan(candidates, first or last, last, batch_size=engine.calibration.batch_size)


def _score_all(
    engine: Engine,
    strategies: Sequence[Strategy],
    rung: Rung,
    states: Mapping[str, tuple[int, torch.Tensor]],
) -> Iterator[tuple[Strategy, Outcome]]:
    def score(strategy: Strategy) -> Outcome:
        return engine.score(
            strategy,
            calibration=rung.calibration,
            sub_validation=rung.sub_validation,
            begun=states.get(strategy.id),
        )

    def prepare() -> None:
        # Small convolutions gain little from a second core, a second candidate gains all of it.
        if engine.parent.device.type == "cpu":
            torch.set_num_threads(1)

    with ThreadPoolExecutor(engine.lanes, initializer=prepare) as pool:
        yield from zip(strategies, pool.map(score, strategies), strict=True)


def _row(strategy: Strategy, rung: Rung, outcome: Outcome) -> dict[str, object]:
    return {
        "id": strategy.id,
        "macs": strategy.macs,
        "params": strategy.params,
        **outcome.scores,
        "calibration_images": rung.calibration,
        "images": rung.sub_validation,
    }
